//! Files as they behave in the wild, through a tailer in process and a real Redis.

use std::{fs, path::Path};

use logrelay::tail::{Options, StartAt};

use crate::{
    support::TestRedis,
    tailing::{Tailing, append, lines, numbered},
};

fn follow(redis: &TestRedis) -> Tailing {
    Tailing::start(redis, "app.log")
}

#[tokio::test]
async fn lines_of_a_growing_file_arrive_and_an_unfinished_one_waits() {
    let redis = TestRedis::start().await;
    let mut tailing = follow(&redis);
    let log = tailing.path("app.log");
    append(&log, "one\ntwo\r\nthr");
    tailing.until_lines(2).await;
    tailing.restart().await;
    append(&log, "ee\n\nfour\n");
    tailing.until_lines(5).await;
    assert_eq!(tailing.contents().await, ["one", "two", "three", "", "four"]);
}

#[tokio::test]
async fn a_killed_tailer_goes_on_where_redis_has_the_source() {
    let redis = TestRedis::start().await;
    let mut tailing = follow(&redis);
    let log = tailing.path("app.log");
    for round in 0..10 {
        append(&log, &lines(round * 5000, 5000));
        tailing.until_lines(round * 5000 + 1).await;
        tailing.kill().await;
        tailing.resume();
    }
    tailing.until_lines(50_000).await;
    tailing.assert_numbered(50_000).await;
}

#[tokio::test]
async fn a_renamed_file_is_drained_before_its_successor() {
    let redis = TestRedis::start().await;
    let tailing = follow(&redis);
    let log = tailing.path("app.log");
    append(&log, &lines(0, 1000));
    tailing.until_lines(500).await;
    for round in 1..4 {
        fs::rename(&log, tailing.path(&format!("app.log.{}", 10 - round))).unwrap();
        append(&log, &lines(round * 1000, 1000));
    }
    tailing.until_lines(4000).await;
    tailing.assert_numbered(4000).await;
}

#[tokio::test]
async fn rotations_while_the_tailer_is_stopped_are_read_oldest_first() {
    let redis = TestRedis::start().await;
    let mut tailing = follow(&redis);
    let log = tailing.path("app.log");
    append(&log, &lines(0, 100));
    tailing.until_lines(100).await;
    tailing.stop().await;
    append(&log, &lines(100, 100));
    rotate(&log, 3);
    append(&log, &lines(200, 100));
    rotate(&log, 3);
    append(&log, &lines(300, 100));
    tailing.resume();
    tailing.until_lines(400).await;
    tailing.assert_numbered(400).await;
}

#[tokio::test]
async fn a_file_renamed_while_stopped_is_found_when_its_successor_comes_late() {
    let redis = TestRedis::start().await;
    let mut tailing = follow(&redis);
    let log = tailing.path("app.log");
    append(&log, &lines(0, 100));
    tailing.until_lines(100).await;
    tailing.stop().await;
    append(&log, &lines(100, 100));
    rotate(&log, 1);
    tailing.resume();
    tailing.until_lines(200).await;
    append(&log, &lines(200, 100));
    tailing.until_lines(300).await;
    tailing.assert_numbered(300).await;
}

#[tokio::test]
async fn what_copytruncate_copied_is_read_from_the_copy() {
    let redis = TestRedis::start().await;
    for stopped in [false, true] {
        let mut tailing = follow(&redis);
        let log = tailing.path("app.log");
        append(&log, &lines(0, 500));
        tailing.until_lines(500).await;
        // Frozen, so that the lines of the copy are certainly not read from the original.
        if stopped {
            tailing.stop().await;
        } else {
            redis.freeze();
        }
        append(&log, &lines(500, 500));
        fs::copy(&log, tailing.path("app.log.1")).unwrap();
        fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
        append(&log, &lines(1000, 2000));
        if stopped {
            tailing.resume();
        } else {
            redis.thaw();
        }
        tailing.until_lines(3000).await;
        tailing.assert_numbered(3000).await;
    }
}

#[tokio::test]
async fn a_deleted_file_and_another_one_of_its_name_are_two() {
    let redis = TestRedis::start().await;
    let mut tailing = follow(&redis);
    let log = tailing.path("app.log");
    append(&log, &lines(0, 10));
    tailing.until_lines(10).await;
    fs::remove_file(&log).unwrap();
    append(&log, &lines(10, 20));
    tailing.until_lines(30).await;
    tailing.stop().await;
    fs::remove_file(&log).unwrap();
    append(&log, &lines(30, 40));
    tailing.resume();
    tailing.until_lines(70).await;
    tailing.assert_numbered(70).await;
}

