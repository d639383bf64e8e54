//! What readers hear when Redis forgot lines, or everything.

use logrelay::proto::{OnGap, SubscribeRequest, subscribe_response::Event};
use tonic::Code;

use crate::support::{
    TestRedis, eventually,
    relay::{Lines, TestRelay, from_cursor, from_earliest, reason},
    writer::Writer,
};

async fn live_reader(relay: &TestRelay, until: u64) -> (Lines, String) {
    let mut lines = relay.subscribe(from_earliest("app")).await;
    lines.opened().await;
    let cursor = lines.until(until).await;
    lines.caught_up().await;
    (lines, cursor)
}

async fn rewound(lines: &mut Lines) -> (u64, u64) {
    loop {
        match lines.event().await {
            Event::Rewound(rewound) => {
                assert!(rewound.cursor.ends_with(&format!(":{}", rewound.to_offset)), "{rewound:?}");
                return (rewound.from_offset, rewound.to_offset);
            }
            Event::CaughtUp(_) => {}
            event => panic!("{event:?} instead of rewound"),
        }
    }
}

#[tokio::test]
async fn a_lossy_failover_rewinds_live_readers_and_those_that_come_later() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(4, 10).await;
    let (copy, then) = (redis.copy(), writer.record());
    writer.append_numbered(2, 10).await;
    let (mut live, cursor) = live_reader(&relay, 60).await;
    redis.replace_with(&copy).await;
    assert_eq!(rewound(&mut live).await, (60, 40));
    writer.go_back(then);
    writer.append_numbered(5, 10).await;
    live.until(90).await;
    live.heard.drain(..60);
    live.are_numbered(40, 90);

    let mut later = relay.subscribe(from_cursor(&cursor)).await;
    assert_eq!(later.opened().await.topics[0].cursor, cursor);
    assert_eq!(rewound(&mut later).await, (60, 40));
    later.until(90).await;
    later.are_numbered(40, 90);

    let request = SubscribeRequest { on_gap: OnGap::Fail.into(), ..from_cursor(&cursor) };
    let status = relay.subscribe(request).await.status().await;
    assert_eq!(reason(&status), (Code::FailedPrecondition, "REWOUND".to_owned()));
}

#[tokio::test]
async fn a_second_failover_without_an_append_between_leads_back_to_what_both_share() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(3, 10).await;
    let (older, then) = (redis.copy(), writer.record());
    writer.append_numbered(3, 10).await;
    let old = redis.copy();
    writer.append_numbered(3, 10).await;
    let (mut live, cursor) = live_reader(&relay, 90).await;
    redis.replace_with(&old).await;
    assert_eq!(rewound(&mut live).await, (90, 60));
    redis.replace_with(&older).await;
    assert_eq!(rewound(&mut live).await, (60, 30));
    writer.go_back(then);
    writer.append_numbered(7, 10).await;
    live.until(100).await;
    live.heard.drain(..90);
    live.are_numbered(30, 100);
    let mut later = relay.subscribe(from_cursor(&cursor)).await;
    later.opened().await;
    assert_eq!(rewound(&mut later).await, (90, 30));
    later.until(100).await;
    later.are_numbered(30, 100);
}

#[tokio::test]
async fn a_wiped_redis_resets_readers_to_the_first_line() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(4, 10).await;
    let (mut live, cursor) = live_reader(&relay, 40).await;
    let _: String = redis.control().await.run("FLUSHALL").await;
    Writer::new(&redis, "app").await.append_numbered(3, 5).await;
    let Event::Reset(reset) = live.event().await else { panic!("no reset") };
    assert_eq!((reset.from_offset, reset.to_offset), (40, 0));
    live.until(15).await;
    live.heard.drain(..40);
    live.are_numbered(0, 15);

    let mut later = relay.subscribe(from_cursor(&cursor)).await;
    later.opened().await;
    assert!(matches!(later.event().await, Event::Reset(_)));
    later.until(15).await;
    later.are_numbered(0, 15);
    let request = SubscribeRequest { on_gap: OnGap::Fail.into(), ..from_cursor(&cursor) };
    let status = relay.subscribe(request).await.status().await;
    assert_eq!(reason(&status), (Code::FailedPrecondition, "RESET".to_owned()));
}

#[tokio::test]
async fn a_new_epoch_without_a_loss_is_nothing_to_readers() {
    let redis = TestRedis::with_args(&["--enable-debug-command", "local"]).await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(2, 10).await;
    let (mut live, cursor) = live_reader(&relay, 20).await;
    for _ in 0..2 {
        let _: String = redis.control().await.run("DEBUG CHANGE-REPL-ID").await;
        writer.append_numbered(2, 5).await;
    }
    live.until(40).await;
    live.are_numbered(0, 40);
    let mut later = relay.subscribe(from_cursor(&cursor)).await;
    let opened = later.opened().await.topics.remove(0);
    assert!(!cursor.contains(&opened.epoch), "it is another epoch");
    later.until(40).await;
    later.are_numbered(20, 40);
}

#[tokio::test]
async fn a_promoted_replica_under_blocked_readers_skips_no_line() {
    let old_master = TestRedis::with_port(&[]).await;
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(4, 10).await;
    let (mut live, _) = live_reader(&relay, 40).await;
    // It becomes a replica of a server with other lines, and a master again, while
    // everybody stays connected.
    let mut elsewhere = Writer::new(&old_master, "app").await;
    elsewhere.append_numbered(3, 10).await;
    let mut control = redis.control().await;
    let _: String = control.run(&format!("REPLICAOF 127.0.0.1 {}", old_master.port())).await;
    eventually("the replica is in sync", async || {
        let info: String = control.run("INFO replication").await;
        info.contains("master_link_status:up")
    })
    .await;
    let _: String = control.run("REPLICAOF NO ONE").await;
    let mut here = elsewhere.moved_to(&redis);
    here.append_numbered(3, 10).await;
    let Event::Reset(reset) = live.event().await else { panic!("no reset") };
    assert_eq!((reset.from_offset, reset.to_offset), (40, 0));
    live.until(60).await;
    live.heard.drain(..40);
    live.are_numbered(0, 60);
}
