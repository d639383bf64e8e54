//! Files of one log that all begin with the same lines, of which no more was confirmed when the
//! tailer ended: by their content alone none of them can be told from the others.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    packed_siblings::{gzip, member, packed, rotate},
    support::TestRedis,
    tailing::{Tailing, append},
};

/// How long the common beginning is, in bytes: within the kilobyte by which files are known, and
/// beyond it.
const BANNERS: [usize; 2] = [60, 1984];
const GLOBS: [&str; 2] = ["app.log", "app.log*"];

fn banner(bytes: usize) -> String {
    "# the same beginning everywhere\n".repeat(bytes.div_ceil(32))
}

/// A tailer that has read only the beginning of its log, and is killed.
async fn killed_after(redis: &TestRedis, glob: &str, banner: &str) -> Tailing {
    let mut tailing = Tailing::start(redis, glob);
    append(&tailing.path("app.log"), banner);
    tailing.until_lines(banner.lines().count() as u64).await;
    tailing.kill().await;
    tailing
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// The file gets another inode, as by a backup that is restored.
fn replace_by_copy(path: &Path) {
    let (before, copy) = (inode(path), path.with_file_name("restored"));
    fs::copy(path, &copy).unwrap();
    fs::rename(&copy, path).unwrap();
    assert_ne!(inode(path), before);
}

fn was_changed_long_ago(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(86_400)).unwrap();
}

/// Waits for so many lines, and one that is written after a restart; then the topic has these.
async fn has_exactly(tailing: &mut Tailing, expected: &str) {
    let count = expected.lines().count() as u64;
    tailing.until_lines(count).await;
    tailing.restart().await;
    append(&tailing.path("app.log"), "the last line\n");
    tailing.until_lines(count + 1).await;
    let contents = tailing.contents().await;
    assert_eq!(contents, format!("{expected}the last line\n").lines().collect::<Vec<_>>());
    tailing.stop().await;
}

#[tokio::test]
async fn what_was_compressed_goes_on_and_the_new_file_that_begins_alike_is_read_from_its_start() {
    let redis = TestRedis::start().await;
    for (glob, bytes) in GLOBS.iter().flat_map(|glob| BANNERS.map(|bytes| (glob, bytes))) {
        for has_same_inode in [false, true] {
            let banner = banner(bytes);
            let mut tailing = killed_after(&redis, glob, &banner).await;
            let (log, rotated) = (tailing.path("app.log"), tailing.path("app.log.1"));
            append(&log, "of the first\n");
            fs::rename(&log, &rotated).unwrap();
            if has_same_inode {
                // The system gives the inode again that has become free, most often.
                gzip(&rotated);
            }
            append(&log, &format!("{banner}of the second\n"));
            if !has_same_inode {
                gzip(&rotated);
            }
            tailing.resume();
            has_exactly(&mut tailing, &format!("{banner}of the first\n{banner}of the second\n")).await;
        }
    }
}

#[tokio::test]
async fn of_several_that_begin_alike_the_oldest_goes_on_and_those_after_it_are_read_whole() {
    let redis = TestRedis::start().await;
    for (glob, bytes) in GLOBS.iter().flat_map(|glob| BANNERS.map(|bytes| (glob, bytes))) {
        let banner = banner(bytes);
        let mut tailing = killed_after(&redis, glob, &banner).await;
        let log = tailing.path("app.log");
        let mut expected = banner.clone();
        for round in 0..4 {
            append(&log, &format!("of {round}\n"));
            rotate(&log);
            append(&log, &banner);
            gzip(&tailing.path("app.log.1"));
            expected.extend([format!("of {round}\n"), banner.clone()]);
        }
        tailing.resume();
        has_exactly(&mut tailing, &expected).await;
    }
}

