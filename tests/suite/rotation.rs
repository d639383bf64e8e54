//! Rotations that random sequences of actions (`tests/model`) found to lose, repeat or
//! disorder lines, each as it was found.

use std::{fs, path::Path, time::Duration};

use logrelay::tail::Options;
use tokio::time::sleep;

use crate::{
    support::TestRedis,
    tailing::{Tailing, append, lines},
};

fn empty(log: &Path) {
    fs::File::options().write(true).open(log).unwrap().set_len(0).unwrap();
}

fn lingering(redis: &TestRedis, linger_ms: u64) -> Tailing {
    let mut tailing = Tailing::prepare(redis, "app.log", |options| Options { linger_ms, ..options });
    tailing.resume();
    tailing
}

#[tokio::test]
async fn a_file_that_was_idle_for_long_is_read_on_after_it_was_renamed() {
    let redis = TestRedis::start().await;
    let tailing = lingering(&redis, 1000);
    let log = tailing.path("app.log");
    append(&log, &lines(0, 10));
    tailing.until_lines(10).await;
    sleep(Duration::from_millis(1200)).await;
    fs::rename(&log, tailing.path("app.log.1")).unwrap();
    sleep(Duration::from_millis(400)).await;
    append(&tailing.path("app.log.1"), &lines(10, 10));
    tailing.until_lines(20).await;
    tailing.assert_numbered(20).await;
}

#[tokio::test]
async fn a_file_written_anew_with_its_old_size_is_read_also_when_others_come_with_it() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "app.log");
    for round in 0..30 {
        fs::write(tailing.path("app.log"), lines(round * 10, 10)).unwrap();
        fs::write(tailing.path(&format!("{round}.txt")), "").unwrap();
        tailing.until_lines(round * 10 + 10).await;
    }
    tailing.assert_numbered(300).await;
}

#[tokio::test]
async fn a_copy_in_the_glob_with_less_than_was_read_is_not_read_again() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "app.log*");
    let log = tailing.path("app.log");
    append(&log, &lines(0, 50));
    tailing.until_lines(50).await;
    fs::copy(&log, tailing.path("app.log.1")).unwrap();
    append(&log, &lines(50, 10));
    tailing.until_lines(60).await;
    empty(&log);
    append(&log, &lines(60, 10));
    tailing.until_lines(70).await;
    tailing.restart().await;
    append(&log, &lines(70, 1));
    tailing.until_lines(71).await;
    tailing.assert_numbered(71).await;
}

#[tokio::test]
async fn a_copy_in_the_making_is_no_source() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log*");
    let (log, copy) = (tailing.path("app.log"), tailing.path("app.log.1"));
    append(&log, &lines(0, 50));
    tailing.until_lines(50).await;
    let whole = fs::read_to_string(&log).unwrap();
    let (first, rest) = whole.split_at(700);
    append(&copy, first);
    // Another file that comes after the copy is followed: the copy was looked at.
    append(&tailing.path("other.log"), &lines(50, 1));
    tailing.until_lines(51).await;
    append(&copy, rest);
    empty(&log);
    append(&log, &lines(51, 10));
    tailing.until_lines(61).await;
    tailing.assert_numbered(61).await;
}

#[tokio::test]
async fn late_lines_of_a_rotated_file_arrive_also_when_the_tailer_was_restarted() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "app.log");
    let log = tailing.path("app.log");
    append(&log, &lines(0, 10));
    tailing.until_lines(10).await;
    fs::rename(&log, tailing.path("app.log.1")).unwrap();
    append(&log, &lines(10, 10));
    tailing.until_lines(20).await;
    tailing.restart().await;
    append(&log, &lines(20, 1));
    tailing.until_lines(21).await;
    append(&tailing.path("app.log.1"), &lines(21, 10));
    tailing.until_lines(31).await;
    tailing.assert_numbered(31).await;
}

