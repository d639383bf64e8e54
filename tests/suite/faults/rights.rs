//! Passwords and rights that change under those who are connected.

use logrelay::{record::Topic, store::ConnectOptions, tail::TopicRule};

use super::{Bed, PROBE_MS, Pulse};
use crate::{
    outage::Logs,
    proxy::{Fate, Proxy, is_append},
    spine::Reader,
    support::{Control, TestRedis, cluster::store_over, eventually, relay::TestRelay},
    tailing::{Tailing, append, lines},
};

/// The name of a user, and how to connect as it.
fn connect(redis: &TestRedis, user: &str) -> ConnectOptions {
    let url = format!("redis://{user}:secret@127.0.0.1:{}", redis.port());
    ConnectOptions { connect_timeout_ms: 2000, ..ConnectOptions::new(url.parse().unwrap()) }
}

/// A server that knows two users who may do everything.
async fn guarded() -> (TestRedis, Control) {
    let redis = TestRedis::with_port(&[]).await;
    let mut control = redis.control().await;
    for user in ["tailer", "relay"] {
        control.run::<()>(&format!("ACL SETUSER {user} on >secret ~* &* +@all")).await;
    }
    (redis, control)
}

impl Bed {
    /// Tailer and relay have said it, whatever the outage began with.
    async fn all_say(&self, code: &str) {
        self.says(&["lines wait", code]).await;
        self.says(&["readers wait", code]).await;
    }
}

#[tokio::test]
async fn a_password_that_is_wanted_all_at_once_is_said_and_waited_for() {
    let redis = TestRedis::with_port(&[]).await;
    let bed = Bed::start(&redis).await;
    let mut control = redis.control().await;
    control.run::<()>("CONFIG SET requirepass other").await;
    control.run::<i64>("CLIENT KILL TYPE normal").await;
    bed.all_say("NOAUTH").await;
    bed.reader_waits().await;
    control.send(redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("")).await;
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_password_that_is_changed_is_said_and_waited_for() {
    let (redis, mut control) = guarded().await;
    let bed = Bed::over(&redis, connect(&redis, "tailer"), connect(&redis, "relay")).await;
    for user in ["tailer", "relay"] {
        control.run::<()>(&format!("ACL SETUSER {user} resetpass >other")).await;
        control.run::<i64>(&format!("CLIENT KILL USER {user}")).await;
    }
    bed.all_say("WRONGPASS").await;
    bed.reader_waits().await;
    assert!(!bed.logs.text().contains("secret"));
    for user in ["tailer", "relay"] {
        control.run::<()>(&format!("ACL SETUSER {user} >secret")).await;
    }
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_right_that_is_taken_away_stops_who_needs_it_until_it_is_back() {
    let (redis, mut control) = guarded().await;
    let bed = Bed::over(&redis, connect(&redis, "tailer"), connect(&redis, "relay")).await;
    control.run::<()>("ACL SETUSER tailer -xadd").await;
    bed.tailer_hears("NOPERM").await;
    bed.live.until(bed.tailing.count().await).await;
    bed.health.was_steady();
    control.run::<()>("ACL SETUSER tailer +xadd").await;
    bed.goes_on().await;

    // A relay that can do all but read does not serve, though its probes are answered.
    control.run::<()>("ACL SETUSER relay -xread").await;
    bed.says(&["redis cannot be read", "NOPERM"]).await;
    bed.reader_waits().await;
    let stored = bed.tailing.count().await;
    bed.tailing.until_lines(stored + 100).await;
    assert!(!bed.relay.serves().await);
    control.run::<()>("ACL SETUSER relay +xread").await;
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_topic_whose_keys_are_forbidden_waits_alone() {
    let (logs, _guard) = Logs::capture();
    let (redis, mut control) = guarded().await;
    for user in ["tailer", "relay"] {
        control
            .run::<()>(&format!("ACL SETUSER {user} resetkeys ~logrelay:topics ~logrelay:{{good}}*"))
            .await;
    }
    let by_name = |mut options: logrelay::tail::Options| {
        options.inputs[0].topic = TopicRule::FileStem;
        options
    };
    let mut tailing = Tailing::prepare(&redis, "*.log", by_name).over(connect(&redis, "tailer"));
    let (good, bad) = (tailing.path("good.log"), tailing.path("bad.log"));
    append(&good, &lines(0, 10));
    append(&bad, &lines(0, 10));
    tailing.resume();
    let relay =
        TestRelay::over(store_over(connect(&redis, "relay")), |serve, _| serve.probe_ms = PROBE_MS).await;
    let health = Pulse::of(&relay.url).await;
    let reader = |name: &str| Reader::start(&relay, &name.parse::<Topic>().unwrap());
    let readers = [reader("good"), reader("bad")];
    readers[0].until(10).await;
    for what in ["the topic cannot be used", "the topic cannot be read"] {
        eventually(what, async || logs.count(what) == 1).await;
    }
    append(&good, &lines(10, 10));
    readers[0].until(20).await;
    readers[0].until_redis_ok(true).await;
    health.was_steady();
    for user in ["tailer", "relay"] {
        control.run::<()>(&format!("ACL SETUSER {user} ~logrelay:{{bad}}*")).await;
    }
    readers[1].until(10).await;
    readers[1].has_each_once(&[(&bad, 10)]);
    for what in ["the topic can be used again", "the topic can be read again"] {
        eventually(what, async || logs.count(what) == 1).await;
    }
}

#[tokio::test]
async fn a_connection_that_has_lost_its_login_is_replaced() {
    let redis = TestRedis::with_port(&[]).await;
    let proxy = Proxy::to(redis.port()).await;
    let bed = Bed::over(&redis, ConnectOptions::new(proxy.url()), redis.options()).await;
    let mut control = redis.control().await;
    let before = control.ids("logrelay-pool").await;
    let mut is_done = false;
    proxy.judge(move |request| {
        if is_append(request) && !std::mem::replace(&mut is_done, true) {
            Fate::Answer("-NOAUTH Authentication required.\r\n")
        } else {
            Fate::Pass
        }
    });
    bed.tailer_hears("NOAUTH").await;
    bed.goes_on().await;
    eventually("it is closed", async || {
        let now = control.ids("logrelay-pool").await;
        before.iter().any(|id| !now.contains(id))
    })
    .await;
    bed.ends_as_if_nothing_happened().await;
}
