//! More files are followed than may be open at once: each gets its turns, and none loses
//! or repeats a line, also when the tailer is killed meanwhile.

use std::{fs, io::Write as _, os::unix::fs::MetadataExt as _, time::Duration};

use logrelay::tail::{
    self,
    input::{JoinRule, Multiline},
};
use tokio::time::sleep;

use crate::{
    spine::Program,
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines, numbered},
};

const OPEN: usize = 8;

/// A tailer that opens few files at once, and lets quiet ones rest soon.
fn prepare(redis: &TestRedis, glob: &str) -> Tailing {
    Tailing::prepare(redis, glob, |mut options| {
        (options.max_open_files, options.rest_after_ms) = (OPEN, 100);
        options
    })
}

/// The same with two, and files that are away linger for longer than the test takes.
fn prepare_lingering(redis: &TestRedis) -> Tailing {
    let tailing = prepare(redis, "*.log");
    tailing.with(|options| tail::Options { max_open_files: 2, linger_ms: 60_000, ..options })
}

/// How many files of the tailer's folder this process has open; the folder, which is listed
/// now and then, is none of them.
fn open_files(tailing: &Tailing) -> usize {
    let inside = tailing.path("*.log");
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let paths = links.filter_map(|link| fs::read_link(link.path()).ok());
    paths.filter(|path| path.parent() == inside.parent()).count()
}

fn first(file: u64) -> u64 {
    file * 100_000
}

/// That the topic has the first lines of each of `counts` files, each once, in order.
async fn has_each_once(tailing: &Tailing, counts: &[u64]) {
    let contents = tailing.contents().await;
    let mut found = vec![0; counts.len()];
    for content in &contents {
        let number: u64 = content.split(' ').nth(1).unwrap().parse().unwrap();
        let file = usize::try_from(number / 100_000).unwrap();
        assert_eq!(*content, numbered(first(file as u64) + found[file]), "of file {file}");
        found[file] += 1;
    }
    assert_eq!(found, counts);
}

#[tokio::test]
async fn many_files_share_few_descriptors_and_each_is_read() {
    let redis = TestRedis::start().await;
    let mut tailing = prepare(&redis, "*.log");
    for file in 0..60 {
        append(&tailing.path(&format!("{file}.log")), &lines(first(file), 5));
    }
    tailing.resume();
    let mut most = 0;
    for round in 1..4 {
        eventually("all lines are there", async || {
            most = most.max(open_files(&tailing));
            tailing.count().await >= 60 * 5 * round
        })
        .await;
        for file in 0..60 {
            append(&tailing.path(&format!("{file}.log")), &lines(first(file) + 5 * round, 5));
        }
    }
    tailing.until_lines(60 * 20).await;
    assert!(most <= OPEN, "{most} files were open");
    has_each_once(&tailing, &[20; 60]).await;
    assert_eq!(tailing.sources().await.len(), 60);
    let following = tailing.following();
    assert!(following.files == 60 && following.open_files <= OPEN, "{following:?}");
}

#[tokio::test]
async fn busy_files_give_way_to_others() {
    let redis = TestRedis::start().await;
    let mut tailing = prepare(&redis, "*.log");
    let programs: Vec<_> =
        (0..24).map(|file| Program::start(tailing.path(&format!("{file}.log")), first(file))).collect();
    tailing.resume();
    // All are busy all the time, and yet each has been read.
    tailing.until_sources(24).await;
    eventually("each is read", async || {
        let records = redis.store().records(tailing.topic(), &"host".parse().unwrap()).await.unwrap();
        records.iter().all(|(_, record)| record.position > 0)
    })
    .await;
    let mut counts = Vec::new();
    for (file, program) in programs.into_iter().enumerate() {
        counts.push(program.stop().await.1 - first(file as u64));
    }
    tailing.until_lines(counts.iter().sum()).await;
    has_each_once(&tailing, &counts).await;
}

#[tokio::test]
async fn a_tailer_killed_during_turns_loses_and_repeats_nothing() {
    let redis = TestRedis::start().await;
    let mut tailing = prepare(&redis, "*.log");
    let mut counts = vec![0; 30];
    tailing.resume();
    for _ in 0..15 {
        for (file, count) in counts.iter_mut().enumerate() {
            append(&tailing.path(&format!("{file}.log")), &lines(first(file as u64) + *count, 20));
            *count += 20;
        }
        sleep(Duration::from_millis(fastrand::u64(0..200))).await;
        tailing.kill().await;
        tailing.resume();
    }
    tailing.until_lines(counts.iter().sum()).await;
    has_each_once(&tailing, &counts).await;
    assert_eq!(tailing.sources().await.len(), 30);
}

#[tokio::test]
async fn closed_files_that_are_rotated_are_read_to_their_end_before_their_successors() {
    let redis = TestRedis::start().await;
    let mut tailing = prepare(&redis, "*.log");
    tailing.resume();
    let mut counts = vec![0; 20];
    for round in 0..4 {
        for (file, count) in counts.iter_mut().enumerate() {
            let path = tailing.path(&format!("{file}.log"));
            append(&path, &lines(first(file as u64) + *count, 10));
            if round % 2 == 1 {
                fs::rename(&path, tailing.path(&format!("{file}.log.{round}"))).unwrap();
                append(&path, &lines(first(file as u64) + *count + 10, 10));
                *count += 10;
            }
            *count += 10;
        }
        tailing.until_lines(counts.iter().sum()).await;
    }
    has_each_once(&tailing, &counts).await;
}

