//! Lines that come from outside in the bytes in which they are stored: checked, and never
//! decoded. They are fields 15 of their message, as those of a stored batch are.

use std::ops::Range;

use bytes::Bytes;

use super::{LINES_KEY, LineView, at_u32, check_line, delimited, varint, view_line};

/// What lines may be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineBounds {
    /// Most lines of a message.
    pub max_lines: usize,
    /// Greatest size of a line's content, in bytes.
    pub max_line_bytes: usize,
    /// Greatest size of what a line has besides, encoded, in bytes.
    pub max_extra_bytes: usize,
    /// Greatest size of the message without its lines, in bytes.
    pub max_head_bytes: usize,
}

impl LineBounds {
    /// Anything that is a message.
    pub const NONE: Self = Self {
        max_lines: usize::MAX,
        max_line_bytes: usize::MAX,
        max_extra_bytes: usize::MAX,
        max_head_bytes: usize::MAX,
    };
}

/// What is wrong with a message or one of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// It is no protobuf message.
    #[error("the message is malformed at byte {0}")]
    Malformed(usize),
    /// It has more besides its lines than is allowed, in bytes.
    #[error("it has {found} bytes besides its lines, at most {most} are taken")]
    Head {
        /// How many.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// It has more lines than are allowed.
    #[error("it has more than {0} lines")]
    TooManyLines(usize),
    /// A line is no `Line` of this version of the contract.
    #[error("the line is malformed, or has a field that this version does not know")]
    Line {
        /// Which one.
        index: usize,
    },
    /// The content of a line is too long.
    #[error("the line has {found} bytes, at most {most} are taken")]
    TooLong {
        /// Which one.
        index: usize,
        /// Its size in bytes.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// A line has more besides its content than is allowed.
    #[error("the line has {found} bytes of labels and the like, at most {most} are taken")]
    TooMuch {
        /// Which one.
        index: usize,
        /// Its size in bytes without the content.
        found: usize,
        /// The bound.
        most: usize,
    },
}

/// The lines of a message, where they stand in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedLines {
    message: Bytes,
    /// Where each encoded line is, without its key and length.
    places: Vec<Range<u32>>,
}

impl EncodedLines {
    /// Takes a message apart: its other fields, as a message of their own, and its lines,
    /// each of which is checked.
    ///
    /// # Errors
    /// [`EncodingError`].
    pub fn split(message: Bytes, bounds: &LineBounds) -> Result<(Vec<u8>, Self), EncodingError> {
        if u32::try_from(message.len()).is_err() {
            return Err(EncodingError::Malformed(0));
        }
        let (mut head, mut places, mut at) = (Vec::new(), Vec::new(), 0);
        while at < message.len() {
            let malformed = EncodingError::Malformed(at);
            if message[at] == LINES_KEY {
                let (body, end) = delimited(&message, at + 1).map_err(|_| malformed)?;
                if places.len() == bounds.max_lines {
                    return Err(EncodingError::TooManyLines(bounds.max_lines));
                }
                check(&message[body.clone()], places.len(), bounds)?;
                places.push(at_u32(body.start)..at_u32(body.end));
                at = end;
            } else {
                let (key, value) = varint(&message, at).ok_or_else(|| malformed.clone())?;
                // A line under a key that nobody writes like that: it must not be passed over.
                if key >> 3 == u64::from(LINES_KEY >> 3) {
                    return Err(EncodingError::Line { index: places.len() });
                }
                let end = value_end(&message, key, value).ok_or(malformed)?;
                head.extend_from_slice(&message[at..end]);
                if head.len() > bounds.max_head_bytes {
                    return Err(EncodingError::Head { found: head.len(), most: bounds.max_head_bytes });
                }
                at = end;
            }
        }
        Ok((head, Self { message, places }))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// One line, encoded.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let place = self.places.get(index)?;
        self.message.get(place.start as usize..place.end as usize)
    }

    /// What is in one line.
    pub fn line(&self, index: usize) -> Option<LineView<'_>> {
        view_line(self.get(index)?)
    }
}

fn check(body: &[u8], index: usize, bounds: &LineBounds) -> Result<(), EncodingError> {
    let line = check_line(body).ok_or(EncodingError::Line { index })?;
    let (content, most) = (line.content.len(), bounds.max_line_bytes);
    if content > most {
        return Err(EncodingError::TooLong { index, found: content, most });
    }
    let (found, most) = (body.len() - content, bounds.max_extra_bytes);
    if found > most {
        return Err(EncodingError::TooMuch { index, found, most });
    }
    Ok(())
}

