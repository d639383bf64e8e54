//! Connections of one relay that lead to two servers, of which one is the former master.

use logrelay::store::{self, Store};

use crate::{
    promotion::{replica_of, until_in_sync},
    proxy::Proxy,
    support::{
        TestRedis, eventually,
        relay::{TestRelay, from_earliest},
        writer::Writer,
    },
};

/// Ends the connections of this name: what comes in their place leads elsewhere.
async fn cut(redis: &TestRedis, name: &str) {
    let mut control = redis.control().await;
    for id in control.ids(name).await {
        control.run::<i64>(&format!("CLIENT KILL ID {id}")).await;
    }
}

#[tokio::test]
async fn lines_of_the_next_master_are_no_gap_while_the_former_one_says_where_the_topic_stands() {
    let former = TestRedis::with_port(&[]).await;
    let next = replica_of(&former).await;
    let way = Proxy::to(former.port()).await;
    let store = Store::new(store::Options::new(way.url())).unwrap();
    let relay = TestRelay::over(store, |_, hub| hub.ahead_wait_ms = 60_000).await;
    let mut writer = Writer::new(&former, "app").await;
    writer.append_numbered(3, 5).await;
    let mut lines = relay.subscribe(from_earliest("app")).await;
    lines.opened().await;
    lines.until(15).await;
    until_in_sync(&former, &next).await;
    next.control().await.run::<()>("REPLICAOF NO ONE").await;

    way.lead_to(next.port());
    let mut control = former.control().await;
    let asked = control.calls("evalsha").await;
    cut(&former, "logrelay-read").await;
    let mut writer = writer.moved_to(&next);
    writer.append_numbered(3, 5).await;
    eventually("it looks again", async || control.calls("evalsha").await > asked + 5).await;
    cut(&former, "logrelay-pool").await;
    lines.until(30).await;
    lines.are_numbered(0, 30);
}
