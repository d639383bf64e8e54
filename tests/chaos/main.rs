//! The fault suite: tailers and relays as processes, readers, and a real Redis, under faults that are drawn from a
//! seed, beside an oracle that knows every line. Not here: tests of one fault each, which are in `suite`.
//!
//! `LOGRELAY_CHAOS_SEED` repeats a run (its plan; the machine's timing is its own), `LOGRELAY_CHAOS_RUNS` says how many
//! `many_seeds` has, `LOGRELAY_CHAOS_ROUNDS` how often each run draws every fault, and `LOGRELAY_CHAOS_ONLY` (names with
//! commas) which ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod ledger;
mod parties;
mod plan;
mod programs;
mod reader;
mod redis;
mod report;
mod run;

#[path = "../process/numbered.rs"]
mod numbered;
#[path = "../process/process.rs"]
mod process;
#[path = "../process/relay.rs"]
mod relay;
/// What the suite has for every test against a real Redis.
#[path = "../suite"]
mod suite {
    pub(crate) mod support;
}

use self::{plan::Topology, report::Report};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

fn first_seed() -> u64 {
    number("LOGRELAY_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(0..1_000_000_000))
}

async fn one_seed(topology: Topology) {
    assert!(run::run(topology, first_seed()).await.is_clean(), "see above");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_read_once_and_in_order_whatever_happens_around_one_redis() {
    one_seed(Topology::Single).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_read_once_and_in_order_whatever_happens_under_sentinels() {
    one_seed(Topology::Sentinel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_read_once_and_in_order_whatever_happens_to_a_cluster() {
    one_seed(Topology::Cluster).await;
}

/// What `make chaos` runs; the seeds follow each other.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes"]
async fn many_seeds() {
    let (first, runs) = (first_seed(), number("LOGRELAY_CHAOS_RUNS").unwrap_or(20));
    let mut sum = Report::default();
    for seed in first..first + runs {
        let at = usize::try_from(seed - first).unwrap() % Topology::ALL.len();
        sum.add(run::run(Topology::ALL[at], seed).await);
    }
    println!("all {runs} runs together\n{sum}");
    assert!(sum.is_clean(), "see above");
}
