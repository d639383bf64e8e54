//! Settings of Redis that put lines at risk are said to whoever lists the topics.

use logrelay::proto::ListTopicsRequest;

use crate::support::{TestRedis, relay::TestRelay};

async fn warnings(args: &[&str]) -> Vec<String> {
    let redis = TestRedis::with_args(args).await;
    let relay = TestRelay::start(&redis).await;
    relay.client().await.list_topics(ListTopicsRequest {}).await.unwrap().into_inner().warnings
}

#[tokio::test]
async fn an_evicting_redis_is_warned_about_and_one_that_keeps_lines_is_not() {
    let [warning] = &warnings(&["--maxmemory-policy", "allkeys-lru"]).await[..] else {
        panic!("one warning")
    };
    assert!(warning.contains("allkeys-lru") && warning.contains("noeviction"), "{warning}");
    assert_eq!(warnings(&[]).await, [""; 0]);
}