/// Where the value at a place ends whose field is no line; none where it is malformed.
fn value_end(message: &[u8], key: u64, at: usize) -> Option<usize> {
    let end = match key & 7 {
        0 => varint(message, at)?.1,
        1 => at.checked_add(8)?,
        2 => delimited(message, at).ok()?.1,
        5 => at.checked_add(4)?,
        _ => return None,
    };
    (end <= message.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::{
        proto::{self, PublishRequest},
        record::{BatchBuilder, StoredBatch},
    };

    const BOUNDS: LineBounds =
        LineBounds { max_lines: 50, max_line_bytes: 100, max_extra_bytes: 200, max_head_bytes: 500 };

    fn lines() -> impl Strategy<Value = Vec<proto::Line>> {
        let labels = prop::collection::btree_map("[a-z]{0,5}", ".{0,5}", 0..4);
        let line = (prop::collection::vec(any::<u8>(), 0..100), any::<u32>(), any::<u64>(), labels);
        let line = line.prop_map(|(content, truncated, time_unix_nano, labels)| proto::Line {
            content: content.into(),
            truncated_bytes: truncated.into(),
            time_unix_nano,
            labels,
        });
        prop::collection::vec(line, 0..50)
    }

    proptest! {
        #[test]
        fn lines_come_out_of_a_batch_as_they_were_sent(lines in lines(), sequence in 0..1_u64 << 50) {
            let request = PublishRequest { topic: "app".into(), sequence, lines, ..Default::default() };
            let (head, encoded) = EncodedLines::split(request.encode_to_vec().into(), &BOUNDS).unwrap();
            let head = PublishRequest::decode(&head[..]).unwrap();
            prop_assert_eq!(head, PublishRequest { lines: Vec::new(), ..request.clone() });
            let source = proto::Source { key: "job/1".into(), ..Default::default() };
            let mut builder = BatchBuilder::of_producer(&source, sequence);
            (0..encoded.len()).for_each(|index| builder.push_encoded(encoded.get(index).unwrap()));
            prop_assert_eq!(encoded.get(encoded.len()), None);
            for (index, line) in request.lines.iter().enumerate() {
                let view = encoded.line(index).unwrap();
                prop_assert_eq!((view.content, view.truncated_bytes), (&line.content[..], line.truncated_bytes));
                prop_assert_eq!((view.time_unix_nano, view.labels()), (line.time_unix_nano, line.labels.clone()));
            }
            let end = sequence + encoded.len() as u64;
            prop_assert_eq!(builder.is_empty(), request.lines.is_empty());
            let Some(sealed) = builder.seal(end) else { return Ok(()) };
            let stored = StoredBatch::parse(sealed.stored, sealed.lines).unwrap();
            prop_assert_eq!(stored.head().position_unit(), proto::PositionUnit::Sequence);
            prop_assert_eq!((stored.head().first_line, stored.head().end_position), (sequence, end));
            let found: Vec<_> = (0..sealed.lines).map(|index| stored.decoded_line(index).unwrap()).collect();
            prop_assert_eq!(found, request.lines);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((head, lines)) = EncodedLines::split(bytes.into(), &BOUNDS) {
                prop_assert!(head.len() <= BOUNDS.max_head_bytes && lines.len() <= BOUNDS.max_lines);
            }
        }
    }

    #[test]
    fn what_is_beyond_a_bound_is_named() {
        let error = |request: &PublishRequest| {
            EncodedLines::split(request.encode_to_vec().into(), &BOUNDS).unwrap_err()
        };
        let line = |content: usize, label: usize| proto::Line {
            content: vec![b'x'; content].into(),
            labels: [("a".to_owned(), "y".repeat(label))].into(),
            ..Default::default()
        };
        let of = |lines: Vec<proto::Line>| PublishRequest { lines, ..Default::default() };
        assert_eq!(error(&of(vec![line(1, 1); 51])), EncodingError::TooManyLines(50));
        let too_long = EncodingError::TooLong { index: 1, found: 101, most: 100 };
        assert_eq!(error(&of(vec![line(1, 1), line(101, 1)])), too_long);
        assert!(matches!(error(&of(vec![line(1, 300)])), EncodingError::TooMuch { index: 0, .. }));
        let request = PublishRequest { topic: "t".repeat(600), ..Default::default() };
        assert!(matches!(error(&request), EncodingError::Head { .. }));
        // Cut off, with a key that is longer than it has to be, and a number.
        let malformed = |bytes: &'static [u8]| EncodedLines::split(Bytes::from_static(bytes), &BOUNDS);
        assert_eq!(malformed(&[LINES_KEY, 5, 0]).unwrap_err(), EncodingError::Malformed(0));
        for line in [&[LINES_KEY | 0x80, 0, 0][..], &[15 << 3, 1]] {
            assert_eq!(malformed(line).unwrap_err(), EncodingError::Line { index: 0 });
        }
    }
}
