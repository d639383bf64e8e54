//! A subscription against relays that play scripts.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    Error, Event, Options, Start, State, Subscription,
    fake::{EPOCH, FakeRelay, NEXT_EPOCH, Step, batch, closing, opened, rewound, send},
    turn::Turn,
};
use crate::{proto, record::Offset};

fn options(relays: &[&FakeRelay]) -> Options {
    Options {
        relays: relays.iter().map(|relay| relay.address()).collect(),
        topics: vec!["app".parse().unwrap()],
        start: Start::Earliest,
        heartbeat_interval_ms: 1_000,
        retry_first_ms: 1,
        retry_max_ms: 10,
        ..Options::default()
    }
}

/// A subscription that asks the relays in the order in which they are given.
fn subscribe(options: Options) -> Subscription {
    let turn = Turn::in_order(&options.relays);
    Subscription::in_turn(options, turn).unwrap()
}

/// What a reader saw: the content of every line.
async fn lines(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        if let Event::Lines(lines) = subscription.next().await.unwrap().unwrap() {
            seen.extend(lines.iter().map(|line| String::from_utf8(line.content.to_vec()).unwrap()));
        }
    }
    seen
}

fn numbers(source: &str, range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| format!("{source}:{number}")).collect()
}

#[tokio::test]
async fn a_lost_connection_is_resumed_on_the_next_relay_after_the_last_line() {
    let first = FakeRelay::start(vec![vec![
        opened("app", &format!("app@{EPOCH}:0")),
        batch(EPOCH, 0, "h/1", 0..3),
        Step::Fail(Status::unavailable("going away")),
    ]])
    .await;
    let second = FakeRelay::start(vec![vec![
        opened("app", &format!("app@{EPOCH}:3")),
        batch(EPOCH, 3, "h/1", 3..5),
        Step::Hang,
    ]])
    .await;
    let mut subscription = subscribe(options(&[&first, &second]));
    assert_eq!(lines(&mut subscription, 5).await, numbers("h/1", 0..5));
    assert!(first.requests()[0].cursors.is_empty());
    assert_eq!(second.requests()[0].cursors, [format!("app@{EPOCH}:3")]);
    let topic = "app".parse().unwrap();
    assert_eq!(subscription.state().cursor(&topic).unwrap().to_string(), format!("app@{EPOCH}:5"));
}

#[tokio::test]
async fn lines_that_are_sent_again_after_rewound_are_dropped_and_new_ones_are_not() {
    let relay = FakeRelay::start(vec![vec![
        opened("app", &format!("app@{EPOCH}:0")),
        batch(EPOCH, 0, "h/1", 0..4),
        batch(EPOCH, 4, "h/2", 0..2),
        rewound(6, 2),
        // The order of the sources is another one this time, and the batches are cut elsewhere.
        batch(NEXT_EPOCH, 2, "h/2", 0..3),
        batch(NEXT_EPOCH, 5, "h/1", 2..4),
        batch(NEXT_EPOCH, 7, "h/1", 4..5),
        Step::Hang,
    ]])
    .await;
    let mut subscription = subscribe(options(&[&relay]));
    let expected = [numbers("h/1", 0..4), numbers("h/2", 0..3), numbers("h/1", 4..5)].concat();
    assert_eq!(lines(&mut subscription, 8).await, expected);
}

#[tokio::test]
async fn the_saved_state_drops_what_an_earlier_run_has_seen() {
    let first =
        FakeRelay::start(vec![vec![opened("app", ""), batch(EPOCH, 0, "h/1", 0..4), Step::Hang]]).await;
    let mut subscription = subscribe(options(&[&first]));
    lines(&mut subscription, 4).await;
    let saved = serde_json::to_string(subscription.state()).unwrap();

    let second = FakeRelay::start(vec![vec![
        opened("app", ""),
        rewound(4, 1),
        batch(NEXT_EPOCH, 1, "h/1", 1..6),
        Step::Hang,
    ]])
    .await;
    let state = serde_json::from_str(&saved).unwrap();
    let mut resumed = subscribe(Options { state, ..options(&[&second]) });
    assert_eq!(lines(&mut resumed, 2).await, numbers("h/1", 4..6));
    assert_eq!(second.requests()[0].cursors, [format!("app@{EPOCH}:4")]);
}

