//! Rotated files that were compressed before they were read to their end.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use logrelay::tail::Options;

use crate::{
    outage::Logs,
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines},
};

/// One member of a gzip file.
pub(crate) fn member(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// What `gzip FILE` does: the content goes to `FILE.gz`, which keeps the time, and the file
/// is removed.
pub(crate) fn gzip(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    put(&packed(file), &member(&text), file);
    fs::remove_file(file).unwrap();
}

pub(crate) fn packed(file: &Path) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// Writes a file that was changed last when `like` was.
fn put(path: &Path, bytes: &[u8], like: &Path) {
    let modified = fs::metadata(like).unwrap().modified().unwrap();
    fs::write(path, bytes).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// Renames `app.log` to `app.log.1`, that to `app.log.2`, and so on, compressed or not.
pub(crate) fn rotate(log: &Path) {
    let name = |number: u32, ending: &str| log.with_file_name(format!("app.log.{number}{ending}"));
    for number in (1..8).rev() {
        for ending in ["", ".gz"] {
            if name(number, ending).exists() {
                fs::rename(name(number, ending), name(number + 1, ending)).unwrap();
            }
        }
    }
    fs::rename(log, name(1, "")).unwrap();
}

/// A tailer that has read 100 lines and does not run.
async fn stopped_after_100(redis: &TestRedis, glob: &str) -> Tailing {
    let mut tailing = Tailing::start(redis, glob);
    append(&tailing.path("app.log"), &lines(0, 100));
    tailing.until_lines(100).await;
    tailing.stop().await;
    tailing
}

#[tokio::test]
async fn what_was_rotated_and_compressed_while_stopped_is_drained_before_its_successor() {
    let redis = TestRedis::start().await;
    for glob in ["app.log", "app.log*"] {
        let mut tailing = stopped_after_100(&redis, glob).await;
        let log = tailing.path("app.log");
        append(&log, &lines(100, 100));
        rotate(&log);
        gzip(&tailing.path("app.log.1"));
        append(&log, &lines(200, 100));
        tailing.resume();
        tailing.until_lines(300).await;
        tailing.restart().await;
        append(&log, &lines(300, 1));
        tailing.until_lines(301).await;
        tailing.assert_numbered(301).await;
    }
}

#[tokio::test]
async fn files_that_came_and_were_compressed_while_stopped_are_read_whole_oldest_first() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "app.log");
    let log = tailing.path("app.log");
    // Older than what was ever followed: not to be read.
    fs::write(tailing.path("app.log.1.gz"), member("long ago\n")).unwrap();
    append(&log, &lines(0, 100));
    tailing.until_lines(100).await;
    tailing.stop().await;
    for round in 1..4 {
        append(&log, &lines(round * 100, 50));
        rotate(&log);
        gzip(&tailing.path("app.log.1"));
        append(&log, &lines(round * 100 + 50, 50));
    }
    tailing.resume();
    tailing.until_lines(350).await;
    tailing.stop().await;
    append(&log, &lines(400, 1));
    tailing.resume();
    tailing.until_lines(401).await;
    tailing.assert_numbered(401).await;
}

#[tokio::test]
async fn several_members_and_zstd_are_read_like_one_file() {
    let redis = TestRedis::start().await;
    for ending in ["gz", "zst"] {
        let mut tailing = stopped_after_100(&redis, "app.log").await;
        let log = tailing.path("app.log");
        let parts = [lines(0, 30), lines(30, 100), lines(130, 70)];
        let pack = |text: &String| match ending {
            "gz" => member(text),
            _ => zstd::encode_all(text.as_bytes(), 1).unwrap(),
        };
        let whole: Vec<u8> = parts.iter().flat_map(pack).collect();
        put(&tailing.path(&format!("app.log-20261120.{ending}")), &whole, &log);
        fs::remove_file(&log).unwrap();
        append(&log, &lines(200, 10));
        tailing.resume();
        tailing.until_lines(210).await;
        tailing.assert_numbered(210).await;
    }
}

