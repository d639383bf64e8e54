//! Subscriptions that want some lines only.

use std::time::Duration;

use logrelay::{
    client::{Event as Heard, Options, Start, Subscription},
    proto::{self, SubscribeRequest, matcher::Op},
};
use tonic::Code;

use crate::support::{
    TestRedis,
    relay::{TestRelay, from_cursor, from_earliest, reason},
    writer::Writer,
};

fn containing(text: &str) -> proto::Filter {
    let matcher = proto::Matcher { op: Op::Contains.into(), value: text.to_owned(), ignore_case: false };
    proto::Filter { matchers: vec![matcher], ..Default::default() }
}

#[tokio::test]
async fn lines_that_are_not_wanted_are_left_out_and_offsets_stay_what_they_are() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(10, 10).await;
    let request = SubscribeRequest { filter: Some(containing("7")), ..from_earliest("app") };
    for max_batch_lines in [0, 1, 3] {
        let mut lines = relay.subscribe(SubscribeRequest { max_batch_lines, ..request.clone() }).await;
        lines.opened().await;
        let caught_up = lines.until_caught_up().await;
        let expected: Vec<(u64, String)> = (0..100)
            .map(|number| (number, format!("line {number}")))
            .filter(|(_, text)| text.contains('7'))
            .collect();
        assert_eq!(lines.heard, expected);
        assert!(caught_up.cursor.ends_with(":100"), "{caught_up:?}");
    }
}

#[tokio::test]
async fn the_cursor_passes_what_is_left_out() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(1, 10).await;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request =
        SubscribeRequest { filter: Some(containing("never")), heartbeat_interval, ..from_earliest("app") };
    let mut lines = relay.subscribe(request.clone()).await;
    lines.opened().await;
    lines.caught_up().await;
    writer.append_numbered(5, 10).await;
    let mut cursor = String::new();
    while !cursor.ends_with(":60") {
        cursor.clone_from(&lines.heartbeat().await.topics[0].cursor);
    }
    assert_eq!(lines.heard, []);
    // Whoever resumes there has missed nothing that it wanted.
    writer.append(&["never again"]).await;
    let mut resumed =
        relay.subscribe(SubscribeRequest { filter: request.filter, ..from_cursor(&cursor) }).await;
    resumed.opened().await;
    assert_eq!(resumed.batch().await.base_offset, 60);
}

#[tokio::test]
async fn a_hundred_subscriptions_with_one_filter_get_the_same_lines() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut lines =
            relay.subscribe(SubscribeRequest { filter: Some(containing("3")), ..from_earliest("app") }).await;
        lines.opened().await;
        all.push(lines);
    }
    writer.append_numbered(30, 20).await;
    let expected: Vec<u64> = (0..600).filter(|number: &u64| number.to_string().contains('3')).collect();
    for lines in &mut all {
        while lines.heard.len() < expected.len() {
            lines.event().await;
        }
        assert_eq!(lines.heard.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_client_with_a_filter_resumes_on_another_relay_past_what_was_left_out() {
    let redis = TestRedis::start().await;
    let (first, second) = (TestRelay::start(&redis).await, TestRelay::start(&redis).await);
    let mut writer = Writer::new(&redis, "app").await;
    let options = Options {
        relays: vec![first.url.parse().unwrap(), second.url.parse().unwrap()],
        topics: vec!["app".parse().unwrap()],
        start: Start::Earliest,
        filter: Some(containing("5")),
        retry_first_ms: 10,
        heartbeat_interval_ms: 1000,
        ..Options::default()
    };
    let mut subscription = Subscription::new(options).unwrap();
    let mut heard = Vec::new();
    let mut relays = [Some(first), Some(second)];
    for round in 0..2_u64 {
        writer.append_numbered(10, 10).await;
        let due = (0..(round + 1) * 100).filter(|number| number.to_string().contains('5')).count();
        while heard.len() < due {
            let event = tokio::time::timeout(Duration::from_secs(20), subscription.next()).await.unwrap();
            if let Some(Heard::Lines(lines)) = event.unwrap() {
                heard.extend(lines.iter().map(|line| line.offset.get()));
            }
        }
        if let Some(relay) = relays.get_mut(usize::from(round > 0)).and_then(Option::take) {
            relay.stop().await;
        }
    }
    let expected: Vec<u64> = (0..200).filter(|number: &u64| number.to_string().contains('5')).collect();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_refused_by_field() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let matcher = proto::Matcher { op: Op::Matches.into(), value: "(".to_owned(), ignore_case: false };
    let filter = Some(proto::Filter { matchers: vec![matcher], ..Default::default() });
    let globs = Some(proto::Filter { hosts: vec!["[".to_owned()], ..Default::default() });
    for (filter, field) in [(filter, "filter.matchers[0].value"), (globs, "filter.hosts[0]")] {
        let refused = relay.try_subscribe(SubscribeRequest { filter, ..from_earliest("app") }).await;
        let status = refused.err().unwrap();
        assert_eq!(reason(&status), (Code::InvalidArgument, "BAD_FILTER".to_owned()));
        assert!(status.message().starts_with(field), "{status}");
    }
}
