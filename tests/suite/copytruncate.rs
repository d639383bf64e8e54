//! Files that are copied and emptied, by whose writer the offset is kept: what was emptied
//! becomes a hole of zero bytes, and lines behind it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use logrelay::tail::Options;

use crate::{
    support::TestRedis,
    tailing::{Tailing, append, lines, numbered},
};

/// A program that opened its log without `O_APPEND`.
struct Writer {
    path: PathBuf,
    file: File,
    offset: u64,
}

impl Writer {
    fn open(path: &Path) -> Self {
        Self { path: path.to_owned(), file: File::create(path).unwrap(), offset: 0 }
    }

    fn write(&mut self, text: &str) {
        self.file.write_all_at(text.as_bytes(), self.offset).unwrap();
        self.offset += text.len() as u64;
    }

    fn copy_truncate(&self, to: &Path) {
        fs::copy(&self.path, to).unwrap();
        self.file.set_len(0).unwrap();
    }
}

/// The lines without the zeros before them.
async fn without_zeros(tailing: &Tailing) -> Vec<String> {
    let contents = tailing.contents().await;
    contents.into_iter().map(|line| line.trim_start_matches('\0').to_owned()).collect()
}

async fn assert_numbered(tailing: &Tailing, count: u64) {
    let expected: Vec<_> = (0..count).map(numbered).collect();
    assert_eq!(without_zeros(tailing).await, expected);
}

#[tokio::test]
async fn what_was_emptied_is_followed_when_the_copy_has_its_source_already() {
    let redis = TestRedis::start().await;
    let few_files = |options| Options { max_open_files: 1, ..options };
    let mut tailing = Tailing::prepare(&redis, "app.log", few_files);
    tailing.resume();
    let (log, copy) = (tailing.path("app.log"), tailing.path("app.log.1"));
    append(&log, &lines(0, 50));
    tailing.until_lines(50).await;
    tailing.stop().await;
    append(&log, &lines(50, 50));
    fs::copy(&log, &copy).unwrap();
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    append(&log, &lines(100, 50));
    tailing.resume();
    tailing.until_lines(150).await;
    tailing.assert_numbered(150).await;
}

#[tokio::test]
async fn a_writer_that_keeps_its_offset_loses_and_repeats_nothing() {
    let redis = TestRedis::start().await;
    for glob in ["app.log", "app.log*"] {
        for away in ["not", "stopped", "killed"] {
            let mut tailing = Tailing::start(&redis, glob);
            let mut writer = Writer::open(&tailing.path("app.log"));
            writer.write(&lines(0, 50));
            tailing.until_lines(50).await;
            for round in 1..4 {
                match away {
                    "stopped" => tailing.stop().await,
                    "killed" => tailing.kill().await,
                    _ => {}
                }
                writer.copy_truncate(&tailing.path(&format!("app.log.{}", 10 - round)));
                writer.write(&lines(round * 50, 50));
                if away != "not" {
                    tailing.resume();
                }
                tailing.until_lines(round * 50 + 50).await;
            }
            tailing.restart().await;
            writer.write(&lines(200, 1));
            tailing.until_lines(201).await;
            assert_numbered(&tailing, 201).await;
        }
    }
}

#[tokio::test]
async fn what_is_in_the_copy_is_read_before_what_is_behind_the_hole() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "app.log");
    let mut writer = Writer::open(&tailing.path("app.log"));
    writer.write(&lines(0, 50));
    tailing.until_lines(50).await;
    tailing.stop().await;
    writer.write(&lines(50, 50));
    writer.copy_truncate(&tailing.path("app.log.1"));
    writer.write(&lines(100, 50));
    tailing.resume();
    tailing.until_lines(150).await;
    assert_numbered(&tailing, 150).await;
}

