//! Keys that are of another type, and keys that Redis evicts: for real, as they alone may be.

use logrelay::{proto::subscribe_response::Event, serve};

use super::Bed;
use crate::{
    spine::{Reader, Told},
    support::{Control, TestRedis, eventually, relay::from_earliest},
    tailing::{Tailing, append, lines},
};

/// Has Redis evict this key: hardly any other may be.
async fn evict(control: &mut Control, key: &str) {
    control.run::<i64>(&format!("PEXPIRE {key} 100000000")).await;
    control.run::<()>("CONFIG SET maxmemory-policy volatile-lru").await;
    control.run::<()>("CONFIG SET maxmemory 1").await;
    eventually("it is evicted", async || control.run::<i64>(&format!("EXISTS {key}")).await == 0).await;
    let stats: String = control.run("INFO stats").await;
    assert!(!stats.contains("evicted_keys:0\r\n"), "{stats}");
    control.run::<()>("CONFIG SET maxmemory 0").await;
}

/// A bed whose relay looks often for what went.
async fn bed(redis: &TestRedis) -> Bed {
    let tailing = Tailing::prepare(redis, "*.log", |options| options);
    let often = |serve: &mut serve::Options, _: &mut logrelay::hub::Options| {
        serve.retention.interval_ms = 50;
    };
    Bed::of(tailing, redis.options(), often).await
}

#[tokio::test]
async fn a_topic_whose_keys_are_of_another_type_waits_alone() {
    let redis = TestRedis::start().await;
    let bed = Bed::start(&redis).await;
    let mut control = redis.control().await;
    let (key, script) =
        (bed.key("lines"), "redis.call('RENAME', KEYS[1], KEYS[2]) redis.call('SET', KEYS[1], 'mine')");
    control.send(redis::cmd("EVAL").arg(script).arg(2).arg(&key).arg("aside")).await;
    bed.says(&["the topic cannot be used", "WRONGTYPE"]).await;
    bed.says(&["the topic cannot be read", "WRONGTYPE"]).await;
    // Who reads or writes another one hears nothing of it.
    let beside = Tailing::start(&redis, "*.log");
    let other = Reader::start(&bed.relay, beside.topic());
    append(&beside.path("other.log"), &lines(0, 100));
    other.until(100).await;
    bed.live.until_redis_ok(true).await;
    bed.health.was_steady();
    control.run::<()>(&format!("RENAME aside {key}")).await;
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn lines_that_are_evicted_are_counted_and_said_and_all_goes_on() {
    let redis = TestRedis::start().await;
    let mut bed = bed(&redis).await;
    let paused = Reader::start(&bed.relay, bed.tailing.topic());
    eventually("it has some", async || paused.count() > 0).await;
    let paused = paused.pause().await;
    bed.is_read_up().await;
    evict(&mut redis.control().await, &bed.key("lines")).await;
    bed.says(&["lines are gone from redis", &format!("lines={}", bed.written)]).await;
    assert_eq!(bed.relay.metric("logrelay_retention_lost_lines_total").await, bed.written);
    let missed = paused.resume(&bed.relay);
    let gone = bed.written;
    bed.write();
    bed.goes_on().await;
    missed.until_told(1).await;
    let told = format!("{:?}", missed.told());
    assert!(told.contains(&format!("to: Offset({gone})")) && told.contains("trimmed"), "{told}");
    bed.is_read_up().await;
    bed.live.has_each_once(&[(&bed.tailing.path("app.log"), bed.written)]);
    bed.live.was_told_nothing();
    bed.health.was_steady();
    assert_eq!(bed.tailing.epochs().await, 1);
    assert_eq!(bed.relay.metric("logrelay_retention_lost_lines_total").await, gone);
}

#[tokio::test]
async fn where_the_state_of_a_topic_is_evicted_its_files_are_sent_again_in_a_new_epoch() {
    let redis = TestRedis::start().await;
    let mut bed = bed(&redis).await;
    bed.is_read_up().await;
    evict(&mut redis.control().await, &bed.key("state")).await;
    bed.says(&["redis has forgotten the source"]).await;
    bed.live.until_told(1).await;
    assert!(matches!(bed.live.told()[..], [Told::Reset { to: 0, .. }]), "{:?}", bed.live.told());
    bed.tailing.until_lines(2 * bed.written).await;
    bed.write();
    let live = bed.ends_well().await;
    assert_eq!(live.told().len(), 1, "{:?}", live.told());
}

#[tokio::test]
async fn a_list_of_topics_that_is_evicted_or_of_another_type_is_written_again() {
    let redis = TestRedis::start().await;
    let bed = Bed::start(&redis).await;
    let mut matching = bed.relay.subscribe(from_earliest("t*")).await;
    matching.opened().await;
    let mut control = redis.control().await;
    evict(&mut control, "logrelay:topics").await;
    let is_listed =
        async || bed.tailing.publisher().store().topics().await.unwrap().contains(bed.tailing.topic());
    eventually("it is listed again", is_listed).await;

    // Of another type, too: lines do without it.
    control.run::<()>("RENAME logrelay:topics aside").await;
    control.run::<()>("SET logrelay:topics mine").await;
    bed.lines_come().await;
    for what in ["the list of topics cannot be used", "the list of topics cannot be read"] {
        bed.says(&[what, "WRONGTYPE"]).await;
    }
    bed.health.was_steady();
    control.run::<()>("RENAME aside logrelay:topics").await;
    bed.says(&["the list of topics can be used again"]).await;
    let later = Tailing::start(&redis, "*.log");
    append(&later.path("later.log"), &lines(0, 10));
    loop {
        if let Event::Batch(batch) = matching.event().await
            && batch.topic == later.topic().as_str()
        {
            break;
        }
    }
    let offsets = matching.heard.iter().map(|(offset, _)| *offset);
    let of_both = offsets.clone().filter(|&offset| offset == 0).count();
    assert_eq!(of_both, 2, "a topic came twice");
    bed.ends_as_if_nothing_happened().await;
}