#[tokio::test]
async fn a_file_that_came_and_was_rotated_while_stopped_is_read_also_when_all_that_is_known_is_complete() {
    let redis = TestRedis::start().await;
    let mut tailing = lingering(&redis, 1);
    let (log, rotated) = (tailing.path("app.log"), tailing.path("app.log.1"));
    append(&log, &lines(0, 10));
    tailing.until_lines(10).await;
    fs::rename(&log, &rotated).unwrap();
    tailing.until_gone(1).await;
    tailing.stop().await;
    append(&log, &lines(10, 10));
    fs::rename(&rotated, tailing.path("app.log.2")).unwrap();
    fs::rename(&log, &rotated).unwrap();
    append(&log, &lines(20, 10));
    tailing.resume();
    tailing.until_lines(30).await;
    tailing.assert_numbered(30).await;
}

#[tokio::test]
async fn a_file_that_was_emptied_and_then_renamed_is_read_before_its_successor() {
    let redis = TestRedis::start().await;
    for stopped in [true, false] {
        let mut tailing = Tailing::start(&redis, "app.log");
        let (log, rotated) = (tailing.path("app.log"), tailing.path("app.log.1"));
        append(&log, &lines(0, 50));
        tailing.until_lines(50).await;
        if stopped {
            tailing.stop().await;
        }
        fs::copy(&log, &rotated).unwrap();
        empty(&log);
        append(&log, &lines(50, 10));
        fs::rename(&rotated, tailing.path("app.log.2")).unwrap();
        fs::rename(&log, &rotated).unwrap();
        append(&log, &lines(60, 10));
        if stopped {
            tailing.resume();
        }
        tailing.until_lines(70).await;
        tailing.assert_numbered(70).await;
    }
}

#[tokio::test]
async fn an_empty_file_that_was_rotated_unseen_does_not_hide_older_ones() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "app.log");
    let name = |index: u32| tailing.path(&format!("app.log.{index}"));
    let (log, names) = (tailing.path("app.log"), [name(1), name(2), name(3)]);
    append(&log, &lines(0, 50));
    tailing.until_lines(50).await;
    tailing.stop().await;
    fs::rename(&log, &names[2]).unwrap();
    append(&names[1], &lines(50, 10));
    append(&names[0], "");
    append(&log, &lines(60, 10));
    tailing.resume();
    tailing.until_lines(70).await;
    tailing.assert_numbered(70).await;
}

#[tokio::test]
async fn a_file_rotated_between_two_looks_is_found_though_none_has_its_path() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "app.log");
    let log = tailing.path("app.log");
    append(&log, &lines(0, 10));
    tailing.until_lines(10).await;
    fs::rename(&log, tailing.path("app.log.2")).unwrap();
    // As if it had been at the path meanwhile.
    append(&tailing.path("app.log.1"), &lines(10, 10));
    tailing.until_lines(20).await;
    tailing.assert_numbered(20).await;
}

#[tokio::test]
async fn a_deleted_file_with_an_unfinished_line_is_marked_as_gone() {
    let redis = TestRedis::start().await;
    let tailing = lingering(&redis, 1);
    append(&tailing.path("app.log"), "one\ntwo");
    tailing.until_lines(1).await;
    fs::remove_file(tailing.path("app.log")).unwrap();
    tailing.until_gone(1).await;
    assert_eq!(tailing.contents().await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_no_file_behind_that_is_older_than_one_that_was_read() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "app.log");
    let log = tailing.path("app.log");
    append(&log, &lines(0, 1));
    tailing.until_lines(1).await;
    let (mut written, mut sources) = (1, 1);
    for _ in 0..20 {
        tailing.stop().await;
        for number in (1..sources).rev() {
            let older = tailing.path(&format!("app.log.{}", number + 4));
            fs::rename(tailing.path(&format!("app.log.{number}")), older).unwrap();
        }
        fs::rename(&log, tailing.path("app.log.4")).unwrap();
        for name in ["app.log.3", "app.log.2", "app.log.1", "app.log"] {
            append(&tailing.path(name), &lines(written, 1));
            written += 1;
        }
        sources += 4;
        tailing.resume();
        tailing.until_sources(sources).await;
    }
    tailing.until_lines(written).await;
    tailing.assert_numbered(written).await;
}