#[tokio::test]
async fn a_topic_that_did_not_exist_is_read_from_its_first_line_after_a_reconnection() {
    let relay = FakeRelay::start(vec![
        vec![opened("app", ""), Step::Fail(Status::unavailable("gone"))],
        vec![opened("app", &format!("app@{EPOCH}:0")), batch(EPOCH, 0, "h/1", 0..2), Step::Hang],
    ])
    .await;
    let options = Options { start: Start::Latest, ..options(&[&relay]) };
    let mut subscription = subscribe(options);
    assert_eq!(lines(&mut subscription, 2).await, numbers("h/1", 0..2));
    let starts: Vec<_> = relay.requests().into_iter().map(|request| request.start.unwrap()).collect();
    assert_eq!(starts[0], Start::Latest.into());
    assert_eq!(starts[1], Start::Earliest.into());
}

/// A relay that says of `app`, which did not exist before, that its first line is `first`.
async fn born_and_trimmed(first: u64) -> FakeRelay {
    let topic = |cursor: String, started_from: proto::StartedFrom| {
        let started_from = started_from.into();
        let topic = proto::OpenedTopic { topic: "app".into(), cursor, started_from, ..Default::default() };
        send(proto::subscribe_response::Event::Opened(proto::Opened {
            topics: vec![topic],
            ..Default::default()
        }))
    };
    FakeRelay::start(vec![
        vec![topic(String::new(), proto::StartedFrom::Absent), Step::Fail(Status::unavailable("gone"))],
        vec![
            topic(format!("app@{EPOCH}:{first}"), proto::StartedFrom::Earliest),
            batch(EPOCH, first, "h/1", 7..9),
            Step::Hang,
        ],
    ])
    .await
}

