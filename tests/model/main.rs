//! Random actions on log files, on the tailer and on Redis, against a model that knows
//! every line written: none may be lost, none may come twice, and each file's lines
//! stay in order.
//!
//! A failure prints its seed and the smallest plan that was found to fail as well. All of
//! this is set by variables:
//!
//! - `LOGRELAY_MODEL_SEQUENCES`, `LOGRELAY_MODEL_PROCESSES`: how many sequences run, with the
//!   tailer in this process and with the built binary.
//! - `LOGRELAY_MODEL_RANDOM`: new ones each time, as in `make soak`; else always the same.
//! - `LOGRELAY_MODEL_SEED`, `LOGRELAY_MODEL_PLAN`: only the plan of this seed, or this one as
//!   it was printed, again and again.
//! - `LOGRELAY_MODEL_LOG`: the tailer says what it does meanwhile, at this level (`debug`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod action;
mod arrivals;
mod files;
mod generate;
mod history;
mod sequence;
mod shrink;
mod tailer;
mod troubled;
mod writer;

/// What the suite has for every test against a real Redis.
#[path = "../suite"]
mod suite {
    pub(crate) mod support;
}

use std::{env, sync::Arc, time::Instant};

use futures_util::{StreamExt as _, stream};

use self::{
    action::Plan,
    generate::plan_of,
    sequence::{Pace, run},
    shrink::shrink,
    tailer::Kind,
    troubled::Troubled,
};

const SEQUENCES: usize = 2000;
const PROCESSES: usize = 240;
/// The seeds of the sequences that every run has; their timing is another each time.
const SAME_SEQUENCES: u64 = 2026;
/// Servers, and how many sequences share one at a time: a server that is killed by one
/// of them is gone for the others too.
const SERVERS: usize = 6;
const SEQUENCES_AT_ONCE: usize = 8;
const PROCESSES_AT_ONCE: usize = 2;

#[test]
fn no_line_is_lost_or_repeated_whatever_happens_to_files_tailer_and_redis() {
    check(Kind::Task, number("LOGRELAY_MODEL_SEQUENCES").unwrap_or(SEQUENCES), SEQUENCES_AT_ONCE);
}

#[test]
fn no_line_is_lost_or_repeated_when_the_binary_is_killed_whatever_happens_besides() {
    check(Kind::Process, number("LOGRELAY_MODEL_PROCESSES").unwrap_or(PROCESSES), PROCESSES_AT_ONCE);
}

/// Runs so many sequences; of those that fail, the shortest is made smaller.
fn check(kind: Kind, count: usize, at_once: usize) {
    if env::var_os("LOGRELAY_MODEL_LOG").is_some() {
        let logs = tracing_subscriber::fmt()
            .with_env_filter(env::var("LOGRELAY_MODEL_LOG").unwrap())
            .with_writer(std::io::stderr);
        drop(logs.try_init());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let begin = Instant::now();
        let mut failures = run_all(kind, plans(count), at_once).await;
        println!("{count} sequences, {} failures, {:.1?}", failures.len(), begin.elapsed());
        failures.sort_by_key(|(_, plan, _)| plan.actions.len());
        for (seed, plan, why) in &failures {
            eprintln!("{seed:?}: {why}\n{}", plan.text());
        }
        if let Some((seed, plan, why)) = failures.into_iter().next() {
            let (plan, why) = shrink(plan, why, kind).await;
            panic!("{seed:?}, made smaller: {why}\n{}", plan.text());
        }
    });
}

/// The plans that the variables ask for, with their seeds where they have any.
fn plans(count: usize) -> Vec<(Option<u64>, Plan)> {
    if let Ok(text) = env::var("LOGRELAY_MODEL_PLAN") {
        return vec![(None, Plan::parse(&text)); count];
    }
    if let Some(seed) = number("LOGRELAY_MODEL_SEED") {
        return vec![(Some(seed), plan_of(seed)); count];
    }
    let is_random = env::var_os("LOGRELAY_MODEL_RANDOM").is_some();
    let mut seeds = fastrand::Rng::with_seed(if is_random { fastrand::u64(..) } else { SAME_SEQUENCES });
    let seeds = (0..count).map(|_| seeds.u64(..));
    seeds.map(|seed| (Some(seed), plan_of(seed))).collect()
}

/// Runs all of them; returns those that fail, and how.
async fn run_all(
    kind: Kind,
    plans: Vec<(Option<u64>, Plan)>,
    at_once: usize,
) -> Vec<(Option<u64>, Plan, String)> {
    let count = plans.len();
    let mut servers = Vec::new();
    for _ in 0..SERVERS.min(count) {
        servers.push(Arc::new(Troubled::start().await));
    }
    let is_repeated = env::var_os("LOGRELAY_MODEL_PLAN").is_some();
    let runs = plans.into_iter().enumerate().map(|(index, (seed, plan))| {
        let server = Arc::clone(&servers[index % servers.len()]);
        let pace = match kind {
            Kind::Task if !is_repeated => Pace::Fast,
            _ => Pace::ALL[index / servers.len() % Pace::ALL.len()],
        };
        async move { run(&server, &plan, kind, pace).await.err().map(|why| (seed, plan, why)) }
    });
    let results = stream::iter(runs).buffer_unordered(servers.len() * at_once);
    results.filter_map(std::future::ready).collect().await
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(variable: &str) -> Option<T> {
    Some(env::var(variable).ok()?.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}
