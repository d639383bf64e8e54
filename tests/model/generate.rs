//! Makes a plan of a seed: what it is, and how often what happens.

use fastrand::Rng;

use crate::action::{Action, LOGS, Plan, Style};

/// What happens in some plans only.
#[derive(PartialEq, Eq)]
enum Also {
    Late,
    Copies,
    Links,
    Gzip,
}

/// The plan of a seed.
pub(crate) fn plan_of(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed);
    let count = rng.usize(4..28);
    let (late, inside) = (rng.bool(), rng.bool());
    let style = match rng.u8(..) {
        0..25 => Style::Link,
        25..50 => Style::Folder,
        _ => Style::Beside,
    };
    // A copy that has less than was read is known by its first kilobyte alone.
    let has_banner = rng.u8(..) < 50;
    let also: Vec<_> = [
        (Also::Late, late),
        (Also::Copies, style != Style::Link && !has_banner),
        (Also::Links, rng.u8(..) < 40),
        (Also::Gzip, rng.bool()),
    ]
    .into_iter()
    .filter_map(|(also, happens)| happens.then_some(also))
    .collect();
    let keeps_offset = rng.u8(..) < 60;
    let has_groups = rng.u8(..) < 40;
    let mut actions = Vec::with_capacity(count);
    for _ in 0..count {
        actions.push(any_action(&mut rng, &also));
        // A kill is of interest with something going on before and after.
        if matches!(actions.last(), Some(Action::Kill { .. } | Action::Stop)) && rng.u8(..) < 200 {
            for _ in 0..rng.usize(0..4) {
                actions.push(any_action(&mut rng, &also));
            }
            actions.push(Action::Start);
        }
    }
    Plan {
        inside,
        style,
        has_banner,
        keeps_offset,
        has_groups,
        // A writer may use a renamed file for as long as the tailer keeps it open.
        linger_ms: if late || rng.bool() { 60_000 } else { rng.u64(1..100) },
        budget_bytes: if rng.u8(..) < 60 { 20_000 } else { 64 << 20 },
        rest_after_ms: if rng.bool() { 10 } else { 10_000 },
        max_open_files: if rng.u8(..) < 80 { rng.usize(2..5) } else { Plan::default().max_open_files },
        actions,
    }
}

fn any_action(rng: &mut Rng, also: &[Also]) -> Action {
    let log = if rng.u8(..) < 190 { 0 } else { rng.usize(..LOGS) };
    match rng.u32(0..100) {
        0..26 => {
            let bytes = *rng.choice(&[20, 60, 200, 1100]).unwrap();
            Action::Append { log, lines: if rng.u8(..) < 30 { rng.u32(50..400) } else { few(rng) }, bytes }
        }
        26..30 => Action::Partial { log },
        30..62 => any_rotation(rng, also, log),
        62..64 => Action::DeleteDrained { log },
        64..66 => Action::DeleteHeld { log, lines: rng.u32(1..60) },
        66..68 => Action::DeleteOldest { log },
        68..75 => Action::Kill { after_us: if rng.bool() { 0 } else { rng.u64(..20_000) } },
        75..79 => Action::Stop,
        79..84 => Action::Start,
        84 => Action::Replace,
        85 => Action::RedisKill { away_ms: rng.u64(0..100) },
        86..88 => Action::RedisPause { pause_ms: rng.u64(0..500) },
        88..92 => Action::Sync,
        // Longer than most of what the tailer waits for.
        92 => Action::Pause { ms: rng.u64(100..300) },
        _ => Action::Pause { ms: rng.u64(0..25) },
    }
}

/// What programs do with the files of a log.
fn any_rotation(rng: &mut Rng, also: &[Also], log: usize) -> Action {
    match rng.u32(0..32) {
        0..5 if also.contains(&Also::Late) => Action::LateAppend { log, lines: few(rng) },
        0..12 if also.contains(&Also::Copies) => {
            Action::CopyTruncate { log, between: if rng.bool() { 0 } else { few(rng) } }
        }
        12..16 if also.contains(&Also::Gzip) => Action::Gzip {
            log,
            age: if rng.bool() { 0 } else { rng.usize(..3) },
            takes_ms: if rng.bool() { 0 } else { rng.u64(..40) },
        },
        16..18 if also.contains(&Also::Links) => Action::HardLink { log },
        18 if also.contains(&Also::Links) => Action::Unlink { log },
        19 => Action::Recreate { log, lines: few(rng) },
        20..22 => Action::Rotations { log, count: rng.u32(2..5), lines: rng.u32(..3) },
        _ => Action::Rotate { log, create: rng.bool() },
    }
}

fn few(rng: &mut Rng) -> u32 {
    rng.u32(1..5)
}
