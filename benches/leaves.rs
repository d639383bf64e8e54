//! The pure leaves on the way of a line: cutting, encoding, checking. Not here: anything
//! that waits; see `throughput`.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logrelay::{
    proto,
    record::{BatchBuilder, SealedBatch, StoredBatch},
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

criterion_group! {
    name = leaves;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = cut, batch
}
criterion_main!(leaves);