#[tokio::test]
async fn lines_of_a_topic_that_was_born_and_trimmed_meanwhile_are_a_gap_before_the_others() {
    let relay = born_and_trimmed(4).await;
    let mut subscription = subscribe(Options { start: Start::Latest, ..options(&[&relay]) });
    let (topic, mut untold) = ("app".parse().unwrap(), 0);
    let gap = loop {
        match subscription.next().await.unwrap().unwrap() {
            Event::Gap(gap) => break gap,
            Event::Lines(lines) => panic!("{lines:?}"),
            // Who is killed here hears of it in the next run.
            _ => untold += usize::from(subscription.state().cursor(&topic).is_none()),
        }
    };
    assert_eq!((gap.from.get(), gap.to.get(), untold), (0, 4, 3));
    assert_eq!(subscription.state().cursor(&topic), Some(&gap.cursor));
    assert_eq!(lines(&mut subscription, 2).await, numbers("h/1", 7..9));

    let relay = born_and_trimmed(4).await;
    let to_fail = Options { fail_on_gap: true, start: Start::Latest, ..options(&[&relay]) };
    let mut subscription = subscribe(to_fail);
    let error = loop {
        if let Err(error) = subscription.next().await {
            break error;
        }
    };
    let Error::Refused { code, reason, message, .. } = error else { panic!("{error}") };
    assert_eq!((code, reason.as_str()), (Code::OutOfRange, "CURSOR_TRIMMED"), "{message}");
    assert!(subscription.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_new_topic_begins_at_the_start_also_beside_one_that_is_awaited() {
    let both = proto::Opened {
        topics: ["app", "web"]
            .map(|topic| proto::OpenedTopic { topic: topic.into(), ..Default::default() })
            .into(),
        ..Default::default()
    };
    let relay = FakeRelay::start(vec![
        vec![opened("web", &format!("web@{EPOCH}:9")), Step::Hang],
        vec![send(proto::subscribe_response::Event::Opened(both)), batch(EPOCH, 0, "h/1", 0..1), Step::Hang],
    ])
    .await;
    let state: State = serde_json::from_str(r#"{"app":{"cursor":null}}"#).unwrap();
    let topics = vec!["app".parse().unwrap(), "web".parse().unwrap()];
    let options = Options { start: Start::Latest, state, topics, ..options(&[&relay]) };
    let mut subscription = subscribe(options);
    assert_eq!(lines(&mut subscription, 1).await, numbers("h/1", 0..1));
    let requests = relay.requests();
    assert_eq!(
        (&*requests[0].topics, requests[0].start),
        (&["web".to_owned()][..], Some(Start::Latest.into()))
    );
    assert_eq!(requests[1].topics, ["app", "web"]);
    assert_eq!(requests[1].cursors, [format!("web@{EPOCH}:9")]);
    assert_eq!(requests[1].start, Some(Start::Earliest.into()));
}

#[tokio::test]
async fn a_topic_of_a_pattern_that_was_born_meanwhile_is_read_from_its_first_line() {
    let joins = opened("app", &format!("app@{EPOCH}:0"));
    let relay = FakeRelay::start(vec![
        // Until it is opened, the start is that of the caller.
        vec![Step::Fail(Status::unavailable("gone"))],
        vec![opened("a.old", &format!("a.old@{EPOCH}:9")), Step::Fail(Status::unavailable("gone"))],
        vec![opened("a.old", &format!("a.old@{EPOCH}:9")), joins, batch(EPOCH, 0, "h/1", 0..2), Step::Hang],
    ])
    .await;
    let topics = vec!["a*".parse().unwrap()];
    let options = Options { start: Start::Latest, topics, ..options(&[&relay]) };
    let mut subscription = Subscription::new(options).unwrap();
    let mut joined = Vec::new();
    let lines = loop {
        match subscription.next().await.unwrap().unwrap() {
            Event::Joined { topics, .. } => joined.extend(topics.into_iter().map(|topic| topic.topic)),
            Event::Lines(lines) => break lines,
            _ => {}
        }
    };
    assert_eq!((joined, lines.first_offset().map(Offset::get)), (vec!["app".to_owned()], Some(0)));
    let asked: Vec<_> =
        relay.requests().into_iter().map(|request| (request.start.unwrap(), request.cursors)).collect();
    let old = vec![format!("a.old@{EPOCH}:9")];
    let expected = [(Start::Latest, Vec::new()), (Start::Latest, Vec::new()), (Start::Earliest, old)];
    assert_eq!(asked, expected.map(|(start, cursors)| (start.into(), cursors)));
}

#[tokio::test]
async fn a_topic_that_no_pattern_matches_is_nonsense() {
    let relay = FakeRelay::start(vec![
        vec![opened("other", "")],
        vec![opened("app", ""), batch(EPOCH, 0, "h/1", 0..1), Step::Hang],
    ])
    .await;
    let topics = vec!["a*".parse().unwrap()];
    let mut subscription = Subscription::new(Options { topics, ..options(&[&relay]) }).unwrap();
    let Some(Event::Disconnected { why, .. }) = subscription.next().await.unwrap() else {
        panic!("disconnected")
    };
    assert!(why.contains("topic other was not asked for"), "{why}");
    assert_eq!(lines(&mut subscription, 1).await, numbers("h/1", 0..1));
}

#[tokio::test]
async fn closing_is_followed_by_a_new_call_not_before_the_relay_wants_it() {
    let relay = FakeRelay::start(vec![
        vec![opened("app", &format!("app@{EPOCH}:0")), closing("SHUTDOWN", 300), Step::Hang],
        vec![opened("app", &format!("app@{EPOCH}:0")), batch(EPOCH, 0, "h/1", 0..1), Step::Hang],
    ])
    .await;
    let mut subscription = subscribe(options(&[&relay]));
    assert!(matches!(subscription.next().await.unwrap(), Some(Event::Opened { .. })));
    let Some(Event::Closing { reason, .. }) = subscription.next().await.unwrap() else { panic!("closing") };
    assert_eq!(reason, "SHUTDOWN");
    let closed = Instant::now();
    lines(&mut subscription, 1).await;
    assert!(closed.elapsed() >= Duration::from_millis(290));
}

#[tokio::test]
async fn a_hole_or_a_repeat_that_is_not_announced_is_never_accepted() {
    for wrong in [batch(EPOCH, 4, "h/1", 4..5), batch(EPOCH, 2, "h/1", 2..4)] {
        let relay = FakeRelay::start(vec![
            vec![opened("app", &format!("app@{EPOCH}:0")), batch(EPOCH, 0, "h/1", 0..3), wrong, Step::Hang],
            vec![opened("app", &format!("app@{EPOCH}:3")), batch(EPOCH, 3, "h/1", 3..6), Step::Hang],
        ])
        .await;
        let mut subscription = subscribe(options(&[&relay]));
        assert_eq!(lines(&mut subscription, 6).await, numbers("h/1", 0..6));
        assert_eq!(relay.requests()[1].cursors, [format!("app@{EPOCH}:3")]);
    }
}

#[tokio::test]
async fn a_silent_connection_counts_as_dead_after_three_heartbeats() {
    let silent = FakeRelay::start(vec![vec![opened("app", &format!("app@{EPOCH}:0")), Step::Hang]]).await;
    let live = FakeRelay::start(vec![vec![batch(EPOCH, 0, "h/1", 0..1), Step::Hang]]).await;
    let mut subscription = subscribe(options(&[&silent, &live]));
    assert!(matches!(subscription.next().await.unwrap(), Some(Event::Opened { .. })));
    let started = Instant::now();
    let Some(Event::Disconnected { why, .. }) = subscription.next().await.unwrap() else {
        panic!("disconnected")
    };
    assert!(why.contains("3000 ms") && started.elapsed() >= Duration::from_secs(3), "{why}");
    assert_eq!(lines(&mut subscription, 1).await, numbers("h/1", 0..1));
}

#[tokio::test]
async fn a_caller_that_gives_up_waiting_again_and_again_loses_nothing() {
    let relay = FakeRelay::start(vec![
        vec![opened("app", &format!("app@{EPOCH}:0")), batch(EPOCH, 0, "h/1", 0..2)],
        vec![opened("app", &format!("app@{EPOCH}:2")), batch(EPOCH, 2, "h/1", 2..4), Step::Hang],
    ])
    .await;
    let mut subscription = subscribe(options(&[&relay]));
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let patience = Duration::from_micros(fastrand::u64(..300));
        match tokio::time::timeout(patience, subscription.next()).await {
            Ok(Ok(Some(Event::Lines(lines)))) => seen.extend(lines.iter().map(|line| line.number)),
            Ok(Ok(Some(_))) | Err(_) => {}
            Ok(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [0, 1, 2, 3]);
    assert_eq!(relay.requests().len(), 2);
}

#[tokio::test]
async fn the_tail_ends_a_subscription_that_stops_there_and_nothing_else_does() {
    let relay = FakeRelay::start(vec![
        vec![opened("app", &format!("app@{EPOCH}:0")), batch(EPOCH, 0, "h/1", 0..2), closing("SHUTDOWN", 0)],
        vec![opened("app", &format!("app@{EPOCH}:2")), batch(EPOCH, 2, "h/1", 2..3)],
    ])
    .await;
    let options = Options { stop_at_tail: true, ..options(&[&relay]) };
    let mut subscription = subscribe(options);
    assert_eq!(lines(&mut subscription, 3).await, numbers("h/1", 0..3));
    assert!(subscription.next().await.unwrap().is_none());
    assert!(subscription.next().await.unwrap().is_none());
    assert!(relay.requests().iter().all(|request| request.stop_at_tail));
}

#[tokio::test]
async fn what_no_relay_would_serve_is_returned_and_the_rest_is_tried_again() {
    for code in [Code::Unavailable, Code::Internal, Code::ResourceExhausted, Code::Cancelled] {
        let relay = FakeRelay::start(vec![
            vec![Step::Fail(Status::new(code, "not now"))],
            vec![batch(EPOCH, 0, "h/1", 0..1), Step::Hang],
        ])
        .await;
        let mut subscription = subscribe(options(&[&relay]));
        assert_eq!(lines(&mut subscription, 1).await.len(), 1, "{code:?}");
    }
    let too_many = ErrorDetails::with_error_info("TOO_MANY_TOPICS", "logrelay.v1", HashMap::new());
    let too_many = Status::with_error_details(Code::ResourceExhausted, "never", too_many);
    let hopeless =
        [Code::InvalidArgument, Code::OutOfRange, Code::FailedPrecondition, Code::PermissionDenied]
            .map(|code| Status::new(code, "never"));
    for status in hopeless.into_iter().chain([too_many]) {
        let code = status.code();
        let relay = FakeRelay::start(vec![vec![Step::Fail(status)]]).await;
        let mut subscription = subscribe(options(&[&relay]));
        let error = subscription.next().await.unwrap_err();
        assert!(matches!(&error, Error::Refused { code: found, .. } if *found == code), "{error}");
        assert!(subscription.next().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_limit_of_failures_ends_it_with_the_last_reason() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = FakeRelay::start(Vec::new()).await;
    let mut options = Options { max_failures: Some(3), ..options(&[&relay]) };
    options.relays.insert(0, nobody.to_string().parse().unwrap());
    let mut subscription = subscribe(options);
    let mut reasons = Vec::new();
    let error = loop {
        match subscription.next().await {
            Ok(Some(Event::Disconnected { why, .. })) => reasons.push(why),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(reasons[0].contains("refused") && reasons[1].contains("script is over"), "{reasons:?}");
    assert!(matches!(error, Error::GaveUp { failures: 3, .. }), "{error}");
}

#[tokio::test]
async fn a_durable_subscription_that_was_taken_over_does_not_come_back() {
    let taken = proto::Closing { reason: "taken".into(), retry_after: None, taken_over: true };
    let taken = send(proto::subscribe_response::Event::Closing(taken));
    let relay = FakeRelay::start(vec![vec![opened("app", &format!("app@{EPOCH}:0")), taken]]).await;
    let name = Some("s".parse().unwrap());
    let mut subscription = Subscription::new(Options { subscription: name, ..options(&[&relay]) }).unwrap();
    assert!(matches!(subscription.next().await, Ok(Some(Event::Opened { .. }))));
    let Err(Error::Refused { reason, .. }) = subscription.next().await else { panic!("it goes on") };
    assert_eq!(reason, "SUBSCRIPTION_TAKEN");
    assert_eq!(relay.requests()[0].subscription, "s");
}
