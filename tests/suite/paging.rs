//! Reading by offset and by time, against a plain search through everything.

use logrelay::{
    record::{BatchBuilder, Offset, Topic},
    store::{Entry, Item, Store},
};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};

use crate::{
    support::{Control, TestRedis},
    writing::{Writer, entries, store_of, topic},
};

/// Batches with their number of lines and the milliseconds since the one before; where
/// the topic begins; how many batches are trimmed.
type Shape = (Vec<(u32, u64)>, u64, usize);

fn shapes() -> impl Strategy<Value = Shape> {
    let batches = prop::collection::vec((1..50_u32, prop_oneof![Just(0), 0..5_u64, 0..10_000_u64]), 0..30);
    (batches, prop_oneof![Just(0), 0..1_000_000_u64], 0..10_usize)
}

/// Writes a topic of this shape past the script, which has no clock to be set.
async fn lay_out(store: &Store, control: &mut Control, topic: &Topic, shape: &Shape) -> Vec<(u64, u64)> {
    let (batches, begin, trimmed) = shape;
    control.run::<()>("FLUSHALL").await;
    Writer::register(store, topic).await;
    let epoch = store.resolve(topic).await.unwrap().unwrap().timeline.epoch();
    let (mut next, mut ms, mut stored, mut found) = (*begin, 1_000_000_u64, 0, Vec::new());
    for &(lines, later) in batches {
        let mut builder = BatchBuilder::new(&logrelay::proto::Source::default(), 0, 0);
        (0..lines).for_each(|_| builder.push(b"", 0));
        let batch = builder.seal(1).unwrap();
        ms += later;
        next += u64::from(lines);
        stored += batch.stored.len();
        let mut command = redis::cmd("XADD");
        command.arg(format!("logrelay:{{{topic}}}:lines")).arg(format!("{}-{ms}", next - 1));
        command.arg(&[("v", "1"), ("e", &epoch.to_string()), ("n", &lines.to_string())]);
        command.arg("s").arg(stored).arg("b").arg(&batch.stored[..]);
        control.send(&command).await;
        found.extend((next - u64::from(lines)..next).map(|offset| (offset, ms)));
    }
    control.run::<()>(&format!("HSET logrelay:{{{topic}}}:state next {next} bytes {stored} ms {ms}")).await;
    let kept = batches.len().saturating_sub(*trimmed);
    control.run::<()>(&format!("XTRIM logrelay:{{{topic}}}:lines MAXLEN {kept}")).await;
    let gone: u32 = batches.iter().take(batches.len() - kept).map(|&(lines, _)| lines).sum();
    found.split_off(usize::try_from(gone).unwrap())
}

#[tokio::test]
async fn offsets_and_times_are_found_as_by_a_plain_search() {
    let redis = TestRedis::with_args(&["--appendonly", "no"]).await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..40 {
        let shape = shapes().new_tree(&mut runner).unwrap().current();
        let lines = lay_out(&store, &mut control, &topic, &shape).await;
        let resolved = store.resolve(&topic).await.unwrap().unwrap();
        let timeline = resolved.timeline;
        let (first, next) = (timeline.first().get(), timeline.next().get());
        assert_eq!(next - first, lines.len() as u64, "{shape:?}");
        assert_eq!(resolved.first_ms, lines.first().map_or(0, |&(_, ms)| ms), "{shape:?}");

        let times = lines.iter().map(|&(_, ms)| ms).chain([0, 1_000_001, u64::MAX]);
        for time in times.flat_map(|ms| [ms.saturating_sub(1), ms, ms.saturating_add(1)]).step_by(7) {
            let wanted = lines.iter().find(|&&(_, ms)| ms >= time).map_or(next, |&(offset, _)| offset);
            let found = store.offset_at(&topic, time, &timeline).await.unwrap();
            assert_eq!(found.get(), wanted, "at {time} of {shape:?}");
        }
        let held: Vec<_> = entries(&store, &topic, first).await;
        let bytes: usize = held.iter().map(Entry::bytes).sum();
        assert_eq!(resolved.stored_bytes, bytes as u64, "{shape:?}");
        for from in (first..=next).step_by(5) {
            let page = store.page(&topic, Offset::new(from).unwrap(), 3).await.unwrap();
            let wanted: Vec<_> = held.iter().filter(|entry| entry.next().get() > from).take(3).collect();
            assert_eq!(page.len(), wanted.len(), "from {from} of {shape:?}");
            for (item, wanted) in page.iter().zip(wanted) {
                assert!(matches!(item, Item::Entry(entry) if entry.first == wanted.first), "{item:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_packed_is_read_and_what_is_no_entry_of_ours_is_said() {
    let redis = TestRedis::start().await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut writer = Writer::register(&store, &topic).await;
    writer.append(3).await;
    let epoch = store.resolve(&topic).await.unwrap().unwrap().timeline.epoch().to_string();
    let batch = writer.batch(4);
    let packed = zstd::bulk::compress(&batch.stored, 3).unwrap();
    let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 3).unwrap();
    let mut add = async |id: &str, format: &str, field: &str, payload: &[u8]| {
        let mut command = redis::cmd("XADD");
        command.arg("logrelay:{t}:lines").arg(id);
        command.arg("v").arg(format).arg("e").arg(&epoch).arg("n").arg(4).arg(field).arg(payload);
        control.send(&command).await;
    };
    add("6-1", "1", "z", &packed).await;
    add("10-1", "1", "z", &bomb).await;
    add("14-1", "1", "z", b"no zstd").await;
    add("18-1", "2", "b", &batch.stored).await;
    add("22-1", "1", "b", b"no batch").await;
    let page = store.page(&topic, Offset::ZERO, 10).await.unwrap();
    assert!(matches!(&page[1], Item::Entry(entry) if entry.batch.stored() == &batch.stored), "{:?}", page[1]);
    for (index, last) in [(2, 10), (3, 14), (5, 22)] {
        let bad = &page[index];
        assert!(matches!(bad, Item::Bad { last: found, .. } if found.get() == last), "{bad:?}");
    }
    assert!(matches!(&page[4], Item::Newer { format } if format == "2"), "{:?}", page[4]);

    // An ID that no offset can have.
    add("18446744073709551615-1", "1", "b", &batch.stored).await;
    let error = store.page(&topic, Offset::new(23).unwrap(), 10).await.unwrap_err();
    assert!(error.is_of_one_topic() && error.to_string().contains("18446744073709551615-1"), "{error}");
}
