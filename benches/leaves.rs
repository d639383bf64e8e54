//! The pure leaves on the way of a line: cutting, encoding, checking, the hub's window, filters.
//! Not here: anything that waits; see `throughput`.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logrelay::{
    hub::benching::Newest,
    proto::{self, matcher::Op},
    record::{BatchBuilder, Epoch, Offset, SealedBatch, StoredBatch},
    serve::benching::Sieve,
    store::Entry,
    tail::lines::Lines,
};

#[path = "throughput/sample.rs"]
mod sample;

const LINES: u64 = 2500;
const MAX_LINE_BYTES: usize = 1024 * 1024;

fn kinds() -> [(&'static str, String); 2] {
    [("100 bytes", sample::hundred_bytes as fn(u64) -> String), ("mixed", sample::real)]
        .map(|(name, line)| (name, sample::text(0..LINES, line)))
}

/// Lines from a block of a file.
fn cut(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cut into lines");
    for (name, text) in kinds() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let mut lines = Lines::new(0, MAX_LINE_BYTES);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                lines.extend(text.as_bytes());
                let mut count = 0;
                while let Some(line) = lines.next_line() {
                    black_box(line.content);
                    count += 1;
                }
                assert_eq!(count, LINES);
            });
        });
    }
    group.finish();
}

fn build(builder: &mut BatchBuilder, text: &str) -> Option<SealedBatch> {
    for line in text.lines() {
        builder.push(line.as_bytes(), 0);
    }
    builder.seal(0)
}

/// A batch, line by line, and its check by a relay.
fn batch(criterion: &mut Criterion) {
    let source = proto::Source { key: "host/1".to_owned(), path: "/a.log".to_owned(), ..Default::default() };
    for (name, text) in kinds() {
        let mut builder = BatchBuilder::new(&source, 0, 0);
        let mut group = criterion.benchmark_group("batch");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("build, {name}"), |bencher| {
            bencher.iter(|| build(&mut builder, &text));
        });
        let Some(sealed) = build(&mut builder, &text) else { return };
        group.bench_function(format!("check, {name}"), |bencher| {
            bencher.iter(|| StoredBatch::parse(sealed.stored.clone(), sealed.lines));
        });
        group.finish();
    }
}

/// What a batch of these lines is to a relay.
fn stored(text: &str) -> Option<StoredBatch> {
    let sealed = build(&mut BatchBuilder::new(&proto::Source::default(), 0, 0), text)?;
    StoredBatch::parse(sealed.stored, sealed.lines).ok()
}

/// The lines of a batch that a text, a regular expression and two conditions leave.
fn filter(criterion: &mut Criterion) {
    let text = sample::text(0..LINES, sample::real);
    let Some(batch) = stored(&text) else { return };
    let mut group = criterion.benchmark_group("filter");
    group.throughput(Throughput::Bytes(text.len() as u64));
    let matcher =
        |op: Op, value: &str| proto::Matcher { op: op.into(), value: value.to_owned(), ignore_case: false };
    for (name, matchers) in [
        ("a text, rare", vec![matcher(Op::Contains, "took_ms=899")]),
        ("a text, in one line of seven", vec![matcher(Op::Contains, "status=500")]),
        ("an expression", vec![matcher(Op::Matches, "status=(404|500) bytes=7[0-9]{2} ")]),
        ("an expression with an anchor", vec![matcher(Op::Matches, "took_ms=8[0-9]{2}$")]),
        ("a text and not another", vec![matcher(Op::Contains, "WARN"), matcher(Op::NotContains, "/health")]),
    ] {
        let Some(sieve) = Sieve::new(&proto::Filter { matchers, ..Default::default() }) else { return };
        group.bench_function(name, |bencher| bencher.iter(|| sieve.count(&batch)));
    }
    group.finish();
}

/// A full window that gets an entry and is asked for one in its middle.
fn window(criterion: &mut Criterion) {
    const ENTRIES: u64 = 1000;
    let Some(batch) = stored("a line\nanother line\n") else { return };
    let lines = u64::from(batch.lines());
    let entry = |number: u64| {
        let first = Offset::new(number * lines).unwrap_or(Offset::ZERO);
        Arc::new(Entry::new(first, Epoch::new(1), 0, batch.clone()))
    };
    let mut window = Newest::new(Offset::ZERO);
    let (mut next, mut bound_bytes) = (0, usize::MAX);
    criterion.bench_function("window of 1000 entries, one in, one out, one found", |bencher| {
        bencher.iter(|| {
            while next < ENTRIES {
                window.push(entry(next), usize::MAX);
                next += 1;
            }
            if bound_bytes == usize::MAX {
                bound_bytes = window.bytes();
            }
            window.push(entry(next), bound_bytes);
            next += 1;
            let wanted = Offset::new((next - ENTRIES / 2) * lines).unwrap_or(Offset::ZERO);
            assert!(window.find(black_box(wanted)).is_some());
        });
    });
}

criterion_group! {
    name = leaves;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = cut, batch, window, filter
}
criterion_main!(leaves);
