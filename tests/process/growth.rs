//! A tailer whose files come and go does not grow: neither its memory nor what it has open.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use logrelay::record::Topic;
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    killed_tailer::next,
    process::Process,
    suite::support::{TestRedis, eventually},
};

const LOGS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);
/// How often every log is rotated before the first look at the tailer.
const BEFORE: u32 = 20;
/// And after it; `make soak` sets a greater number.
const ROTATIONS: u32 = 30;
/// What a file may leave behind, in bytes: its record, for as long as Redis has that too.
const MOST_BYTES_PER_FILE: u64 = 2048;
/// What memory varies by, in bytes.
const NOISE_BYTES: u64 = 4 << 20;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident_bytes: u64,
    descriptors: usize,
}

fn held(process: &Process) -> Held {
    let folder = PathBuf::from(format!("/proc/{}", process.pid().as_raw_nonzero()));
    let status = fs::read_to_string(folder.join("status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = kib.trim().trim_end_matches(" kB").parse().unwrap();
    let descriptors = fs::read_dir(folder.join("fd")).unwrap().count();
    Held { resident_bytes: kib * 1024, descriptors }
}

/// Rotates every log so often, with a line in each file.
async fn rotate(folder: &Path, times: u32, names: &str) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for time in 0..times {
        ticks.tick().await;
        for log in 0..LOGS {
            let path = folder.join(format!("app-{log}.log"));
            fs::rename(&path, folder.join(format!("app-{log}.log.1"))).ok();
            let mut file = File::create(&path).unwrap();
            writeln!(file, "{names} {time} of log {log}").unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tailer_of_files_that_come_and_go_grows_neither_in_memory_nor_in_descriptors() {
    let rotations = std::env::var("LOGRELAY_ROTATIONS").map_or(ROTATIONS, |text| text.parse().unwrap());
    let redis = TestRedis::start().await;
    let folder = TempDir::new().unwrap();
    let topic: Topic = "app".parse().unwrap();
    let store = redis.store();
    let tailer = Process::start(&format!(
        "tail --redis {} --host host --topic {topic} --linger-ms 200 --poll-interval-ms 100 {}/*.log",
        redis.url(),
        folder.path().display()
    ));
    rotate(folder.path(), BEFORE, "before").await;
    let settled = async || held(&tailer).descriptors < 64;
    eventually("what was rotated away is closed", settled).await;
    let before = held(&tailer);
    let began = Instant::now();
    rotate(folder.path(), rotations, "after").await;
    eventually("what was rotated away is closed", async || held(&tailer).descriptors <= before.descriptors)
        .await;
    let after = held(&tailer);
    println!("{rotations} rotations in {:?}: {before:?}, {after:?}", began.elapsed());
    let most = u64::from(rotations * LOGS) * MOST_BYTES_PER_FILE + NOISE_BYTES;
    assert!(after.resident_bytes <= before.resident_bytes + most, "{before:?}, {after:?}");
    let last = OpenOptions::new().append(true).open(folder.path().join("app-0.log"));
    let lines = next(&store, &topic).await;
    writeln!(last.unwrap(), "the last line").unwrap();
    eventually("it still reads", async || next(&store, &topic).await > lines).await;
}
