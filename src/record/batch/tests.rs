//! That our encoding is protobuf's own, and that no bytes break the decoder.

use proptest::prelude::*;

use super::*;

fn source() -> impl Strategy<Value = proto::Source> {
    ("[a-z]{1,9}/[0-9]{1,5}", "[a-z]{1,9}", ".{0,30}", prop::collection::btree_map(".{0,5}", ".{0,5}", 0..3))
        .prop_map(|(key, host, path, labels)| proto::Source { key, host, path, labels })
}

fn lines() -> impl Strategy<Value = Vec<proto::Line>> {
    let content = prop::collection::vec(any::<u8>(), 0..300);
    let number = || prop_oneof![4 => Just(0), 1 => any::<u64>()];
    let labels =
        prop_oneof![2 => Just(Labels::new()), 1 => prop::collection::btree_map(".{0,5}", ".{0,200}", 0..3)];
    let line = (content, number(), number(), labels).prop_map(
        |(content, truncated_bytes, time_unix_nano, labels)| proto::Line {
            content: content.into(),
            truncated_bytes,
            time_unix_nano,
            labels,
        },
    );
    prop::collection::vec(line, 1..40)
}

fn push(builder: &mut BatchBuilder, line: &proto::Line) {
    builder.push_line(&NewLine {
        content: &line.content,
        truncated_bytes: line.truncated_bytes,
        time_unix_nano: line.time_unix_nano,
        labels: Some(&line.labels),
    });
}

/// What prost makes of the same batch, with the relay's fields taken from `prefix`.
fn message(
    source: &proto::Source,
    start: u64,
    end: u64,
    first_line: u64,
    lines: &[proto::Line],
    prefix: &proto::Batch,
) -> proto::Batch {
    proto::Batch {
        source: Some(source.clone()),
        start_position: start,
        end_position: end,
        first_line,
        position_unit: proto::PositionUnit::Bytes.into(),
        lines: lines.to_vec(),
        ..prefix.clone()
    }
}

proptest! {
    #[test]
    fn prefix_and_stored_bytes_are_what_prost_encodes(
        source in source(), start: u64, end: u64, first_line in 0..1_u64 << 60, lines in lines(),
        topic in "[a-z]{1,9}", base_offset: u64, offset_deltas in prop::collection::vec(any::<u32>(), 0..5),
    ) {
        let prefix = proto::Batch { topic, base_offset, offset_deltas, ..Default::default() };
        let mut builder = BatchBuilder::new(&source, start, first_line);
        for line in &lines {
            push(&mut builder, line);
        }
        let sealed = builder.seal(end).unwrap();
        prop_assert_eq!(sealed.next_line, first_line + lines.len() as u64);
        prop_assert!(builder.is_empty());

        let whole = message(&source, start, end, first_line, &lines, &prefix);
        let concatenated = [prefix.encode_to_vec(), sealed.stored.to_vec()].concat();
        prop_assert_eq!(&concatenated, &whole.encode_to_vec());
        prop_assert_eq!(proto::Batch::decode(&concatenated[..]).unwrap(), whole);

        let stored = StoredBatch::parse(sealed.stored.clone(), sealed.lines).unwrap();
        prop_assert_eq!(stored.lines() as usize, lines.len());
        for (index, line) in lines.iter().enumerate() {
            let view = stored.line(at_u32(index)).unwrap();
            prop_assert_eq!((view.content, view.truncated_bytes), (&line.content[..], line.truncated_bytes));
            prop_assert_eq!((view.time_unix_nano, view.labels()), (line.time_unix_nano, line.labels.clone()));
        }
        prop_assert_eq!([stored.head_bytes(), stored.line_bytes(0..sealed.lines)].concat(), sealed.stored.to_vec());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), lines in 0..5_u32) {
        if let Ok(batch) = StoredBatch::parse(bytes.into(), lines) {
            prop_assert_eq!(batch.lines(), lines);
        }
    }

    #[test]
    fn damaged_batches_never_panic_and_what_passes_is_a_message(
        lines in lines(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut builder = BatchBuilder::new(&proto::Source::default(), 0, 0);
        for line in &lines {
            push(&mut builder, line);
        }
        let sealed = builder.seal(1).unwrap();
        let mut damaged = sealed.stored.to_vec();
        let index = at.index(damaged.len());
        damaged[index] = byte;
        for bytes in [damaged.clone(), damaged[..cut.index(damaged.len())].to_vec()] {
            if StoredBatch::parse(bytes.clone().into(), sealed.lines).is_ok() {
                prop_assert!(proto::Batch::decode(&bytes[..]).is_ok());
            }
        }
    }
}

#[test]
fn a_field_of_the_relay_in_a_stored_batch_is_refused() {
    let smuggled = proto::Batch { topic: "other".into(), ..Default::default() }.encode_to_vec();
    assert_eq!(StoredBatch::parse(smuggled.into(), 0).unwrap_err(), BatchError::ForeignField(1));
}

#[test]
fn a_wrong_line_count_is_said() {
    let mut builder = BatchBuilder::new(&proto::Source::default(), 0, 0);
    builder.push(b"one", 0);
    let stored = builder.seal(4).unwrap().stored;
    assert_eq!(StoredBatch::parse(stored, 2).unwrap_err(), BatchError::LineCount { expected: 2, found: 1 },);
}

/// Four billion lines would be 16 GiB of bounds, which ends the process where memory is not promised.
#[test]
fn a_line_count_that_no_bytes_stand_behind_takes_no_memory() {
    let mut builder = BatchBuilder::new(&proto::Source::default(), 0, 0);
    builder.push(b"", 0);
    builder.push(b"", 0);
    let stored = builder.seal(2).unwrap().stored;
    assert_eq!(StoredBatch::parse(stored.clone(), 2).unwrap().bounds.capacity(), 3);
    let error = StoredBatch::parse(stored, u32::MAX).unwrap_err();
    assert_eq!(error, BatchError::LineCount { expected: u32::MAX, found: 2 });
}

/// Written by version 1 of the format and never regenerated: Redis is full of these.
#[test]
fn a_stored_batch_of_format_1_is_still_written_and_read_the_same() {
    let fixture = include_bytes!("../../../tests/fixtures/batch-v1.bin");
    let source = proto::Source {
        key: "web-1/0190a1b2c3d4e5f6-7".into(),
        host: "web-1".into(),
        path: "/var/log/app.log".into(),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
    };
    let mut builder = BatchBuilder::new(&source, 1000, 42);
    builder.push(b"first line", 0);
    builder.push(b"", 0);
    builder.push(b"not UTF-8: \xff\xfe", 17);
    let sealed = builder.seal(1034).unwrap();
    assert_eq!(sealed.stored.as_ref(), fixture.as_slice());
    let read = StoredBatch::parse(Bytes::from_static(fixture), 3).unwrap();
    assert_eq!(read.head().source.as_ref(), Some(&source));
    assert_eq!(read.line(2).unwrap().content, b"not UTF-8: \xff\xfe");
}