#[tokio::test]
async fn start_at_end_skips_what_was_there_but_not_files_that_come_later() {
    let redis = TestRedis::start().await;
    let at_end = |options: Options| Options { start: StartAt::End, ..options };
    let mut tailing = Tailing::prepare(&redis, "*.log", at_end);
    append(&tailing.path("old.log"), "skipped\nunfinis");
    tailing.resume();
    tailing.until_sources(1).await;
    append(&tailing.path("old.log"), "hed\nseen\n");
    tailing.until_lines(2).await;
    append(&tailing.path("new.log"), "from the start\n");
    tailing.until_lines(3).await;
    assert_eq!(tailing.contents().await, ["unfinished", "seen", "from the start"]);
}

#[tokio::test]
async fn long_lines_are_cut_and_say_by_how_much() {
    let redis = TestRedis::start().await;
    let short = |mut options: Options| {
        options.inputs[0].lines.max_line_bytes = 10;
        options
    };
    let mut tailing = Tailing::prepare(&redis, "app.log", short);
    append(&tailing.path("app.log"), "0123456789abc\r\nnot UTF-8: \nok\n");
    tailing.resume();
    tailing.until_lines(3).await;
    assert_eq!(tailing.contents().await, ["0123456789", "not UTF-8:", "ok"]);
    assert_eq!(tailing.truncated_bytes().await, [3, 1, 0]);
}

#[tokio::test]
async fn what_a_failover_forgot_is_sent_again_also_by_a_quiet_file() {
    let mut redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log");
    append(&tailing.path("busy.log"), &lines(0, 100));
    tailing.until_lines(100).await;
    let copy = redis.copy();
    append(&tailing.path("quiet.log"), "quiet\n");
    append(&tailing.path("busy.log"), &lines(100, 100));
    tailing.until_lines(201).await;
    redis.replace_with(&copy).await;
    tailing.until_lines(201).await;
    assert_eq!(tailing.contents().await.iter().filter(|line| *line == "quiet").count(), 1);
    assert_eq!(tailing.epochs().await, 2);
}

#[tokio::test]
async fn a_wiped_redis_gets_everything_that_is_still_in_the_files() {
    let redis = TestRedis::start().await;
    let tailing = follow(&redis);
    append(&tailing.path("app.log"), &lines(0, 1000));
    tailing.until_lines(1000).await;
    let keys = tailing.sources().await;
    redis.control().await.run::<()>("FLUSHALL").await;
    tailing.until_lines(1000).await;
    tailing.assert_numbered(1000).await;
    assert_eq!(tailing.sources().await, keys, "the source keeps its key");
}

#[tokio::test]
async fn two_tailers_of_one_file_append_each_line_once() {
    let redis = TestRedis::start().await;
    let first = follow(&redis);
    let log = first.path("app.log");
    append(&log, &lines(0, 10));
    first.until_lines(10).await;
    let second = Tailing::beside(&redis, &first);
    for round in 0..50 {
        append(&log, &lines(10 + round * 200, 200));
        tokio::task::yield_now().await;
    }
    first.until_lines(10_010).await;
    first.assert_numbered(10_010).await;
    drop(second);
}

#[tokio::test]
async fn two_tailers_that_find_a_new_file_at_once_append_each_line_once() {
    let redis = TestRedis::start().await;
    let first = Tailing::start(&redis, "*.log");
    let second = Tailing::beside(&redis, &first);
    let (files, rounds) = (8_u64, 6_u64);
    for round in 0..rounds {
        for file in 0..files {
            let log = first.path(&format!("{file}.log"));
            if round % 2 == 1 {
                fs::rename(&log, first.path(&format!("{file}.log.{round}"))).unwrap();
            }
            append(&log, &lines((file * rounds + round) * 100, 100));
        }
        first.until_lines((round + 1) * files * 100).await;
    }
    // What either of them has still to send would be there before its line that comes last.
    for file in 0..files {
        append(&first.path(&format!("{file}.log")), "last\n");
    }
    first.until_lines(files * rounds * 100 + files).await;
    drop(second);
    let mut contents = first.contents().await;
    contents.retain(|line| line != "last");
    contents.sort();
    let written: Vec<String> = (0..files * rounds * 100).map(numbered).collect();
    assert_eq!(contents.len(), written.len());
    assert!(contents == written, "other lines than were written");
    // A rotation makes a source: one, though both have seen it.
    assert_eq!(first.sources().await.len() as u64, files * (1 + rounds / 2));
}

/// Renames `log` to `log.1`, `log.1` to `log.2`, and so on.
fn rotate(log: &Path, keep: u32) {
    let name = |index: u32| match index {
        0 => log.to_owned(),
        index => log.with_file_name(format!("app.log.{index}")),
    };
    for index in (0..keep).rev() {
        if name(index).exists() {
            fs::rename(name(index), name(index + 1)).unwrap();
        }
    }
}
