//! Random actions on log files, on the tailer and on Redis, against a model that knows
//! every line written: none may be lost, none may come twice, and each file's lines
//! stay in order.
//!
//! `LOGRELAY_MODEL_SEQUENCES` is how many sequences run. A failure prints its seed and the
//! fewest actions that still fail; `LOGRELAY_MODEL_SEED` runs that one sequence again and
//! again, and with `LOGRELAY_MODEL_LOG` the tailer says what it does meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod action;
mod arrivals;
mod files;
mod history;
mod sequence;
mod troubled;

/// What the suite has for every test against a real Redis.
#[path = "../suite"]
mod suite {
    pub(crate) mod support;
}

use std::{
    env,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};

use self::{
    action::{Plan, plan_of},
    sequence::run,
    troubled::{PATIENCE_MS, Troubled},
};

const SEQUENCES: u64 = 500;
/// Servers, and how many sequences share one at a time: a server that is killed by one
/// of them is gone for the others too.
const SERVERS: usize = 3;
const SEQUENCES_AT_ONCE: usize = 8;
/// A sequence that fails by chance fails in one of so many tries.
const TRIES: usize = 8;
const SHRINK_FOR: Duration = Duration::from_secs(90);

#[test]
fn no_line_is_lost_or_repeated_whatever_happens_to_files_tailer_and_redis() {
    if env::var_os("LOGRELAY_MODEL_LOG").is_some() {
        tracing_subscriber::fmt().with_env_filter("debug").with_writer(std::io::stderr).init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut failures = run_all().await;
        for (seed, _, why) in &failures {
            eprintln!("seed {seed}: {why}");
        }
        failures.sort_by_key(|(_, plan, _)| plan.actions.len());
        if let Some((seed, plan, why)) = failures.into_iter().next() {
            let (plan, why) = shrink(plan, why).await;
            panic!("seed {seed}, with the fewest actions: {why}\n{plan:?}");
        }
    });
}

/// Runs all sequences; returns those that fail.
async fn run_all() -> Vec<(u64, Plan, String)> {
    let count = number("LOGRELAY_MODEL_SEQUENCES").unwrap_or(SEQUENCES);
    let seeds: Vec<u64> = match number("LOGRELAY_MODEL_SEED") {
        Some(seed) => vec![seed; usize::try_from(count).unwrap()],
        None => std::iter::repeat_with(|| fastrand::u64(..)).take(usize::try_from(count).unwrap()).collect(),
    };
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(Arc::new(Troubled::start().await));
    }
    let runs = seeds.into_iter().enumerate().map(|(index, seed)| {
        let server = Arc::clone(&servers[index % SERVERS]);
        async move {
            let plan = plan_of(seed);
            run(&server, &plan).await.err().map(|why| (seed, plan, why))
        }
    });
    let results = stream::iter(runs).buffer_unordered(SERVERS * SEQUENCES_AT_ONCE);
    results.filter_map(std::future::ready).collect().await
}

fn number(variable: &str) -> Option<u64> {
    Some(env::var(variable).ok()?.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}

/// Leaves out actions for as long as what is left still fails.
async fn shrink(mut plan: Plan, mut why: String) -> (Plan, String) {
    let server = Arc::new(Troubled::start().await);
    let begin = Instant::now();
    PATIENCE_MS.store(6000, Ordering::Relaxed);
    let mut size = plan.actions.len() / 2;
    while size > 0 && begin.elapsed() < SHRINK_FOR {
        let mut at = 0;
        while at < plan.actions.len() && begin.elapsed() < SHRINK_FOR {
            let mut fewer = plan.clone();
            fewer.actions.drain(at..(at + size).min(plan.actions.len()));
            match failure(&server, &fewer).await.filter(|found| kind_of(found) == kind_of(&why)) {
                Some(found) => (plan, why) = (fewer, found),
                None => at += size,
            }
        }
        size /= 2;
    }
    (plan, why)
}

/// What went wrong, whichever line it went wrong with.
fn kind_of(why: &str) -> Option<&'static str> {
    let kinds = ["lost", "again at", "came after", "did not come true"];
    kinds.into_iter().find(|kind| why.contains(kind))
}

async fn failure(server: &Arc<Troubled>, plan: &Plan) -> Option<String> {
    let mut runs = stream::iter((0..TRIES).map(|_| run(server, plan))).buffer_unordered(TRIES);
    while let Some(result) = runs.next().await {
        if let Err(why) = result {
            return Some(why);
        }
    }
    None
}