#[tokio::test]
async fn a_compressed_file_that_is_still_written_is_waited_for() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "app.log", |options| Options { linger_ms: 60_000, ..options });
    tailing.resume();
    let log = tailing.path("app.log");
    append(&log, &lines(0, 100));
    tailing.until_lines(100).await;
    tailing.stop().await;
    let whole = [member(&lines(0, 120)), member(&lines(120, 80))].concat();
    let packed = tailing.path("app.log.1.gz");
    fs::remove_file(&log).unwrap();
    append(&log, &lines(200, 10));
    // A file that comes later is followed: the folder was looked at.
    for cut in [0, 9, 60, whole.len() - 3] {
        fs::write(&packed, &whole[..cut]).unwrap();
        tailing.resume();
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        tailing.until_lines(100).await;
        tailing.assert_numbered(100).await;
        tailing.kill().await;
    }
    tailing.resume();
    fs::write(&packed, &whole).unwrap();
    tailing.until_lines(210).await;
    tailing.assert_numbered(210).await;
}

#[tokio::test]
async fn a_damaged_file_is_drained_as_far_as_it_can_be_read() {
    let redis = TestRedis::start().await;
    let mut tailing = stopped_after_100(&redis, "app.log").await;
    let log = tailing.path("app.log");
    let (logs, _guard) = Logs::capture();
    let mut spoiled = [member(&lines(0, 150)), member(&lines(150, 50))].concat();
    let len = spoiled.len();
    spoiled[len - 60..].fill(0xff);
    fs::write(tailing.path("app.log.1.gz"), &spoiled).unwrap();
    fs::remove_file(&log).unwrap();
    append(&log, "the next file\n");
    tailing.resume();
    tailing.until_lines(151).await;
    let contents = tailing.contents().await;
    assert_eq!(contents[149], crate::tailing::numbered(149));
    assert_eq!(logs.count("app.log.1.gz: cannot be unpacked after"), 1);
    assert_eq!(contents.last().unwrap(), "the next file");
}

#[tokio::test]
async fn a_file_that_never_becomes_whole_is_drained_after_a_while() {
    let redis = TestRedis::start().await;
    let mut tailing = stopped_after_100(&redis, "app.log").await;
    let log = tailing.path("app.log");
    let cut = [member(&lines(0, 150)), member(&lines(150, 50))].concat();
    fs::write(tailing.path("app.log.1.gz"), &cut[..cut.len() - 70]).unwrap();
    fs::remove_file(&log).unwrap();
    append(&log, "the next file\n");
    tailing.resume();
    tailing.until_lines(151).await;
    assert_eq!(tailing.contents().await.last().unwrap(), "the next file");
}

#[tokio::test]
async fn what_is_compressed_while_it_is_followed_is_no_new_file() {
    let redis = TestRedis::start().await;
    for glob in ["app.log", "app.log*"] {
        let mut tailing = Tailing::start(&redis, glob);
        let log = tailing.path("app.log");
        for round in 0..4 {
            append(&log, &lines(round * 100, 50));
            tailing.until_lines(round * 100 + 1).await;
            append(&log, &lines(round * 100 + 50, 50));
            rotate(&log);
            gzip(&tailing.path("app.log.1"));
        }
        append(&log, &lines(400, 10));
        tailing.until_lines(410).await;
        tailing.restart().await;
        append(&log, &lines(410, 10));
        tailing.until_lines(420).await;
        tailing.until_gone(4).await;
        tailing.restart().await;
        append(&log, &lines(420, 10));
        tailing.until_lines(430).await;
        tailing.assert_numbered(430).await;
    }
}

#[tokio::test]
async fn an_empty_file_that_was_compressed_is_begun_once_and_told_to_stop() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "app.log");
    let log = tailing.path("app.log");
    append(&log, &lines(0, 1));
    tailing.until_lines(1).await;
    for sources in 2..4 {
        rotate(&log);
        append(&log, "");
        tailing.until_sources(sources).await;
    }
    fs::remove_file(&log).unwrap();
    gzip(&tailing.path("app.log.1"));
    tailing.until_sources(4).await;
    // Where no file is at the path, those beside it are looked into by every look.
    let looks = tailing.metrics().looks.get();
    eventually("more looks", async || tailing.metrics().looks.get() > looks + 5).await;
    assert_eq!(tailing.sources().await.len(), 4);
    tailing.stop().await;
}

