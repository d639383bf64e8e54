//! Batches that are packed: smaller in Redis, the same to readers.

use logrelay::store::{Append, Appended};

use crate::{
    support::TestRedis,
    writing::{Writer, entries, store_of, topic},
};

#[tokio::test]
async fn a_packed_batch_is_small_in_redis_and_the_same_to_readers() {
    let redis = TestRedis::start().await;
    let (store, topic) = (store_of(&redis), topic("t"));
    let mut writer = Writer::register(&store, &topic).await;
    writer.append(2000).await;

    let mut batch = writer.batch(2000);
    batch.packed = Some(zstd::bulk::compress(&batch.stored, 1).unwrap().into());
    let record = writer.record_after(&batch);
    let (source, believed) = (&writer.key, Some(&writer.record));
    let append = Append { source, believed, record: &record, batch: Some(&batch), before: None };
    let appended = store.append(&topic, &append).await.unwrap();
    assert!(matches!(appended, Appended::Stored { base, .. } if base.get() == 2000), "{appended:?}");
    // A repeated one is known by its token, packed or not.
    let again = store.append(&topic, &append).await.unwrap();
    assert!(matches!(again, Appended::Conflict { stored: Some(stored), .. } if stored == record));

    let found = entries(&store, &topic, 0).await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].batch.stored(), &batch.stored);
    let plain = found[0].batch.stored().len() as u64;
    let held = store.resolve(&topic).await.unwrap().unwrap().stored_bytes;
    assert!(held > plain && held < plain + plain / 4, "{held} bytes, of which {plain} are not packed");
}
