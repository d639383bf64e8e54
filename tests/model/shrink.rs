//! Makes a plan that fails smaller for as long as it still fails in the same way: fewer
//! actions, smaller numbers, simpler surroundings.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};

use crate::{
    action::{Action, Plan, Style},
    sequence::{Pace, run},
    tailer::Kind,
    troubled::{PATIENCE_MS, Troubled},
};

/// What fails by chance fails in one of so many tries, at each pace.
const TRIES: usize = 6;
const SHRINK_FOR: Duration = Duration::from_secs(60);

/// The smallest plan that fails as `why` says, and how it fails.
pub(crate) async fn shrink(plan: Plan, why: String, kind: Kind) -> (Plan, String) {
    PATIENCE_MS.store(6000, Ordering::Relaxed);
    let server = Arc::new(Troubled::start().await);
    let mut shrinking = Shrinking { server, kind, plan, why, begin: Instant::now() };
    loop {
        let before = shrinking.plan.clone();
        shrinking.fewer_actions().await;
        shrinking.simpler_actions().await;
        shrinking.simpler_surroundings().await;
        if shrinking.plan == before || shrinking.is_over() {
            return (shrinking.plan, shrinking.why);
        }
    }
}

struct Shrinking {
    server: Arc<Troubled>,
    kind: Kind,
    /// The smallest so far, and how it fails.
    plan: Plan,
    why: String,
    begin: Instant,
}

impl Shrinking {
    fn is_over(&self) -> bool {
        self.begin.elapsed() > SHRINK_FOR
    }

    async fn fewer_actions(&mut self) {
        let mut size = self.plan.actions.len().div_ceil(2);
        loop {
            let mut at = 0;
            while at < self.plan.actions.len() && !self.is_over() {
                let mut fewer = self.plan.clone();
                fewer.actions.drain(at..(at + size).min(fewer.actions.len()));
                if !self.takes(fewer).await {
                    at += size;
                }
            }
            if size <= 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    async fn simpler_actions(&mut self) {
        for at in 0..self.plan.actions.len() {
            while !self.is_over() {
                let mut is_simpler = false;
                for action in simpler(self.plan.actions[at]) {
                    let mut plan = self.plan.clone();
                    plan.actions[at] = action;
                    is_simpler = self.takes(plan).await;
                    if is_simpler {
                        break;
                    }
                }
                if !is_simpler {
                    break;
                }
            }
        }
    }

    async fn simpler_surroundings(&mut self) {
        let simpler: [fn(&mut Plan); 9] = [
            |plan| plan.inside = false,
            |plan| plan.style = Style::Beside,
            |plan| plan.has_banner = false,
            |plan| plan.keeps_offset = false,
            |plan| plan.has_groups = false,
            |plan| plan.linger_ms = Plan::default().linger_ms,
            |plan| plan.budget_bytes = Plan::default().budget_bytes,
            |plan| plan.rest_after_ms = Plan::default().rest_after_ms,
            |plan| plan.max_open_files = Plan::default().max_open_files,
        ];
        for simplify in simpler {
            let mut plan = self.plan.clone();
            simplify(&mut plan);
            if plan != self.plan && !self.is_over() {
                self.takes(plan).await;
            }
        }
    }

    /// Goes on with this plan, where it still fails in the same way.
    async fn takes(&mut self, plan: Plan) -> bool {
        let found = failure(&self.server, &plan, self.kind).await;
        let Some(why) = found.filter(|found| sort_of(found) == sort_of(&self.why)) else { return false };
        (self.plan, self.why) = (plan, why);
        true
    }
}

/// What is left of an action when one of its numbers is smaller.
fn simpler(action: Action) -> Vec<Action> {
    let less = |number: u64| [0, number / 2].into_iter().filter(move |less| *less < number);
    let fewer = |number: u32| [1, number / 2].into_iter().filter(move |less| (1..number).contains(less));
    match action {
        Action::Append { log, lines, bytes } => {
            let shorter = [20, 60, 200].into_iter().filter(|shorter| *shorter < bytes);
            let mut all: Vec<_> = fewer(lines).map(|lines| Action::Append { log, lines, bytes }).collect();
            all.extend(shorter.map(|bytes| Action::Append { log, lines, bytes }));
            all
        }
        Action::Rotate { log, create: false } => vec![Action::Rotate { log, create: true }],
        Action::Rotations { log, count, lines } => {
            let mut all = vec![Action::Rotate { log, create: true }];
            all.extend(fewer(count).map(|count| Action::Rotations { log, count, lines }));
            all.extend((0..lines.min(2)).map(|lines| Action::Rotations { log, count, lines }));
            all
        }
        Action::LateAppend { log, lines } => {
            fewer(lines).map(|lines| Action::LateAppend { log, lines }).collect()
        }
        Action::CopyTruncate { log, between } => [0, 1, between / 2]
            .into_iter()
            .filter(|less| *less < between)
            .map(|between| Action::CopyTruncate { log, between })
            .collect(),
        Action::Gzip { log, age, takes_ms } => {
            let mut all: Vec<_> =
                less(takes_ms).map(|takes_ms| Action::Gzip { log, age, takes_ms }).collect();
            all.extend((0..age).map(|age| Action::Gzip { log, age, takes_ms }));
            all
        }
        Action::Recreate { log, lines } => {
            let mut all = vec![Action::DeleteDrained { log }];
            all.extend(fewer(lines).map(|lines| Action::Recreate { log, lines }));
            all
        }
        Action::DeleteHeld { log, lines } => {
            fewer(lines).map(|lines| Action::DeleteHeld { log, lines }).collect()
        }
        Action::Kill { after_us } => {
            let mut all = vec![Action::Stop];
            all.extend(less(after_us).map(|after_us| Action::Kill { after_us }));
            all
        }
        Action::RedisKill { away_ms } => less(away_ms).map(|away_ms| Action::RedisKill { away_ms }).collect(),
        Action::RedisPause { pause_ms } => {
            less(pause_ms).map(|pause_ms| Action::RedisPause { pause_ms }).collect()
        }
        Action::Pause { ms } => less(ms).map(|ms| Action::Pause { ms }).collect(),
        Action::Partial { .. }
        | Action::Rotate { .. }
        | Action::DeleteDrained { .. }
        | Action::DeleteOldest { .. }
        | Action::HardLink { .. }
        | Action::Unlink { .. }
        | Action::Stop
        | Action::Start
        | Action::Replace
        | Action::Sync => Vec::new(),
    }
}

/// What went wrong, whichever line it went wrong with.
fn sort_of(why: &str) -> Option<&'static str> {
    let sorts =
        ["stop", "lost", "again at", "came after", "did not come true", "never written", "goes on at"];
    sorts.into_iter().find(|sort| why.contains(sort))
}

/// How a plan fails, tried several times at every pace.
pub(crate) async fn failure(server: &Arc<Troubled>, plan: &Plan, kind: Kind) -> Option<String> {
    let paces = (0..TRIES).flat_map(|_| Pace::ALL);
    let mut runs = stream::iter(paces.map(|pace| run(server, plan, kind, pace))).buffer_unordered(9);
    while let Some(result) = runs.next().await {
        if let Err(why) = result {
            return Some(why);
        }
    }
    None
}