#[tokio::test]
async fn a_tailer_killed_in_the_middle_of_a_compressed_file_goes_on_there() {
    let redis = TestRedis::start().await;
    let mut tailing = stopped_after_100(&redis, "app.log*").await;
    let log = tailing.path("app.log");
    append(&log, &lines(100, 60_000));
    rotate(&log);
    gzip(&tailing.path("app.log.1"));
    append(&log, &lines(60_100, 10_000));
    for round in 1..15 {
        tailing.resume();
        tailing.until_lines(100 + round * 4000).await;
        tailing.kill().await;
        if round == 7 {
            append(&log, &lines(70_100, 100));
            rotate(&log);
            append(&log, &lines(70_200, 100));
            gzip(&tailing.path("app.log.1"));
        }
    }
    tailing.resume();
    tailing.until_lines(70_300).await;
    tailing.assert_numbered(70_300).await;
}

#[tokio::test]
async fn a_compressed_file_that_begins_like_a_followed_one_is_read() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "app.log");
    let log = tailing.path("app.log");
    append(&log, "a header\n0\n");
    tailing.until_lines(2).await;
    fs::rename(&log, tailing.path("app.log.2")).unwrap();
    // It came and went between two looks.
    put(&tailing.path("app.log.1.gz"), &member("a header\n"), &tailing.path("app.log.2"));
    append(&log, "a header\n1\n");
    tailing.until_lines(5).await;
    assert_eq!(tailing.contents().await, ["a header", "0", "a header", "a header", "1"]);
}

#[tokio::test]
async fn what_a_failover_forgot_of_a_compressed_file_is_sent_again() {
    let mut redis = TestRedis::start().await;
    let mut tailing = stopped_after_100(&redis, "app.log").await;
    let log = tailing.path("app.log");
    append(&log, &lines(100, 3000));
    rotate(&log);
    gzip(&tailing.path("app.log.1"));
    let copy = redis.copy();
    tailing.resume();
    tailing.until_lines(3100).await;
    redis.replace_with(&copy).await;
    tailing.until_lines(3100).await;
    append(&log, &lines(3100, 10));
    tailing.until_lines(3110).await;
    tailing.assert_numbered(3110).await;
}

#[tokio::test]
async fn compressed_files_of_no_known_log_are_said_once_and_not_followed() {
    let redis = TestRedis::start().await;
    let (logs, _guard) = Logs::capture();
    let mut tailing = Tailing::prepare(&redis, "*", |options| options);
    for name in ["app.log.1.gz", "backup.tar.gz", "notes.xz"] {
        fs::write(tailing.path(name), member("long ago\n")).unwrap();
    }
    append(&tailing.path("app.log"), &lines(0, 1));
    tailing.resume();
    tailing.until_lines(1).await;
    for number in 1..4 {
        // A file that comes later is followed: there was another look.
        append(&tailing.path(&format!("{number}.log")), &lines(number, 1));
        tailing.until_lines(number + 1).await;
    }
    tailing.assert_numbered(4).await;
    assert_eq!(logs.count("backup.tar.gz: compressed files are not followed"), 1);
    assert_eq!(logs.count("notes.xz: compressed files are not followed"), 1);
    assert_eq!(logs.count("compressed files are not followed"), 2);
}

#[tokio::test]
async fn what_went_to_a_folder_of_the_glob_and_was_compressed_unseen_is_read_before_its_successor() {
    let redis = TestRedis::start().await;
    let mut tailing = stopped_after_100(&redis, "**/app.log*").await;
    let (log, old) = (tailing.path("app.log"), tailing.path("old"));
    fs::create_dir(&old).unwrap();
    fs::rename(&log, old.join("app.log.2")).unwrap();
    append(&old.join("app.log.1"), &lines(100, 50));
    gzip(&old.join("app.log.1"));
    append(&log, &lines(150, 50));
    tailing.resume();
    tailing.until_lines(200).await;
    // The same with the one before it followed where it went to.
    tailing.stop().await;
    fs::rename(old.join("app.log.1.gz"), old.join("app.log.3.gz")).unwrap();
    fs::rename(&log, old.join("app.log.1")).unwrap();
    append(&old.join("app.log.0"), &lines(200, 50));
    gzip(&old.join("app.log.0"));
    append(&log, &lines(250, 50));
    tailing.resume();
    tailing.until_lines(300).await;
    tailing.restart().await;
    append(&log, &lines(300, 1));
    tailing.until_lines(301).await;
    tailing.assert_numbered(301).await;
}
