//! Durable subscriptions: where they begin, what a commit moves, and who may commit.

use logrelay::{
    proto::{
        self, CommitCursorRequest, GetCursorRequest, StartedFrom, SubscribeRequest, start::Position,
        subscribe_response::Event,
    },
    serve::Options,
    store::DurableBounds,
};
use tonic::{Code, Status};

use crate::support::{
    TestRedis, eventually,
    relay::{Lines, TestRelay, from_cursor, from_earliest, reason, topic},
    writer::Writer,
};

fn durable(name: &str, request: SubscribeRequest) -> SubscribeRequest {
    SubscribeRequest { subscription: name.to_owned(), ..request }
}

/// A stream of the subscription `s`, its token, and where it begins in `app`.
async fn open(relay: &TestRelay, request: SubscribeRequest) -> (Lines, String, proto::OpenedTopic) {
    let mut lines = relay.subscribe(durable("s", request)).await;
    let mut opened = lines.opened().await;
    assert_eq!(opened.commit_token.len(), 16);
    (lines, opened.commit_token, opened.topics.remove(0))
}

async fn commit(relay: &TestRelay, request: CommitCursorRequest) -> Result<String, Status> {
    let committed = relay.client().await.commit_cursor(request).await?.into_inner();
    Ok(committed.cursors[0].clone())
}

fn of_stream(token: &str, cursor: &str) -> CommitCursorRequest {
    let (subscription, cursors) = ("s".to_owned(), vec![cursor.to_owned()]);
    CommitCursorRequest { subscription, cursors, commit_token: token.to_owned(), seek: false }
}

fn seek(cursor: &str) -> CommitCursorRequest {
    CommitCursorRequest { seek: true, ..of_stream("", cursor) }
}

/// The committed cursor of `app`; none where there is no such subscription.
async fn committed(relay: &TestRelay, name: &str) -> Option<String> {
    let request = GetCursorRequest { subscription: name.to_owned(), topics: vec!["app".to_owned()] };
    let found = relay.client().await.get_cursor(request).await.unwrap().into_inner();
    found.cursors.first().map(|found| found.cursor.clone())
}

/// The same cursor at another offset.
fn at(cursor: &str, offset: u64) -> String {
    format!("{}:{offset}", cursor.rsplit_once(':').unwrap().0)
}

/// Asserts that the stream ends as one that was taken over.
async fn is_taken_over(mut lines: Lines) {
    let (events, end) = lines.rest().await;
    let Some(Event::Closing(closing)) = events.last() else { panic!("no closing: {events:?}") };
    assert!(closing.taken_over && closing.reason.contains("app"), "{closing:?}");
    assert_eq!(reason(&end.unwrap_err()), (Code::FailedPrecondition, "SUBSCRIPTION_TAKEN".to_owned()));
}

#[tokio::test]
async fn a_stream_goes_on_where_the_last_commit_was_on_any_relay() {
    let redis = TestRedis::start().await;
    let (one, other) = (TestRelay::start(&redis).await, TestRelay::start(&redis).await);
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(4, 5).await;
    let (mut lines, token, opened) = open(&one, from_earliest("app")).await;
    assert_eq!(opened.started_from(), StartedFrom::Earliest);
    let cursor = lines.until(20).await;
    assert_eq!(commit(&other, of_stream(&token, &at(&cursor, 10))).await.unwrap(), at(&cursor, 10));
    drop(lines);
    let (mut lines, token, opened) = open(&other, topic("app")).await;
    assert_eq!((opened.started_from(), &opened.cursor), (StartedFrom::Committed, &at(&cursor, 10)));
    lines.until(20).await;
    lines.are_numbered(10, 20);
    commit(&one, of_stream(&token, &cursor)).await.unwrap();
    // Another name is another subscription, and a cursor of the request wins.
    let mut another = one.subscribe(durable("another", from_earliest("app"))).await;
    assert_eq!(another.opened().await.topics[0].started_from(), StartedFrom::Earliest);
    let (mut lines, ..) = open(&one, from_cursor(&at(&cursor, 15))).await;
    lines.until(20).await;
    lines.are_numbered(15, 20);
    assert_eq!(committed(&one, "s").await, Some(cursor));
}

