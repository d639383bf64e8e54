//! One message of a subscription as it comes. The lines of a batch are found in its bytes, and
//! not decoded: a reader takes them from there, without a copy or a count of references.
//! Not here: what the lines mean, in `lines.rs`.

use std::fmt::Display;

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use tonic::{
    Status,
    codec::{DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use crate::{
    proto::{BATCH_KEY, Batch, SubscribeRequest, SubscribeResponse, codec::Pair, subscribe_response::Event},
    record::{EncodedLines, LineBounds},
};

/// A message of a subscription.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// What it says; a batch is without its lines.
    pub(super) event: Option<Event>,
    /// The lines of the batch.
    pub(super) lines: EncodedLines,
}

impl Incoming {
    fn read(message: Bytes) -> Result<Self, Status> {
        if let Some(Ok(incoming)) = only_batch(&message).map(Self::of_batch) {
            return Ok(incoming);
        }
        // What is not written as this version writes it is written so now.
        match SubscribeResponse::decode(message).map_err(malformed)?.event {
            Some(Event::Batch(batch)) => Self::of_batch(batch.encode_to_vec().into()),
            event => Ok(Self { event, ..Self::default() }),
        }
    }

    fn of_batch(batch: Bytes) -> Result<Self, Status> {
        let (head, lines) = EncodedLines::split(batch, &LineBounds::NONE).map_err(malformed)?;
        let head = Batch::decode(&head[..]).map_err(malformed)?;
        Ok(Self { event: Some(Event::Batch(head)), lines })
    }
}

/// The bytes of the batch, where the message is nothing else.
fn only_batch(message: &Bytes) -> Option<Bytes> {
    let mut batch = message.clone();
    let is_batch = batch.try_get_u8().ok()? == BATCH_KEY;
    let len = prost::decode_length_delimiter(&mut batch).ok()?;
    (is_batch && len == batch.len()).then_some(batch)
}

fn malformed(error: impl Display) -> Status {
    Status::internal(error.to_string())
}

/// Writes what prost does, and reads [`Incoming`].
pub(super) type IncomingCodec = Pair<ProstEncoder<SubscribeRequest>, IncomingDecoder>;

/// Reads [`Incoming`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IncomingDecoder;

impl Decoder for IncomingDecoder {
    type Item = Incoming;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Incoming>, Status> {
        // All of it at once, without a copy.
        Incoming::read(buffer.copy_to_bytes(buffer.remaining())).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Heartbeat, Line};

    fn response() -> SubscribeResponse {
        let line = |content: &'static str| Line { content: content.into(), ..Line::default() };
        let labels = [("a".to_owned(), "b".to_owned())].into();
        let lines = vec![line("one"), Line { labels, time_unix_nano: 7, truncated_bytes: 1, ..line("two") }];
        let batch = Batch { topic: "app".to_owned(), base_offset: 9, lines, ..Batch::default() };
        SubscribeResponse { event: Some(Event::Batch(batch)) }
    }

    fn contents(message: Vec<u8>) -> (Batch, Vec<Vec<u8>>) {
        let incoming = Incoming::read(message.into()).unwrap();
        let Some(Event::Batch(head)) = incoming.event else { panic!("no batch") };
        let content = |index| incoming.lines.line(index).unwrap().content.to_vec();
        (head, (0..incoming.lines.len()).map(content).collect())
    }

    #[test]
    fn lines_are_found_where_they_are() {
        let message = Bytes::from(response().encode_to_vec());
        let incoming = Incoming::read(message.clone()).unwrap();
        let content = incoming.lines.line(1).unwrap().content;
        assert!(message.as_ptr_range().contains(&content.as_ptr()), "it was copied");
        let (head, lines) = contents(message.to_vec());
        assert_eq!((head.base_offset, head.lines.len()), (9, 0));
        assert_eq!(lines, [b"one", b"two"]);
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let mut line = vec![0x0a, 1, b'x', 0x4a, 1, 0];
        line.splice(..0, [15 << 3 | 2, u8::try_from(line.len()).unwrap()]);
        let added = [[0x9a, 6, 1, 0].as_slice(), &line].concat();
        let mut message = response().encode_to_vec();
        message[1] += u8::try_from(added.len()).unwrap();
        message.extend(added);
        assert_eq!(contents(message.clone()).1, [&b"one"[..], b"two", b"x"]);
        // A field beside the batch.
        message.extend([0x9a, 6, 1, 0]);
        assert_eq!(contents(message).1.len(), 3);
    }

    #[test]
    fn a_batch_in_two_parts_is_one_and_no_bytes_are_no_event() {
        let message = [response().encode_to_vec(), response().encode_to_vec()].concat();
        assert_eq!(contents(message).1.len(), 4);
        assert_eq!(Incoming::read(Bytes::new()).unwrap().event, None);
        let heartbeat = Some(Event::Heartbeat(Heartbeat { redis_ok: true, ..Heartbeat::default() }));
        let message = SubscribeResponse { event: heartbeat.clone() }.encode_to_vec();
        assert_eq!(Incoming::read(message.into()).unwrap().event, heartbeat);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for wrong in [&[0x12, 9, 0][..], &[0x12, 2, 0x7a, 5], &[0x12, 3, 0x0a, 1, 0xff]] {
            assert!(Incoming::read(Bytes::from_static(wrong)).is_err(), "{wrong:?}");
        }
    }
}
