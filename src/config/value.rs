//! How the value of one setting is read from TOML and shown again. Lists, tables and
//! patterns are in `lists` and `patterns`.

pub(super) mod lists;
pub(super) mod patterns;

use std::{
    fmt,
    net::SocketAddr,
    num::NonZeroU32,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
};

use toml::de::DeValue;

use super::keys::InputName;
use crate::{
    record::Host,
    serve::ClientCertificates,
    store::{Durability, RedisUrl, UrlError},
    tail::{
        StartAt,
        input::{Encoding, Format, Preset},
    },
    telemetry::{LogFormat, LogLevel},
};

/// What TOML calls a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    List,
    Table,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a text in quotes",
            Self::Number => "a whole number",
            Self::Flag => "true or false",
            Self::List => "a list of texts, [\"…\", …]",
            Self::Table => "a table of texts, { name = \"…\", … }",
        })
    }
}

/// A value that is not what its key needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct Wrong {
    pub(super) what: String,
    /// The byte of the text at which it is wrong, where one can be told.
    pub(super) offset: Option<usize>,
    /// Where it is one of several: which, as bytes of the file.
    pub(super) element: Option<Range<usize>>,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, offset: None, element: None }
    }
}

/// The type of a setting.
pub(super) trait Value: Sized {
    /// What a flag gives, which may be given several times where it is not the same.
    type One: Value;

    /// How it is written in TOML.
    const KIND: Kind;

    /// Reads the text of a flag, or of a TOML value without its quotes; the error says what is
    /// expected.
    fn read(text: &str) -> Result<Self, Wrong>;

    /// The value for people. Never a password.
    fn shown(&self) -> String;

    /// The value as it stands in TOML.
    fn written(&self) -> String {
        match Self::KIND {
            Kind::Text => quoted(&self.shown()),
            _ => self.shown(),
        }
    }

    /// Reads a TOML value.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Wrong> {
        match (Self::KIND, value) {
            (Kind::Text, DeValue::String(text)) => Self::read(text),
            (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => Self::read(number.as_str()),
            (Kind::Flag, DeValue::Boolean(flag)) => Self::read(if *flag { "true" } else { "false" }),
            (kind, value) => Err(unexpected(kind, value)),
        }
    }
}

/// A text in the quotes of TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What is said of a value of another type.
fn unexpected(kind: Kind, value: &DeValue<'_>) -> Wrong {
    format!("it is of the type {}, expected is {kind}", value.type_str()).into()
}

/// A value that is inside of its bounds.
pub(super) fn within<V: Value + PartialOrd>(value: V, bounds: RangeInclusive<V>) -> Result<V, Wrong> {
    if bounds.contains(&value) {
        Ok(value)
    } else {
        let (least, most) = (bounds.start().shown(), bounds.end().shown());
        Err(format!("expected is a number from {least} to {most}").into())
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            type One = Self;
            const KIND: Kind = Kind::Number;

            fn read(text: &str) -> Result<Self, Wrong> {
                let (least, most) = (<$type>::MIN, <$type>::MAX);
                let expected = || format!("expected is a whole number from {least} to {most}");
                text.parse().map_err(|_| expected().into())
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
number!(u32, u64, usize, NonZeroU32);

macro_rules! text {
    ($($type:ty),*) => {$(
        impl Value for $type {
            type One = Self;
            const KIND: Kind = Kind::Text;

            fn read(text: &str) -> Result<Self, Wrong> {
                text.parse().map_err(|error| format!("{error}").into())
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
text!(String, Durability, Host, LogLevel, InputName);

impl Value for bool {
    type One = Self;
    const KIND: Kind = Kind::Flag;

    fn read(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| "expected is true or false".to_owned().into())
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Value for SocketAddr {
    type One = Self;
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| {
            "expected is an address and a port, as 127.0.0.1:7171 or [::1]:7171".to_owned().into()
        })
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    type One = Self;
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Wrong> {
        if text.is_empty() {
            Err("the path is empty".to_owned().into())
        } else {
            Ok(Path::new(text).to_owned())
        }
    }

    fn shown(&self) -> String {
        self.display().to_string()
    }
}

/// A setting that is one of a few words.
macro_rules! words {
    ($type:ty { $($word:literal = $value:path),* }) => {
        impl Value for $type {
            type One = Self;
            const KIND: Kind = Kind::Text;

            fn read(text: &str) -> Result<Self, Wrong> {
                match text {
                    $($word => Ok($value),)*
                    _ => Err(format!("expected is one of: {}", [$($word),*].join(", ")).into()),
                }
            }

            fn shown(&self) -> String {
                match self {
                    $($value => $word.to_owned(),)*
                }
            }
        }
    };
}
words!(LogFormat { "text" = LogFormat::Text, "json" = LogFormat::Json });
words!(ClientCertificates {
    "required" = ClientCertificates::Required,
    "optional" = ClientCertificates::Optional
});
words!(StartAt { "beginning" = StartAt::Beginning, "end" = StartAt::End });
words!(Encoding {
    "raw" = Encoding::Raw,
    "utf-16" = Encoding::Utf16,
    "utf-16le" = Encoding::Utf16Le,
    "utf-16be" = Encoding::Utf16Be
});
words!(Format { "plain" = Format::Plain, "docker" = Format::Docker, "cri" = Format::Cri });
words!(Preset {
    "java" = Preset::Java,
    "python" = Preset::Python,
    "go" = Preset::Go,
    "rust" = Preset::Rust
});

impl<V: Value> Value for Option<V> {
    type One = Self;
    const KIND: Kind = V::KIND;

    fn read(text: &str) -> Result<Self, Wrong> {
        V::read(text).map(Some)
    }

    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "-".to_owned(), V::shown)
    }
}

/// A Redis URL as it was given. Any text is one until it is needed, because a refusal by
/// the command line's parser would repeat it, and it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisText(String);

impl RedisText {
    /// The URL.
    ///
    /// # Errors
    /// [`UrlError`], which does not repeat a password.
    pub fn url(&self) -> Result<RedisUrl, UrlError> {
        self.0.parse()
    }
}

impl fmt::Debug for RedisText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Value for RedisText {
    type One = Self;
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Wrong> {
        Ok(Self(text.to_owned()))
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let read = String::from_toml(value).map(Self)?;
        read.url().map(|_| read).map_err(|error| error.to_string().into())
    }

    fn shown(&self) -> String {
        self.url().map_or_else(|error| error.to_string(), |url| url.to_string())
    }
}
