//! `subscribe` with a cursor file goes on where it was killed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    numbered::{Expected, line},
    process::Process,
    relay::Relay,
    suite::support::{TestRedis, writer::Writer},
};

const KILLS: u64 = 20;
const LINES_PER_BATCH: u64 = 100;

/// Appends numbered lines until it is told to stop; how many.
pub(crate) async fn write(mut writer: Writer, stop: CancellationToken) -> u64 {
    let mut next = 0;
    while !stop.is_cancelled() {
        let lines: Vec<_> = (next..next + LINES_PER_BATCH).map(line).collect();
        writer.append(&lines).await;
        next += LINES_PER_BATCH;
        sleep(Duration::from_millis(1)).await;
    }
    next
}

/// Takes what one run has printed, the torn last line left out: it may begin with lines that the
/// run before had printed, and goes on without hole or repeat.
pub(crate) fn take(printed: &Path, end: u64) -> u64 {
    let text = fs::read_to_string(printed).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = whole.lines().peekable();
    let Some(first) = lines.peek() else { return end };
    let first: u64 = first.split(' ').next().unwrap().parse().unwrap();
    assert!(first <= end, "lines {end} to {first} are in no run");
    let mut expected = Expected::from(first);
    lines.for_each(|line| expected.take(line.as_bytes()));
    end.max(expected.next())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_subscriber_killed_at_twenty_random_moments_has_printed_has_every_line() {
    let seed = fastrand::u64(..);
    println!("the moments are those of the seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    let folder = TempDir::new().unwrap();
    let printed = |run: u64| -> PathBuf { folder.path().join(format!("run-{run}")) };
    let cursor_file = folder.path().join("cursors");
    let words = format!(
        "subscribe app --relay {} --from earliest --cursor-file {}",
        relay.url,
        cursor_file.display()
    );
    let (stop, mut writing) = (CancellationToken::new(), JoinSet::new());
    writing.spawn(write(Writer::new(&redis, "app").await, stop.clone()));
    for run in 0..KILLS {
        let mut subscriber = Process::printing_to(&words, File::create(printed(run)).unwrap());
        sleep(Duration::from_millis(random.u64(0..600))).await;
        subscriber.kill().await;
    }
    stop.cancel();
    let lines = writing.join_next().await.unwrap().unwrap();
    let last = Process::printing_to(&format!("{words} --no-follow"), File::create(printed(KILLS)).unwrap());
    let ended = last.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ends: Vec<u64> = (0..=KILLS)
        .scan(0, |end, run| {
            *end = take(&printed(run), *end);
            Some(*end)
        })
        .collect();
    assert_eq!(ends.last(), Some(&lines));
    let useful = ends.windows(2).filter(|two| two[0] < two[1]).count();
    assert!(useful as u64 > KILLS / 2, "only {useful} runs printed something new: {ends:?}");
}
