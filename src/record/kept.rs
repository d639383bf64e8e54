//! What Redis keeps of a source, in the same hash as the topic's offsets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Identity;

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

/// Nearly all details take less, without their path.
const DETAILS_BYTES: usize = 384;

/// The part of a record that the append script does not look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The number of the source's next line.
    pub next_line: u64,
    /// Where the source began: the position of its first line.
    pub start: u64,
    /// Whether it is a producer of `Publish`, which has no file: its position is the sequence
    /// number of the next line, which is that line's number too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_producer: bool,
    /// The path that the file was found under first; bytes that are not UTF-8 as `\xNN`.
    pub path: String,
    /// What the file is known by.
    #[serde(flatten)]
    pub identity: Identity,
    /// Whether more can come.
    #[serde(default)]
    pub state: SourceState,
    /// Bytes that the file had when it was read last; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When its last lines were appended, in unix milliseconds of its host's clock; none:
    /// it had none yet, or that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appended_ms: Option<u64>,
}

/// A stored text that is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a source's record is not readable ({why}): {text:?}")]
pub struct RecordError {
    why: String,
    text: String,
}

impl Details {
    /// How many lines the source has, where it is a producer; those that it left out count.
    pub fn lines(&self) -> u64 {
        if self.is_producer { self.next_line.saturating_sub(self.start) } else { self.next_line }
    }
}

impl Record {
    /// This record with the mark that no more will come of its source, to be appended.
    #[must_use]
    pub fn gone(self) -> Self {
        let details = Details { state: SourceState::Gone, ..self.details };
        Self { token: Token::random(), details, ..self }
    }

    /// What the stored text of this record starts with, and no other append's does:
    /// `<token> <position> `. The append script compares it with what is stored.
    pub fn believed(&self) -> String {
        format!("{} {} ", self.token, self.position)
    }

    /// The stored text: `<token> <position> <details as JSON>`.
    pub fn to_text(&self) -> String {
        let mut text = self.believed().into_bytes();
        text.reserve(self.details.path.len() + DETAILS_BYTES);
        // What goes into memory, and has no keys but texts, can always be written.
        serde_json::to_writer(&mut text, &self.details).ok();
        String::from_utf8(text).unwrap_or_default()
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
    use crate::record::PrintHash;

    fn records() -> impl Strategy<Value = Record> {
        let print = || (any::<u32>(), any::<u128>()).prop_map(|(len, hash)| PrintHash { len, hash });
        let times = any::<(Option<u64>, Option<u64>)>();
        let identity = (any::<u64>(), any::<u64>(), times, print(), print()).prop_map(
            |(device, inode, (created_ns, modified_s), head, tail)| Identity {
                device,
                inode,
                created_ns,
                modified_s,
                head,
                tail,
            },
        );
        let states =
            any::<bool>().prop_map(|gone| if gone { SourceState::Gone } else { SourceState::Active });
        let known = any::<(Option<u64>, Option<u64>, bool)>();
        (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), ".*", identity, states, known).prop_map(
            |(token, position, next_line, start, path, identity, state, (size, appended_ms, is_producer))| {
                let details =
                    Details { next_line, start, is_producer, path, identity, state, size, appended_ms };
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
        fn a_record_of_an_older_version_has_no_size_and_no_times(record in records()) {
            let identity = Identity { created_ns: None, modified_s: None, ..record.details.identity };
            let details = Details { identity, size: None, appended_ms: None, ..record.details };
            let old = Record { details, ..record };
            let text = old.to_text();
            prop_assert!(["size", "created_ns", "modified_s"].iter().all(|name| !text.contains(name)));
            prop_assert_eq!(Record::parse(&old.to_text()), Ok(old));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
            prop_assert!(Record::parse(&text).is_ok() || Record::parse(&text).is_err());
        }
    }
}
