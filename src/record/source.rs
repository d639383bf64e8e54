//! Where lines come from, and what Redis keeps of it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of a host or a producer: `[A-Za-z0-9._-]`, 1 to 200 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

/// `<host or producer>/<id>`: one incarnation of one file, or one producer. The
/// id is given by Redis at registration and never given twice in a topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey(Arc<str>);

/// A text that is no host name or no source key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is wrong: {rule}")]
pub struct SourceNameError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

const NAME_RULE: &str = "a name has 1 to 200 characters out of A-Z, a-z, 0-9, '.', '_' and '-'";
const KEY_RULE: &str =
    "a source key is <host or producer>/<id>, both made of A-Z, a-z, 0-9, '.', '_' and '-'";

fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl Host {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = SourceNameError;

    fn from_str(text: &str) -> Result<Self, SourceNameError> {
        if is_name(text) {
            Ok(Self(text.into()))
        } else {
            let text = text.chars().take(210).collect();
            Err(SourceNameError { what: "host", text, rule: NAME_RULE })
        }
    }
}

impl SourceKey {
    /// The whole key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host or the producer: what stands before the slash.
    pub fn host(&self) -> &str {
        self.0.split_once('/').map_or("", |(host, _)| host)
    }
}

impl FromStr for SourceKey {
    type Err = SourceNameError;

    fn from_str(text: &str) -> Result<Self, SourceNameError> {
        match text.split_once('/') {
            Some((host, id)) if is_name(host) && is_name(id) => Ok(Self(text.into())),
            _ => {
                let text = text.chars().take(410).collect();
                Err(SourceNameError { what: "source key", text, rule: KEY_RULE })
            }
        }
    }
}

macro_rules! shows_its_text {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
shows_its_text!(Host, SourceKey);

/// Names one append: a random number that its writer made, by which the writer
/// knows its own work again when the reply was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// A token that nobody else has, but for a chance of one in 2^64.
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A hash over some bytes, and over how many (XXH3, 128 bits).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PrintHash {
    /// Number of bytes.
    pub len: u32,
    /// Their hash; zero for no bytes.
    pub hash: u128,
}

impl PrintHash {
    /// The hash of these bytes (at most a few kilobytes are ever given).
    pub fn of(bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let hash = if bytes.is_empty() { 0 } else { xxhash_rust::xxh3::xxh3_128(bytes) };
        Self { len, hash }
    }
}

impl Serialize for PrintHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{:032x}", self.len, self.hash))
    }
}

impl<'de> Deserialize<'de> for PrintHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.split_once(':').and_then(|(len, hash)| {
            Some(Self { len: len.parse().ok()?, hash: u128::from_str_radix(hash, 16).ok()? })
        });
        parsed.ok_or_else(|| serde::de::Error::custom("a hash is written <bytes>:<32 hex digits>"))
    }
}

/// By what a file is known again: its content; device and inode are hints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Device number of the file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// The first bytes, up to 1024 and never past the position.
    pub head: PrintHash,
    /// The last bytes before the position, up to 1024.
    pub tail: PrintHash,
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// It may have more lines.
    #[default]
    Active,
    /// It was read to its end and is not there any more. Only such records expire.
    Gone,
}

/// What Redis keeps of a source, stored in the same atomic step as its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The append that wrote this record.
    pub token: Token,
    /// Bytes read of a file, or a producer's next sequence number.
    pub position: u64,
    /// What else there is to know.
    pub details: Details,
}

/// The part of a record that the append script does not look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The number of the source's next line.
    pub next_line: u64,
    /// Where the source began: the position of line 0.
    pub start: u64,
    /// The path that the file was found under first; bytes that are not UTF-8 as `\xNN`.
    pub path: String,
    /// What the file is known by.
    #[serde(flatten)]
    pub identity: Identity,
    /// Whether more can come.
    #[serde(default)]
    pub state: SourceState,
}

/// A stored text that is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a source's record is not readable ({why}): {text:?}")]
pub struct RecordError {
    why: String,
    text: String,
}

impl Record {
    /// What the stored text of this record starts with, and no other append's does:
    /// `<token> <position> `. The append script compares it with what is stored.
    pub fn believed(&self) -> String {
        format!("{} {} ", self.token, self.position)
    }

    /// The stored text: `<token> <position> <details as JSON>`.
    pub fn to_text(&self) -> String {
        let details = serde_json::to_string(&self.details).unwrap_or_default();
        self.believed() + &details
    }

    /// Reads a stored text.
    ///
    /// # Errors
    /// [`RecordError`], with the beginning of the text.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let error = |why: String| RecordError { why, text: text.chars().take(120).collect() };
        let mut parts = text.splitn(3, ' ');
        let mut part = |name: &str| parts.next().ok_or_else(|| error(format!("it has no {name}")));
        let (token, position, details) = (part("token")?, part("position")?, part("details")?);
        Ok(Self {
            token: Token(u64::from_str_radix(token, 16).map_err(|e| error(format!("token: {e}")))?),
            position: position.parse().map_err(|e| error(format!("position: {e}")))?,
            details: serde_json::from_str(details).map_err(|e| error(format!("details: {e}")))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = Record> {
        let print = || (any::<u32>(), any::<u128>()).prop_map(|(len, hash)| PrintHash { len, hash });
        let identity = (any::<u64>(), any::<u64>(), print(), print())
            .prop_map(|(device, inode, head, tail)| Identity { device, inode, head, tail });
        (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), ".*", identity, any::<bool>()).prop_map(
            |(token, position, next_line, start, path, identity, gone)| {
                let state = if gone { SourceState::Gone } else { SourceState::Active };
                let details = Details { next_line, start, path, identity, state };
                Record { token: Token(token), position, details }
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_is_read_back_as_it_was_written(record in records()) {
            prop_assert!(record.to_text().starts_with(&record.believed()));
            prop_assert_eq!(Record::parse(&record.to_text()), Ok(record));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
            prop_assert!(Record::parse(&text).is_ok() || Record::parse(&text).is_err());
        }
    }

    #[test]
    fn names_and_keys_are_checked() {
        assert_eq!("web-1".parse::<Host>().unwrap().as_str(), "web-1");
        assert!("web 1".parse::<Host>().unwrap_err().to_string().contains("web 1"));
        assert!("".parse::<Host>().is_err());
        assert_eq!("web-1/0a".parse::<SourceKey>().unwrap().host(), "web-1");
        for wrong in ["web-1", "web-1/", "/1", "a/b/c", "a b/1"] {
            assert!(wrong.parse::<SourceKey>().is_err(), "{wrong}");
        }
    }
}