#[tokio::test]
async fn a_deleted_file_keeps_its_descriptor_until_it_is_drained() {
    let redis = TestRedis::start().await;
    let mut tailing = prepare(&redis, "*.log");
    tailing.resume();
    let path = tailing.path("0.log");
    append(&path, &lines(0, 10));
    tailing.until_lines(10).await;
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for other in 1..30 {
        append(&tailing.path(&format!("{other}.log")), &lines(first(other), 10));
    }
    file.write_all(lines(10, 10).as_bytes()).unwrap();
    tailing.until_lines(20 + 290).await;
    has_each_once(&tailing, &[&[20][..], &[10; 29]].concat()).await;
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

#[tokio::test]
async fn files_that_were_rotated_and_drained_give_way_and_their_late_lines_arrive() {
    let redis = TestRedis::start().await;
    let mut tailing = prepare_lingering(&redis);
    tailing.resume();
    let mut counts = vec![0; 5];
    for round in 0..3 {
        for (file, count) in counts.iter_mut().enumerate() {
            let path = tailing.path(&format!("{file}.log"));
            append(&path, &lines(first(file as u64) + *count, 10));
            *count += 10;
        }
        tailing.until_lines(counts.iter().sum()).await;
        for file in 0..counts.len() {
            let path = tailing.path(&format!("{file}.log"));
            fs::rename(&path, tailing.path(&format!("{file}.log.{}", 3 - round))).unwrap();
        }
    }
    // Their writers have not noticed the rotation yet.
    for (file, count) in counts.iter_mut().enumerate() {
        append(&tailing.path(&format!("{file}.log.1")), &lines(first(file as u64) + *count, 10));
        *count += 10;
    }
    tailing.until_lines(counts.iter().sum()).await;
    has_each_once(&tailing, &counts).await;
    assert_eq!(tailing.sources().await.len(), 15);
}

#[tokio::test]
async fn deleted_files_that_are_drained_give_way() {
    let redis = TestRedis::start().await;
    let mut tailing = prepare_lingering(&redis);
    tailing.resume();
    for file in 0..6 {
        let path = tailing.path(&format!("{file}.log"));
        append(&path, &lines(first(file), 10));
        tailing.until_lines(10 * (file + 1)).await;
        fs::remove_file(&path).unwrap();
    }
    append(&tailing.path("6.log"), &lines(first(6), 10));
    tailing.until_lines(70).await;
    has_each_once(&tailing, &[10; 7]).await;
    let most = tailing.following().open_files;
    assert!(most <= 2, "{most} files are open");
}

#[tokio::test]
async fn where_none_can_give_way_more_files_are_opened_than_the_bound_says() {
    let redis = TestRedis::start().await;
    let join = Multiline { rule: JoinRule::Indented, max_lines: 500, max_bytes: 1 << 20, timeout_ms: 60_000 };
    let mut tailing = prepare_lingering(&redis).with(|mut options| {
        options.inputs[0].lines.multiline = Some(join);
        options
    });
    tailing.resume();
    for file in 0..2 {
        let path = tailing.path(&format!("{file}.log"));
        // The last group waits for more of it, and nothing but its descriptor leads to it.
        append(&path, &lines(first(file), 10));
        tailing.until_lines(9 * (file + 1)).await;
        fs::remove_file(&path).unwrap();
    }
    append(&tailing.path("2.log"), &lines(first(2), 10));
    tailing.until_lines(9 * 3).await;
    has_each_once(&tailing, &[9; 3]).await;
    eventually("three are open", async || tailing.following().open_files == 3).await;
}

#[tokio::test]
async fn what_redis_forgot_of_closed_files_is_sent_again() {
    let mut redis = TestRedis::start().await;
    let mut tailing = prepare(&redis, "*.log");
    tailing.resume();
    for file in 0..20 {
        append(&tailing.path(&format!("{file}.log")), &lines(first(file), 5));
    }
    tailing.until_lines(100).await;
    let copy = redis.copy();
    for file in 0..20 {
        append(&tailing.path(&format!("{file}.log")), &lines(first(file) + 5, 5));
    }
    tailing.until_lines(200).await;
    redis.replace_with(&copy).await;
    tailing.until_lines(200).await;
    has_each_once(&tailing, &[10; 20]).await;
}

#[tokio::test]
async fn a_file_with_the_inode_of_another_log_is_read_in_the_order_of_its_own() {
    let redis = TestRedis::start().await;
    let mut tailing = prepare_lingering(&redis);
    let [log, older, oldest, other] =
        ["app.log", "app.1.log", "app.2.log", "web.log"].map(|name| tailing.path(name));
    append(&log, &lines(0, 1));
    append(&other, "web\n");
    tailing.resume();
    tailing.until_lines(2).await;
    tailing.kill().await;
    append(&log, &lines(1, 1));
    fs::rename(&log, &oldest).unwrap();
    // As if the other one was deleted, and its inode was given again.
    fs::rename(&other, &older).unwrap();
    fs::write(&older, lines(2, 1)).unwrap();
    append(&log, &lines(3, 1));
    append(&other, "web again\n");
    tailing.resume();
    tailing.until_lines(6).await;
    let contents = tailing.contents().await;
    let of_log: Vec<_> = contents.into_iter().filter(|content| !content.starts_with("web")).collect();
    assert_eq!(of_log, (0..4).map(numbered).collect::<Vec<_>>());
}