#[tokio::test]
async fn a_reader_killed_before_its_first_commit_loses_nothing() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(2, 5).await;
    let (lines, ..) = open(&relay, topic("app")).await;
    drop(lines);
    writer.append_numbered(2, 5).await;
    let (mut lines, _, opened) = open(&relay, topic("app")).await;
    assert_eq!(opened.started_from(), StartedFrom::Committed);
    lines.until(20).await;
    lines.are_numbered(10, 20);
}

#[tokio::test]
async fn a_reader_of_a_topic_that_is_not_there_yet_gets_its_first_line_or_hears_what_is_missing() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let (lines, _, opened) = open(&relay, topic("app")).await;
    assert_eq!(opened.started_from(), StartedFrom::Absent);
    assert_eq!(committed(&relay, "s").await, Some(String::new()));
    drop(lines);
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(4, 5).await;
    let (mut lines, ..) = open(&relay, topic("app")).await;
    lines.until(20).await;
    lines.are_numbered(0, 20);
    drop(lines);
    let store = redis.store();
    let found = store.resolve(&"app".parse().unwrap()).await.unwrap().unwrap().timeline;
    store.trim(&"app".parse().unwrap(), found.epoch(), found.next().minus(10)).await.unwrap();
    // A relay that has no copy of what is gone.
    let relay = TestRelay::start(&redis).await;
    let (mut lines, ..) = open(&relay, topic("app")).await;
    let Event::Gap(gap) = lines.event().await else { panic!("no gap") };
    assert_eq!((gap.from_offset, gap.to_offset), (0, 10));
    lines.until(20).await;
    lines.are_numbered(10, 20);
}

#[tokio::test]
async fn the_newer_stream_of_a_name_takes_over_at_the_same_relay_and_at_another() {
    let redis = TestRedis::start().await;
    let (one, other) = (TestRelay::start(&redis).await, TestRelay::start(&redis).await);
    Writer::new(&redis, "app").await.append_numbered(4, 5).await;
    let (mut first, stale, _) = open(&one, from_earliest("app")).await;
    let cursor = first.until(20).await;
    let (second, token, _) = open(&one, topic("app")).await;
    is_taken_over(first).await;
    let (mut third, newest, _) = open(&other, topic("app")).await;
    is_taken_over(second).await;
    for token in [stale, token] {
        let refused = commit(&one, of_stream(&token, &cursor)).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::FailedPrecondition, "SUBSCRIPTION_TAKEN".to_owned()));
    }
    assert_eq!(committed(&one, "s").await, Some(at(&cursor, 0)));
    third.until(20).await;
    assert_eq!(commit(&one, of_stream(&newest, &cursor)).await.unwrap(), cursor);
}

#[tokio::test]
async fn a_commit_never_goes_back_and_a_seek_goes_anywhere_and_takes_over() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    Writer::new(&redis, "app").await.append_numbered(4, 5).await;
    let (mut lines, token, _) = open(&relay, from_earliest("app")).await;
    let cursor = lines.until(20).await;
    commit(&relay, of_stream(&token, &cursor)).await.unwrap();
    assert_eq!(commit(&relay, of_stream(&token, &at(&cursor, 5))).await.unwrap(), cursor);
    // Without a token only where no stream has it.
    let refused = commit(&relay, of_stream("", &cursor)).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::FailedPrecondition, "SUBSCRIPTION_TAKEN".to_owned()));
    assert_eq!(commit(&relay, seek(&at(&cursor, 5))).await.unwrap(), at(&cursor, 5));
    is_taken_over(lines).await;
    assert_eq!(commit(&relay, of_stream("", &at(&cursor, 7))).await.unwrap(), at(&cursor, 7));
    let (mut lines, ..) = open(&relay, topic("app")).await;
    lines.until(20).await;
    lines.are_numbered(7, 20);
}

