//! The clock of the server runs backwards.

use logrelay::{
    publish::{Admission, Applicant},
    record::Instance,
    serve,
};

use super::Bed;
use crate::{
    support::{clock::Clock, eventually},
    tailing::Tailing,
};

const HOUR_S: i64 = 3600;

#[tokio::test]
async fn a_clock_that_goes_back_and_forth_costs_no_line_and_times_never_run_backwards() {
    let (clock, redis) = Clock::start().await;
    let tailing = Tailing::prepare(&redis, "*.log", |options| options);
    let trims = |serve: &mut serve::Options, _: &mut logrelay::hub::Options| {
        serve.retention.interval_ms = 50;
        serve.retention.max_age_ms = 600_000;
    };
    let bed = Bed::of(tailing, redis.options(), trims).await;
    let at = async || redis.store().time_ms().await.unwrap();
    let before = at().await;
    for ahead_s in [-HOUR_S, -2 * HOUR_S, -HOUR_S, 0] {
        clock.set_ahead_s(ahead_s);
        bed.goes_on().await;
        assert_eq!(bed.live.told(), []);
    }
    clock.set_ahead_s(-HOUR_S);
    bed.goes_on().await;
    assert!(at().await < before, "it did not go back");
    // What it kept while it was behind is older than it knows, and is kept: nothing went.
    let entries = bed.tailing.entries().await;
    assert!(entries.is_sorted_by_key(|entry| entry.time_ms));
    assert_eq!(entries[0].first.get(), 0);
    assert_eq!(bed.tailing.epochs().await, 1);
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_name_that_was_claimed_before_the_clock_went_back_is_free_after_a_lease() {
    let (clock, redis) = Clock::start().await;
    let publisher = Tailing::prepare(&redis, "*.log", |options| options).publisher();
    let applicant = |instance| Applicant {
        topic: "app".parse().unwrap(),
        producer: "job".parse().unwrap(),
        instance: Instance::new(instance).unwrap(),
        resume: true,
        lease_ms: 500,
        max_producers: 10,
    };
    let first = publisher.admit(applicant(1)).await.unwrap();
    assert!(matches!(first, Admission::Granted(_)), "{first:?}");
    clock.set_ahead_s(-HOUR_S);
    let taken = publisher.admit(applicant(2)).await.unwrap();
    assert!(matches!(taken, Admission::Taken { for_ms: 500 }), "{taken:?}");
    eventually("it is free", async || {
        matches!(publisher.admit(applicant(2)).await.unwrap(), Admission::Granted(_))
    })
    .await;
}
