//! Stored batches: what is built is read back, and what passes the check of a relay is
//! a message that protobuf reads the same.

use bytes::Bytes;
use logrelay::{
    proto,
    record::{BatchBuilder, EncodedLines, LineBounds, StoredBatch},
};
use prost::{
    Message as _,
    encoding::{DecodeContext, WireType, decode_key, skip_field},
};

/// Bytes that are a way to go, a number of lines, a place and a byte of damage, and
/// the stored bytes or the lines to be stored.
pub fn check(data: &[u8]) {
    let [way, number, at, byte, rest @ ..] = data else { return };
    if way % 3 == 2 {
        return is_published_as_it_was_sent(rest);
    }
    if way % 3 == 0 {
        let lines = if *number == u8::MAX { u32::MAX } else { u32::from(*number) };
        passes_as_a_message(rest.to_vec(), lines);
        return;
    }
    let contents: Vec<_> = rest.split(|&byte| byte == b'\n').collect();
    let truncated = |index: usize| if index % 3 == usize::from(*number) { u64::from(*at) << 40 } else { 0 };
    let source = proto::Source { key: "host/1".to_owned(), path: "/a".to_owned(), ..Default::default() };
    let mut builder = BatchBuilder::new(&source, u64::from(*number) << 30, u64::from(*at));
    for (index, content) in contents.iter().enumerate() {
        builder.push(content, truncated(index));
    }
    let sealed = builder.seal(u64::from(*byte)).expect("there are lines");
    let batch = StoredBatch::parse(sealed.stored.clone(), sealed.lines).expect("what we wrote");
    assert_eq!(batch.head().source.as_ref(), Some(&source));
    assert_eq!(batch.lines() as usize, contents.len());
    for (index, content) in (0..).zip(&contents) {
        let line = batch.line(index).expect("it has so many lines");
        assert_eq!((line.content, line.truncated_bytes), (*content, truncated(index as usize)));
    }
    let mut damaged = sealed.stored.to_vec();
    let place = usize::from(*at) % damaged.len();
    damaged[place] ^= byte;
    passes_as_a_message(damaged.clone(), sealed.lines);
    damaged.truncate(place);
    passes_as_a_message(damaged, sealed.lines);
}

/// What a relay takes of a program is what a reader gets.
fn is_published_as_it_was_sent(message: &[u8]) {
    let bounds =
        LineBounds { max_lines: 1000, max_line_bytes: 1000, max_extra_bytes: 1000, max_head_bytes: 1000 };
    if has_labels_of_wrong_kind(message) {
        return;
    }
    let Ok((_, lines)) = EncodedLines::split(Bytes::copy_from_slice(message), &bounds) else { return };
    let mut builder = BatchBuilder::of_producer(&proto::Source::default(), 7);
    (0..lines.len()).for_each(|index| builder.push_encoded(lines.get(index).expect("it has so many")));
    let sent = proto::PublishRequest::decode(message).map(|request| request.lines);
    let Some(sealed) = builder.seal(7 + lines.len() as u64) else {
        return assert!(sent.is_err() || lines.is_empty());
    };
    let batch = StoredBatch::parse(sealed.stored, sealed.lines).expect("what is taken can be read");
    let stored: Vec<_> = (0..sealed.lines).map(|index| batch.decoded_line(index).expect("a line")).collect();
    assert!(sent.is_err() || sent == Ok(stored));
}

/// prost takes a number under the key of a map for the length of an entry, and what follows for
/// its bytes, lines or not.
fn has_labels_of_wrong_kind(mut message: &[u8]) -> bool {
    const LABELS: u32 = 5;
    while let Ok((field, kind)) = decode_key(&mut message) {
        if field == LABELS && kind != WireType::LengthDelimited {
            return true;
        }
        if skip_field(kind, field, &mut message, DecodeContext::default()).is_err() {
            break;
        }
    }
    false
}

fn passes_as_a_message(stored: Vec<u8>, lines: u32) {
    let stored = Bytes::from(stored);
    let Ok(batch) = StoredBatch::parse(stored.clone(), lines) else { return };
    assert_eq!(batch.lines(), lines);
    assert_eq!([batch.head_bytes(), batch.line_bytes(0..lines)].concat(), stored);
    // As a relay sends it: nothing of the prefix may be changed by what follows.
    let prefix =
        proto::Batch { topic: "t".to_owned(), epoch: "e".to_owned(), base_offset: 7, ..Default::default() };
    let sent = proto::Batch::decode(&[prefix.encode_to_vec(), stored.to_vec()].concat()[..]);
    let sent = sent.expect("what passes is a message");
    assert_eq!((sent.topic.as_str(), sent.epoch.as_str(), sent.base_offset), ("t", "e", 7));
    assert!(sent.next_cursor.is_empty() && sent.time.is_none() && sent.offset_deltas.is_empty());
    assert_eq!(sent.lines.len(), lines as usize);
    for (index, line) in (0..).zip(&sent.lines) {
        let view = batch.line(index).expect("it has so many lines");
        assert_eq!((view.content, view.truncated_bytes), (&line.content[..], line.truncated_bytes));
        let alone = proto::Batch::decode(&batch.line_bytes(index..index + 1)[..]);
        assert_eq!(alone.expect("a line is a message by itself").lines, std::slice::from_ref(line));
    }
}

/// Lines to be stored, and a message as protobuf writes it.
pub fn seeds() -> Vec<Vec<u8>> {
    let line = proto::Line {
        content: "content".into(),
        truncated_bytes: 300,
        time_unix_nano: 1,
        labels: [("stream".to_owned(), "stdout".to_owned())].into(),
    };
    let source =
        proto::Source { key: "h/1".to_owned(), labels: line.labels.clone(), ..proto::Source::default() };
    let batch = proto::Batch {
        source: Some(source),
        start_position: 1,
        end_position: 300,
        first_line: 1,
        position_unit: 1,
        lines: vec![line.clone(), proto::Line::default(), line],
        ..Default::default()
    };
    let stored = [&[0, 3, 0, 0], batch.encode_to_vec().as_slice()].concat();
    let too_many = [&[0, u8::MAX, 0, 0], batch.encode_to_vec().as_slice()].concat();
    vec![b"\x01\x02\x20\x80one\n\ntwo\xff".to_vec(), b"\x01\0\x03\x01\n".to_vec(), stored, too_many]
}