#[tokio::test]
async fn a_cursor_that_nobody_can_have_read_is_refused() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let unknown = commit(&relay, of_stream("", "app@0000000000000001:1")).await.unwrap_err();
    assert_eq!(reason(&unknown), (Code::NotFound, "TOPIC_NOT_FOUND".to_owned()));
    Writer::new(&redis, "app").await.append_numbered(1, 5).await;
    let (_lines, token, opened) = open(&relay, from_earliest("app")).await;
    for ahead in [at(&opened.cursor, 6), "app@ffffffffffffffff:1".to_owned()] {
        let refused = commit(&relay, of_stream(&token, &ahead)).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::InvalidArgument, "CURSOR_AHEAD".to_owned()));
        assert!(refused.message().contains(&ahead), "{refused}");
    }
    assert_eq!(committed(&relay, "s").await, Some(opened.cursor));
}

#[tokio::test]
async fn a_topic_has_so_many_durable_subscriptions_and_those_that_nobody_uses_make_room() {
    let redis = TestRedis::start().await;
    let with = |expiry_ms| {
        move |options: &mut Options, _: &mut logrelay::hub::Options| {
            options.durable = DurableBounds { max_per_topic: 2, expiry_ms };
        }
    };
    let relay = TestRelay::with(&redis, with(60_000)).await;
    Writer::new(&redis, "app").await.append_numbered(1, 5).await;
    for name in ["a", "b"] {
        relay.subscribe(durable(name, topic("app"))).await.opened().await;
    }
    let full = relay.subscribe(durable("c", topic("app"))).await.status().await;
    assert_eq!(reason(&full), (Code::ResourceExhausted, "TOO_MANY_DURABLE_SUBSCRIPTIONS".to_owned()));
    assert!(full.message().contains("max_durable_subscriptions"), "{full}");
    relay.subscribe(durable("a", topic("app"))).await.opened().await;
    let soon = TestRelay::with(&redis, with(1)).await;
    eventually("the others expire", async || {
        let mut lines = soon.subscribe(durable("c", topic("app"))).await;
        matches!(lines.next().await, Ok(Some(Event::Opened(_))))
    })
    .await;
    assert_eq!(committed(&relay, "a").await, None);
}

#[tokio::test]
async fn a_subscription_does_not_expire_while_its_stream_is_open() {
    let redis = TestRedis::start().await;
    let expiring = |options: &mut Options, _: &mut logrelay::hub::Options| options.durable.expiry_ms = 2500;
    let relay = TestRelay::with(&redis, expiring).await;
    Writer::new(&redis, "app").await.append_numbered(1, 5).await;
    let (lines, ..) = open(&relay, topic("app")).await;
    let store = redis.store();
    let begun_ms = store.time_ms().await.unwrap();
    let after = async |ms| store.time_ms().await.unwrap() > begun_ms + ms;
    eventually("time goes on", async || after(4000).await).await;
    assert!(committed(&relay, "s").await.is_some());
    drop(lines);
    eventually("it expires", async || committed(&relay, "s").await.is_none()).await;
}

#[tokio::test]
async fn a_failover_that_forgets_commits_sends_what_was_handled_since_again_and_says_so() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(4, 10).await;
    let (mut lines, token, _) = open(&relay, from_earliest("app")).await;
    let cursor = lines.until(40).await;
    commit(&relay, of_stream(&token, &at(&cursor, 20))).await.unwrap();
    let (copy, then) = (redis.copy(), writer.record());
    writer.append_numbered(2, 10).await;
    let cursor = lines.until(60).await;
    commit(&relay, of_stream(&token, &cursor)).await.unwrap();
    redis.replace_with(&copy).await;
    eventually("the stream still owns it", async || commit(&relay, of_stream(&token, &cursor)).await.is_ok())
        .await;
    drop(lines);
    writer.go_back(then);
    writer.append_numbered(3, 10).await;
    let (mut lines, ..) = open(&relay, topic("app")).await;
    let Event::Rewound(rewound) = lines.event().await else { panic!("not rewound") };
    assert_eq!((rewound.from_offset, rewound.to_offset), (60, 40));
    lines.until(70).await;
    lines.are_numbered(40, 70);
}

