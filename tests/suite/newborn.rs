//! Topics that are born and lose their first lines while their reader is away: what it missed is
//! told, where it is known that it wanted them.

use logrelay::{
    client::{Event as Read, Options, Start, State, Subscription},
    proto::{
        OnGap, StartedFrom, SubscribeRequest, TrimTopicRequest, subscribe_response::Event,
        trim_topic_request::Before,
    },
};
use tonic::Code;

use crate::support::{
    TestRedis,
    relay::{TestRelay, reason, topic},
    writer::Writer,
};

/// Six lines of which the first four are gone.
async fn is_born_and_trimmed(redis: &TestRedis, relay: &TestRelay, name: &str) {
    Writer::new(redis, name).await.append_numbered(3, 2).await;
    let trim = TrimTopicRequest { topic: name.to_owned(), before: Some(Before::Offset(4)) };
    relay.client().await.trim_topic(trim).await.unwrap();
}

fn reader(relay: &TestRelay, topics: &[&str], state: State) -> Subscription {
    let topics = topics.iter().map(|topic| topic.parse().unwrap()).collect();
    let relays = vec![relay.url.parse().unwrap()];
    Subscription::new(Options { relays, topics, start: Start::Latest, state, ..Options::default() }).unwrap()
}

#[tokio::test]
async fn a_reader_with_a_cursor_file_hears_what_it_missed_of_topics_that_were_born_meanwhile() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    Writer::new(&redis, "web.old").await.append_numbered(2, 5).await;
    let asked = ["web.*", "awaited"];
    let mut before = reader(&relay, &asked, State::default());
    while !matches!(before.next().await.unwrap().unwrap(), Read::Opened { .. }) {}
    let mut saved = serde_json::to_string(before.state()).unwrap();
    drop(before);
    for name in ["web.new", "awaited"] {
        is_born_and_trimmed(&redis, &relay, name).await;
    }

    // Killed after each event that it tells, it hears of each gap once.
    let (mut gaps, mut lines) = (Vec::new(), Vec::new());
    while gaps.len() < 2 || lines.len() < 2 {
        let mut resumed = reader(&relay, &asked, serde_json::from_str(&saved).unwrap());
        loop {
            match resumed.next().await.unwrap().unwrap() {
                Read::Gap(gap) => gaps.push((gap.topic.to_string(), gap.from.get()..gap.to.get())),
                Read::Lines(read) => lines.push((read.topic().to_string(), read.len())),
                _ => continue,
            }
            saved = serde_json::to_string(resumed.state()).unwrap();
            break;
        }
    }
    gaps.sort_by_key(|(name, _)| name.clone());
    lines.sort();
    assert_eq!(gaps, [("awaited".to_owned(), 0..4), ("web.new".to_owned(), 0..4)]);
    assert_eq!(lines, [("awaited".to_owned(), 2), ("web.new".to_owned(), 2)]);
}

#[tokio::test]
async fn a_durable_subscription_hears_what_it_missed_of_topics_that_were_born_meanwhile() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let asked = SubscribeRequest { subscription: "s".to_owned(), ..topic("web.*") };
    relay.subscribe(asked.clone()).await.opened().await;
    is_born_and_trimmed(&redis, &relay, "web.new").await;
    let mut lines = relay.subscribe(asked.clone()).await;
    let opened = lines.opened().await.topics.remove(0);
    assert_eq!((opened.started_from(), opened.first_offset), (StartedFrom::Earliest, 4));
    let Event::Gap(gap) = lines.event().await else { panic!("no gap") };
    assert_eq!((gap.from_offset, gap.to_offset, gap.reason.as_str()), (0, 4, "trimmed"));
    lines.until(6).await;
    lines.are_numbered(4, 6);
    let to_fail = SubscribeRequest { on_gap: OnGap::Fail.into(), ..asked };
    let mut lines = relay.subscribe(to_fail).await;
    lines.opened().await;
    assert_eq!(reason(&lines.status().await), (Code::OutOfRange, "CURSOR_TRIMMED".to_owned()));
}