#[tokio::test]
async fn files_with_a_hole_at_their_head_are_told_apart_when_they_are_rotated() {
    let redis = TestRedis::start().await;
    for stopped in [false, true] {
        let mut tailing = Tailing::start(&redis, "app.log");
        let log = tailing.path("app.log");
        let mut writer = Writer::open(&log);
        writer.write(&lines(0, 50));
        tailing.until_lines(50).await;
        writer.copy_truncate(&tailing.path("app.log.3"));
        writer.write(&lines(50, 50));
        tailing.until_lines(100).await;
        if stopped {
            tailing.stop().await;
        }
        writer.write(&lines(100, 10));
        writer.copy_truncate(&tailing.path("app.log.2"));
        writer.write(&lines(110, 50));
        if !stopped {
            tailing.until_lines(160).await;
        }
        fs::rename(&log, tailing.path("app.log.1")).unwrap();
        append(&log, &lines(160, 50));
        if stopped {
            tailing.resume();
        }
        tailing.until_lines(210).await;
        tailing.restart().await;
        append(&log, &lines(210, 1));
        tailing.until_lines(211).await;
        let contents = without_zeros(&tailing).await;
        let mut sorted = contents.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((contents.len(), sorted.len()), (211, 211));
        assert_numbered(&tailing, 211).await;
    }
}

#[tokio::test]
async fn files_that_begin_with_the_same_kilobyte_are_not_taken_for_a_copy_of_the_emptied_one() {
    let redis = TestRedis::start().await;
    let header = "=".repeat(1100) + "\n";
    for stopped in [false, true] {
        let mut tailing = Tailing::start(&redis, "app.log");
        let log = tailing.path("app.log");
        append(&log, &(header.clone() + "the first file has a longer line\n"));
        tailing.until_lines(2).await;
        if stopped {
            tailing.stop().await;
        }
        fs::copy(&log, tailing.path("app.log.3")).unwrap();
        File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
        for (version, line) in [(2, "emptied\n"), (1, "rotated\n")] {
            append(&log, &(header.clone() + line));
            fs::rename(&log, tailing.path(&format!("app.log.{version}"))).unwrap();
        }
        append(&log, &(header.clone() + "the last\n"));
        if stopped {
            tailing.resume();
        }
        tailing.until_lines(8).await;
        tailing.restart().await;
        append(&log, "the end\n");
        tailing.until_lines(9).await;
        let contents = tailing.contents().await;
        let told: Vec<_> = contents.iter().filter(|line| !line.starts_with('=')).collect();
        assert_eq!(told, ["the first file has a longer line", "emptied", "rotated", "the last", "the end"]);
    }
}

#[tokio::test]
async fn a_hole_of_a_terabyte_is_passed_and_what_is_behind_it_read_also_after_a_kill() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "app.log");
    let mut writer = Writer::open(&tailing.path("app.log"));
    writer.offset = 1 << 40;
    writer.file.set_len(writer.offset).unwrap();
    // To read it would take minutes.
    for round in 0..3 {
        writer.write(&lines(round * 10, 10));
        tailing.until_lines(round * 10 + 10).await;
        tailing.kill().await;
        tailing.resume();
    }
    fs::rename(&writer.path, tailing.path("app.log.1")).unwrap();
    append(&writer.path, &lines(30, 10));
    tailing.until_lines(40).await;
    tailing.restart().await;
    append(&writer.path, &lines(40, 1));
    tailing.until_lines(41).await;
    assert_numbered(&tailing, 41).await;
}

#[tokio::test]
async fn the_copy_of_a_file_with_two_names_in_the_glob_is_not_sent_again() {
    let redis = TestRedis::start().await;
    // One is found before the name of the log, one after it.
    for second in ["a-second.log", "second.log"] {
        for stopped in [false, true] {
            let mut tailing = Tailing::start(&redis, "*.log*");
            let log = tailing.path("app.log");
            append(&log, &lines(0, 50));
            tailing.until_lines(50).await;
            fs::hard_link(&log, tailing.path(second)).unwrap();
            for round in 1..4 {
                append(&log, &lines(round * 50, 25));
                tailing.until_lines(round * 50 + 25).await;
                if stopped {
                    tailing.stop().await;
                }
                fs::copy(&log, tailing.path(&format!("app.log.{}", 10 - round))).unwrap();
                File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
                append(&log, &lines(round * 50 + 25, 25));
                if stopped {
                    tailing.resume();
                }
                tailing.until_lines(round * 50 + 50).await;
            }
            tailing.restart().await;
            append(&log, &lines(200, 1));
            tailing.until_lines(201).await;
            tailing.assert_numbered(201).await;
        }
    }
}
