//! Quiet files beside a large backlog: progress is compared, not time.

use std::fs;

use crate::{
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines, numbered},
};

const QUIET: u64 = 200;
const BACKLOG: u64 = 400_000;

#[tokio::test]
async fn lines_of_quiet_files_overtake_a_backlog() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "*.log", |options| options);
    let quiet = |file: u64| tailing.path(&format!("quiet-{file}.log"));
    let paths: Vec<_> = (0..QUIET).map(quiet).collect();
    for path in &paths {
        append(path, "first\n");
    }
    tailing.resume();
    tailing.until_lines(QUIET).await;
    let (hidden, busy) = (tailing.path("busy.part"), tailing.path("busy.log"));
    append(&hidden, &lines(0, BACKLOG));
    fs::rename(&hidden, &busy).unwrap();
    eventually("the backlog is being read", async || tailing.count().await > QUIET + 1000).await;
    let begun = tailing.count().await;
    for (file, path) in (0..).zip(&paths) {
        append(path, &(numbered(90_000_000 + file) + "\n"));
    }
    tailing.until_lines(2 * QUIET + BACKLOG).await;

    // Where each stands among the lines of the backlog.
    let (mut at, mut last, mut found) = (0, 0_u64, 0);
    for entry in tailing.entries().await {
        for index in 0..entry.batch.lines() {
            let line = entry.batch.line(index).unwrap().content.starts_with(b"line 900");
            found += u64::from(line);
            last = if line { at } else { last };
            at += 1;
        }
    }
    let waited = last.saturating_sub(begun);
    assert_eq!(found, QUIET);
    assert!(waited < BACKLOG / 4, "the last one came after {waited} lines of the backlog more");
}