#[tokio::test]
async fn what_was_drained_and_compressed_is_not_taken_for_its_successor_that_begins_alike() {
    let redis = TestRedis::start().await;
    for (glob, bytes) in GLOBS.iter().flat_map(|glob| BANNERS.map(|bytes| (glob, bytes))) {
        let banner = banner(bytes);
        let mut tailing = killed_after(&redis, glob, &banner).await;
        let log = tailing.path("app.log");
        let mut expected = banner.clone();
        for round in 0..3 {
            tailing.resume();
            append(&log, &format!("of {round}\n"));
            expected.extend([format!("of {round}\n")]);
            tailing.until_lines(expected.lines().count() as u64).await;
            rotate(&log);
            append(&log, &banner);
            expected += &banner;
            tailing.until_lines(expected.lines().count() as u64).await;
            tailing.kill().await;
            gzip(&tailing.path("app.log.1"));
            if round == 2 {
                append(&log, "of the last\n");
                rotate(&log);
                append(&log, &banner);
                gzip(&tailing.path("app.log.1"));
                expected.extend(["of the last\n", &banner]);
            }
        }
        tailing.resume();
        has_exactly(&mut tailing, &expected).await;
    }
}

#[tokio::test]
async fn a_file_that_went_on_in_its_place_is_not_taken_for_new_though_an_older_one_begins_alike() {
    let redis = TestRedis::start().await;
    for (glob, bytes) in GLOBS.iter().flat_map(|glob| BANNERS.map(|bytes| (glob, bytes))) {
        for has_other_inode in [false, true] {
            let banner = banner(bytes);
            let mut tailing = Tailing::prepare(&redis, glob, |options| options);
            // Of long ago: nobody knows it.
            let (log, old) = (tailing.path("app.log"), tailing.path("app.log.1"));
            fs::write(packed(&old), member(&format!("{banner}long ago\n"))).unwrap();
            was_changed_long_ago(&packed(&old));
            append(&log, &banner);
            tailing.resume();
            tailing.until_lines(banner.lines().count() as u64).await;
            tailing.kill().await;
            if has_other_inode {
                replace_by_copy(&log);
            } else {
                // As by a tool that does not keep the time.
                fs::write(packed(&old), member(&format!("{banner}long ago\n"))).unwrap();
            }
            append(&log, "and on\n");
            tailing.resume();
            has_exactly(&mut tailing, &format!("{banner}and on\n")).await;
        }
    }
}

#[tokio::test]
async fn a_compressed_copy_of_a_file_that_was_restored_is_not_read() {
    let redis = TestRedis::start().await;
    for (glob, bytes) in GLOBS.iter().flat_map(|glob| BANNERS.map(|bytes| (glob, bytes))) {
        let banner = banner(bytes);
        let mut tailing = killed_after(&redis, glob, &banner).await;
        let log = tailing.path("app.log");
        append(&log, "of the backup\n");
        fs::write(tailing.path("app.log-20261120.gz"), member(&fs::read_to_string(&log).unwrap())).unwrap();
        replace_by_copy(&log);
        append(&log, "and on\n");
        tailing.resume();
        has_exactly(&mut tailing, &format!("{banner}of the backup\nand on\n")).await;
    }
}

#[tokio::test]
async fn what_was_moved_over_file_systems_goes_on_before_the_new_file_that_begins_alike() {
    let redis = TestRedis::start().await;
    for (glob, bytes) in GLOBS.iter().flat_map(|glob| BANNERS.map(|bytes| (glob, bytes))) {
        let banner = banner(bytes);
        let mut tailing = killed_after(&redis, glob, &banner).await;
        let (log, rotated) = (tailing.path("app.log"), tailing.path("app.log.1"));
        append(&log, "of the first\n");
        fs::copy(&log, &rotated).unwrap();
        fs::remove_file(&log).unwrap();
        append(&log, &format!("{banner}of the second\n"));
        tailing.resume();
        has_exactly(&mut tailing, &format!("{banner}of the first\n{banner}of the second\n")).await;
    }
}