#[tokio::test]
async fn a_wiped_redis_gets_the_cursor_again_from_a_running_stream_and_the_next_one_is_reset() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    Writer::new(&redis, "app").await.append_numbered(4, 10).await;
    let (mut lines, token, _) = open(&relay, from_earliest("app")).await;
    let cursor = lines.until(40).await;
    commit(&relay, of_stream(&token, &cursor)).await.unwrap();
    let _: String = redis.control().await.run("FLUSHALL").await;
    eventually("it is held again", async || committed(&relay, "s").await.is_some()).await;
    drop(lines);
    Writer::new(&redis, "app").await.append_numbered(3, 5).await;
    let (mut lines, _, opened) = open(&relay, topic("app")).await;
    assert_eq!(opened.started_from(), StartedFrom::Committed);
    let Event::Reset(reset) = lines.event().await else { panic!("no reset") };
    assert_eq!(reset.to_offset, 0);
    lines.until(15).await;
    lines.are_numbered(0, 15);
}

#[tokio::test]
async fn streams_that_are_quiet_cost_one_question_a_second() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    Writer::new(&redis, "app").await.append_numbered(1, 1).await;
    let mut streams = Vec::new();
    for number in 0..50 {
        let mut lines = relay.subscribe(durable(&format!("s{number}"), topic("app"))).await;
        lines.opened().await;
        streams.push(lines);
    }
    let mut control = redis.control().await;
    let (looks, scripts) = (control.calls("hget").await, control.calls("evalsha").await);
    eventually("they are looked at", async || control.calls("hget").await >= looks + 150).await;
    // A look is a command for each, and no script but that of the hub, which asks where the topic is.
    let asked = control.calls("evalsha").await - scripts;
    assert!(asked < 50, "{asked} scripts");
}

#[tokio::test]
async fn several_topics_are_committed_in_one_call_and_wrong_fields_are_named() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    for name in ["app", "web"] {
        Writer::new(&redis, name).await.append_numbered(1, 5).await;
    }
    let request = SubscribeRequest {
        topics: vec!["app".to_owned(), "web".to_owned()],
        start: Some(proto::Start { position: Some(Position::LastLines(2)) }),
        ..durable("s", SubscribeRequest::default())
    };
    let opened = relay.subscribe(request).await.opened().await;
    let cursors: Vec<_> = opened.topics.iter().map(|topic| at(&topic.cursor, 5)).collect();
    let both = CommitCursorRequest { cursors: cursors.clone(), ..of_stream(&opened.commit_token, "") };
    let mut client = relay.client().await;
    assert_eq!(client.commit_cursor(both).await.unwrap().into_inner().cursors, cursors);
    let asked = GetCursorRequest {
        subscription: "s".to_owned(),
        topics: ["web", "none", "app"].map(str::to_owned).to_vec(),
    };
    let found = client.get_cursor(asked).await.unwrap().into_inner().cursors;
    let found: Vec<_> = found.iter().map(|found| (found.topic.as_str(), found.cursor.as_str())).collect();
    assert_eq!(found, [("web", cursors[1].as_str()), ("app", cursors[0].as_str())]);
}

#[tokio::test]
async fn topics_of_a_pattern_that_are_born_while_nobody_reads_are_read_from_their_first_line() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    Writer::new(&redis, "web.old").await.append_numbered(2, 5).await;
    let mut first = relay.subscribe(durable("s", topic("web.*"))).await;
    assert_eq!(first.opened().await.topics[0].started_from(), StartedFrom::Latest);
    first.caught_up().await;
    // A topic joins, and another one is born when nobody is there.
    Writer::new(&redis, "web.joined").await.append_numbered(1, 3).await;
    assert_eq!(first.opened().await.topics[0].topic, "web.joined");
    drop(first);
    Writer::new(&redis, "web.born").await.append_numbered(1, 4).await;
    let mut second = relay.subscribe(durable("s", topic("web.*"))).await;
    let opened = second.opened().await;
    let mut begun: Vec<_> = opened.topics.iter().map(|topic| (topic.topic.as_str(), &topic.cursor)).collect();
    begun.sort();
    let offsets = begun.iter().map(|(name, cursor)| (*name, cursor.rsplit_once(':').unwrap().1));
    assert_eq!(offsets.collect::<Vec<_>>(), [("web.born", "0"), ("web.joined", "0"), ("web.old", "10")]);
    // Another subscription knows nothing of that.
    let mut other = relay.subscribe(durable("other", topic("web.*"))).await;
    assert!(other.opened().await.topics.iter().all(|topic| !topic.cursor.ends_with(":0")));
}
