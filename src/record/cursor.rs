//! Where a reader is: the next line that it wants.

use std::{fmt, str::FromStr};

use super::{Epoch, EpochError, Offset, OffsetError, Topic, TopicError};

/// `<topic>@<epoch>:<offset>`: the *next* line wanted.
///
/// The epoch is that of the line before it, the last one the reader may have
/// seen, so that a cursor at the tail stays good when a new epoch begins there
/// (see [`Timeline::cursor_at`](super::Timeline::cursor_at)).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The topic that it reads.
    pub topic: Topic,
    /// The timeline in which the reader was.
    pub epoch: Epoch,
    /// The next line wanted.
    pub offset: Offset,
}

/// Why a text is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It does not have the three parts.
    #[error("cursor {0:?} is not of the form <topic>@<epoch>:<offset>")]
    Form(String),
    /// Its topic is none.
    #[error("cursor: {0}")]
    Topic(#[from] TopicError),
    /// Its epoch is none.
    #[error("cursor: {0}")]
    Epoch(#[from] EpochError),
    /// Its offset is not a plain decimal number.
    #[error("cursor: offset {0:?} is not a whole number without sign or leading zeros")]
    Number(String),
    /// Its offset is too large.
    #[error("cursor: {0}")]
    Offset(#[from] OffsetError),
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let form = || CursorError::Form(text.chars().take(300).collect());
        let (topic, rest) = text.split_once('@').ok_or_else(form)?;
        let (epoch, offset) = rest.split_once(':').ok_or_else(form)?;
        let plain = !offset.is_empty()
            && offset.bytes().all(|b| b.is_ascii_digit())
            && (offset == "0" || !offset.starts_with('0'));
        let number = || CursorError::Number(offset.chars().take(40).collect());
        if !plain {
            return Err(number());
        }
        Ok(Self {
            topic: topic.parse()?,
            epoch: epoch.parse()?,
            offset: Offset::new(offset.parse().map_err(|_| number())?)?,
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.topic, self.epoch, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::MAX_OFFSET;

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            topic in "[A-Za-z0-9._-]{1,200}", epoch: u64, offset in 0..=MAX_OFFSET,
        ) {
            let cursor = Cursor {
                topic: topic.parse().unwrap(),
                epoch: Epoch::new(epoch),
                offset: Offset::new(offset).unwrap(),
            };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_prints_the_same(text in "\\PC{0,60}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }

        #[test]
        fn near_misses_never_panic(text in "[a-z]{0,3}@?[0-9a-g]{15,17}:?[-+0-9]{0,20}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn each_wrong_part_is_named() {
        let error = |text: &str| text.parse::<Cursor>().unwrap_err().to_string();
        assert!(error("app").contains("<topic>@<epoch>:<offset>"));
        assert!(error("a b@0000000000000000:1").contains("topic"));
        assert!(error("a@000000000000000G:1").contains("epoch"));
        assert!(error("a@0000000000000000:01").contains("leading zeros"));
        assert!(error("a@0000000000000000:9007199254740992").contains("too large"));
        assert!(error("a@0000000000000000:99999999999999999999").contains("offset"));
    }
}
