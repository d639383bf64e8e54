//! How the value of one setting is read from TOML and shown again.

use std::{
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use toml::de::DeValue;

use crate::{
    record::{Host, Topic},
    store::{RedisUrl, UrlError},
    tail::StartAt,
    telemetry::{LogFormat, LogLevel},
};

/// What TOML calls a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a text in quotes",
            Self::Number => "a whole number",
        })
    }
}

/// The type of a setting.
pub(super) trait Value: Sized {
    /// How it is written in TOML.
    const KIND: Kind;

    /// Reads the text of a flag, or of a TOML value without its quotes; the error says what is
    /// expected.
    fn read(text: &str) -> Result<Self, String>;

    /// The value for people. Never a password.
    fn shown(&self) -> String;

    /// Reads a TOML value.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match (Self::KIND, value) {
            (Kind::Text, DeValue::String(text)) => Self::read(text),
            (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => Self::read(number.as_str()),
            (kind, value) => Err(format!("it is of the type {}, expected is {kind}", value.type_str())),
        }
    }
}

/// A value that is inside of its bounds.
pub(super) fn within<V: Value + PartialOrd>(value: V, bounds: RangeInclusive<V>) -> Result<V, String> {
    if bounds.contains(&value) {
        Ok(value)
    } else {
        Err(format!("expected is a number from {} to {}", bounds.start().shown(), bounds.end().shown()))
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::Number;

            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("expected is a whole number from 0 to {}", <$type>::MAX))
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
number!(u32, u64, usize);

macro_rules! text {
    ($($type:ty),*) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::Text;

            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error| format!("{error}"))
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
text!(String, Host, Topic, LogLevel);

impl Value for SocketAddr {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "expected is an address and a port, as 127.0.0.1:7171 or [::1]:7171".to_owned())
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(Path::new(text).to_owned()) }
    }

    fn shown(&self) -> String {
        self.display().to_string()
    }
}

/// A setting that is one of a few words.
macro_rules! words {
    ($type:ty { $($word:literal = $value:path),* }) => {
        impl Value for $type {
            const KIND: Kind = Kind::Text;

            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($value),)*
                    _ => Err(format!("expected is one of: {}", [$($word),*].join(", "))),
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
words!(StartAt { "beginning" = StartAt::Beginning, "end" = StartAt::End });

impl<V: Value> Value for Option<V> {
    const KIND: Kind = V::KIND;

    fn read(text: &str) -> Result<Self, String> {
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
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let read = String::from_toml(value).map(Self)?;
        read.url().map(|_| read).map_err(|error| error.to_string())
    }

    fn shown(&self) -> String {
        self.url().map_or_else(|error| error.to_string(), |url| url.to_string())
    }
}
