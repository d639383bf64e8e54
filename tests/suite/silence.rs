//! Redis is silent, or away: readers wait, health says so, and it goes on by itself.

use std::time::Duration;

use logrelay::proto::{ListTopicsRequest, SubscribeRequest};
use tonic::{Code, transport::Endpoint};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};
use tonic_types::StatusExt as _;

use crate::support::{
    TestRedis, eventually,
    relay::{TestRelay, from_earliest, reason, topic},
    writer::Writer,
};

fn beating(request: SubscribeRequest) -> SubscribeRequest {
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    SubscribeRequest { heartbeat_interval, ..request }
}

async fn serves(relay: &TestRelay, service: &str) -> bool {
    let channel = Endpoint::from_shared(relay.url.clone()).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.unwrap().into_inner().status == ServingStatus::Serving as i32
}

#[tokio::test]
async fn a_subscription_outlives_a_frozen_redis() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |_, hub| hub.block_ms = 300).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(3, 4).await;
    let mut lines = relay.subscribe(beating(from_earliest("app"))).await;
    lines.opened().await;
    lines.until(12).await;
    let heartbeat = lines.heartbeat().await;
    assert!(heartbeat.redis_ok);
    assert_eq!(heartbeat.topics[0].tail_offset, 12);
    redis.freeze();
    while lines.heartbeat().await.redis_ok {}
    let heartbeat = lines.heartbeat().await;
    assert!(heartbeat.topics[0].cursor.ends_with(":12"));
    redis.thaw();
    writer.append_numbered(3, 4).await;
    lines.until(24).await;
    lines.are_numbered(0, 24);
    while !lines.heartbeat().await.redis_ok {}
}

#[tokio::test]
async fn a_subscription_that_begins_while_redis_is_away_waits_for_it() {
    let mut redis = TestRedis::start().await;
    Writer::new(&redis, "app").await.append_numbered(2, 5).await;
    let relay = TestRelay::with(&redis, |serve, _| serve.redis_wait_ms = 400).await;
    redis.kill().await;
    let mut lines = relay.subscribe(beating(from_earliest("app"))).await;
    let heartbeat = lines.heartbeat().await;
    assert_eq!((heartbeat.redis_ok, heartbeat.topics[0].topic.as_str()), (false, "app"));
    let status = relay.client().await.list_topics(ListTopicsRequest {}).await.unwrap_err();
    assert_eq!(reason(&status), (Code::Unavailable, "REDIS_UNAVAILABLE".to_owned()));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_millis(400)));
    redis.start_again().await;
    lines.opened().await;
    lines.until(10).await;
    lines.are_numbered(0, 10);
}

#[tokio::test]
async fn readers_go_on_after_redis_was_killed_and_came_back() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    let mut lines = relay.subscribe(topic("app")).await;
    lines.opened().await;
    for round in 1..4 {
        writer.append_numbered(3, 5).await;
        lines.until(round * 15).await;
        let _: String = redis.control().await.run("SAVE").await;
        redis.stop().await;
        redis.start_again().await;
    }
    lines.are_numbered(0, 45);
}

#[tokio::test]
async fn health_says_whether_redis_really_answers() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.probe_ms = 200).await;
    let mut reader = relay.subscribe(topic("app")).await;
    reader.opened().await;
    for service in ["", "logrelay.v1.LogRelay"] {
        eventually("it serves", async || serves(&relay, service).await).await;
    }
    let _: String = redis.control().await.run("CLIENT PAUSE 3000 ALL").await;
    eventually("a paused redis is noticed", async || !serves(&relay, "").await).await;
    eventually("it serves again", async || serves(&relay, "").await).await;
    redis.freeze();
    eventually("a frozen redis is noticed", async || !serves(&relay, "logrelay.v1.LogRelay").await).await;
    redis.thaw();
    eventually("it serves again", async || serves(&relay, "logrelay.v1.LogRelay").await).await;
}

#[tokio::test]
async fn a_relay_of_a_replica_says_that_it_does_not_serve_before_anybody_reads() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.probe_ms = 100).await;
    eventually("a master is served", async || relay.serves().await).await;
    let _: String = redis.control().await.run("REPLICAOF 127.0.0.1 1").await;
    eventually("a replica is not", async || !relay.serves().await).await;
    let _: String = redis.control().await.run("REPLICAOF NO ONE").await;
    eventually("it serves again", async || relay.serves().await).await;
}

#[tokio::test]
async fn a_cut_blocking_connection_is_replaced() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    let mut lines = relay.subscribe(topic("app")).await;
    lines.opened().await;
    for round in 1..6 {
        writer.append_numbered(1, 5).await;
        lines.until(round * 5).await;
        let mut control = redis.control().await;
        for id in control.ids("logrelay-read").await {
            let _: i64 = control.run(&format!("CLIENT KILL ID {id}")).await;
        }
    }
    lines.are_numbered(0, 25);
}
