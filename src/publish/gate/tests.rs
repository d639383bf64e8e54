//! Who may send a command during an outage, and who waits.

use futures_util::FutureExt as _;

use super::*;

fn gate() -> Gate {
    gate_over(watch::channel(0).1, 20)
}

fn gate_over(connections: watch::Receiver<u64>, retry_cap_ms: u64) -> Gate {
    Gate::of("somewhere", (false, connections), retry_cap_ms, Metrics::default())
}

fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

fn refused(code: &str) -> Result<(), Error> {
    Err(Error::Refused { at: "somewhere".to_owned(), code: code.to_owned(), message: String::new() })
}

fn timeout() -> Result<(), Error> {
    Err(Error::Timeout { at: "somewhere".to_owned(), after_ms: 1 })
}

fn wrote<T>(_: &T) -> Worked {
    Worked::Writes
}

/// Fails until an outage is known.
async fn break_down(gate: &Gate, why: Result<(), Error>) {
    assert!(gate.enter(&topic("a")).await.end(why, wrote).is_none());
}

fn is_open(gate: &Gate, name: &str) -> bool {
    gate.enter(&topic(name)).now_or_never().is_some_and(|turn| turn.tries.is_none())
}

#[tokio::test]
async fn one_at_a_time_tries_and_its_success_lets_all_through() {
    let gate = gate();
    break_down(&gate, timeout()).await;
    let (a, b) = (topic("a"), topic("b"));
    let turn = gate.enter(&a).await;
    assert!(turn.tries.is_some());
    let mut others: Vec<_> = (0..5).map(|_| Box::pin(gate.enter(&b))).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(others.iter_mut().all(|other| other.now_or_never().is_none()));
    assert!(turn.end(Ok(()), wrote).is_some());
    for other in others {
        assert!(other.await.tries.is_none());
    }
}

#[tokio::test]
async fn a_try_that_is_dropped_leaves_it_to_another() {
    let gate = gate();
    break_down(&gate, timeout()).await;
    let (a, b) = (topic("a"), topic("b"));
    for _ in 0..3 {
        let turn = gate.enter(&a).await;
        assert!(turn.tries.is_some());
        let mut other = Box::pin(gate.enter(&b));
        assert!((&mut other).now_or_never().is_none());
        drop(turn);
        // Also when the one that is woken is not there any more.
        drop(other);
    }
    assert!(gate.enter(&b).await.end(Ok(()), wrote).is_some());
    assert!(is_open(&gate, "a"));
}

#[tokio::test]
async fn where_writes_are_refused_a_read_that_works_ends_nothing() {
    let gate = gate();
    for code in ["OOM", "READONLY", "NOREPLICAS", "MISCONF"] {
        break_down(&gate, refused(code)).await;
        for _ in 0..3 {
            assert!(gate.enter(&topic("b")).await.end_read(Ok(())).is_some());
            assert!(!is_open(&gate, "a"), "{code}");
        }
        assert!(gate.enter(&topic("a")).await.end(Ok(()), wrote).is_some());
        assert!(is_open(&gate, "a"), "{code}");
    }
    break_down(&gate, refused("LOADING")).await;
    assert!(gate.enter(&topic("b")).await.end_read(Ok(())).is_some());
    assert!(is_open(&gate, "a"));
}

#[tokio::test]
async fn what_was_sent_before_the_outage_or_its_end_says_nothing_of_it() {
    let gate = gate();
    let (a, b) = (topic("a"), topic("b"));
    let (early, late) = (gate.enter(&a).await, gate.enter(&b).await);
    break_down(&gate, timeout()).await;
    assert!(early.end(Ok(()), wrote).is_some());
    assert!(!is_open(&gate, "a"));
    assert!(gate.enter(&a).await.end(Ok(()), wrote).is_some());
    assert!(late.end(timeout(), wrote).is_none());
    assert!(is_open(&gate, "a"));
}

#[tokio::test]
async fn a_topic_that_cannot_be_used_stops_no_other() {
    let gate = gate();
    let (a, b) = (topic("a"), topic("b"));
    break_down(&gate, refused("WRONGTYPE")).await;
    assert!(is_open(&gate, "b") && !is_open(&gate, "a"));
    assert!(gate.enter_unless_shut(Some(&a)).await.is_none());
    assert!(gate.enter_unless_shut(None).await.is_some());
    // A server that answers at all is there, whatever it says of a topic.
    assert!(gate.enter(&b).await.end(timeout(), wrote).is_none());
    assert!(gate.enter(&a).await.end(refused("WRONGTYPE"), wrote).is_none());
    assert!(is_open(&gate, "b") && !is_open(&gate, "a"));
    assert!(gate.enter(&a).await.end(Ok(()), wrote).is_some());
    assert!(is_open(&gate, "a"));
}

#[tokio::test]
async fn topics_that_nobody_tries_any_more_are_forgotten() {
    let gate = gate_over(watch::channel(0).1, 1);
    let mut broken = 0;
    while broken < 10 || gate.lock().now.contains_key(&Some(topic("0"))) {
        let broken_topic = topic(&broken.to_string());
        assert!(gate.enter(&broken_topic).await.end(refused("WRONGTYPE"), wrote).is_none());
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(!is_open(&gate, &broken.to_string()), "one that was broken lately is known");
        broken += 1;
        assert!(broken < 1000, "all are known for ever");
    }
}

#[tokio::test]
async fn a_connection_that_was_made_ends_the_wait_for_the_next_try() {
    let made = watch::Sender::new(0);
    let gate = gate_over(made.subscribe(), 3_600_000);
    let a = topic("a");
    for _ in 0..20 {
        break_down(&gate, timeout()).await;
        made.send_modify(|made| *made += 1);
    }
    // After so many failures it would be an hour.
    break_down(&gate, timeout()).await;
    let mut waiting = Box::pin(gate.enter(&a));
    assert!((&mut waiting).now_or_never().is_none());
    made.send_modify(|made| *made += 1);
    assert!(waiting.await.end(Ok(()), wrote).is_some());
    assert!(is_open(&gate, "a"));
}

#[tokio::test]
async fn a_node_of_a_cluster_that_is_away_stops_its_topics_alone_and_is_shown() {
    let (metrics, a, b) = (Metrics::default(), topic("a"), topic("b"));
    let gate = Gate::of("somewhere", (true, watch::channel(0).1), 20, metrics.clone());
    metrics.redis_up.set(1);
    // The list of topics is on a node of its own.
    assert!(gate.enter_unless_shut(None).await.unwrap().end(timeout(), wrote).is_none());
    assert!(is_open(&gate, "a") && is_open(&gate, "b"));
    assert!(gate.enter(&a).await.end(timeout(), wrote).is_none());
    assert!(gate.enter(&b).await.end(refused("WRONGTYPE"), wrote).is_none());
    assert!(!is_open(&gate, "a") && is_open(&gate, "c"));
    assert_eq!(metrics.redis_up.get(), 0);
    assert!(gate.enter(&a).await.end(Ok(()), wrote).is_some());
    assert_eq!(metrics.redis_up.get(), 1, "data that cannot be used is no node that is away");
}
