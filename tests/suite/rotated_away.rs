//! Rotation into other folders, and links that lead to another file.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use logrelay::tail::{Options, discover::Patterns};

use crate::{
    support::TestRedis,
    tailing::{Tailing, append, lines},
};

/// Makes the link lead to `target` in one step.
fn swap(link: &Path, target: &Path) {
    let new = link.with_file_name("being-swapped");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

/// A tailer of `current.log`, which leads to `app-1.log`.
fn linked(redis: &TestRedis, folder: &str) -> (Tailing, PathBuf, impl Fn(u32) -> PathBuf + use<>) {
    let mut tailing = Tailing::prepare(redis, "current.log", |options| options);
    let (link, folder) = (tailing.path("current.log"), tailing.path(folder));
    fs::create_dir_all(&folder).unwrap();
    let target = move |number: u32| folder.join(format!("app-{number}.log"));
    append(&target(1), "");
    symlink(target(1), &link).unwrap();
    tailing.resume();
    (tailing, link, target)
}

#[tokio::test]
async fn a_link_that_is_swapped_is_followed_after_its_old_file_is_drained() {
    let redis = TestRedis::start().await;
    for folder in [".", "files"] {
        let (tailing, link, target) = linked(&redis, folder);
        append(&target(1), &lines(0, 100));
        tailing.until_lines(100).await;
        redis.freeze();
        append(&target(1), &lines(100, 3000));
        append(&target(2), &lines(3100, 100));
        swap(&link, &target(2));
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        redis.thaw();
        tailing.until_lines(3200).await;
        tailing.assert_numbered(3200).await;
    }
}

#[tokio::test]
async fn a_link_that_was_swapped_while_stopped_is_followed_after_its_old_file_is_drained() {
    let redis = TestRedis::start().await;
    for (folder, killed) in [(".", false), ("files", false), ("files", true)] {
        let (mut tailing, link, target) = linked(&redis, folder);
        append(&target(1), &lines(0, 100));
        tailing.until_lines(100).await;
        if killed {
            tailing.kill().await;
        } else {
            tailing.stop().await;
        }
        append(&target(1), &lines(100, 100));
        append(&target(2), &lines(200, 100));
        swap(&link, &target(2));
        tailing.resume();
        tailing.until_lines(300).await;
        tailing.restart().await;
        append(&target(2), &lines(300, 1));
        tailing.until_lines(301).await;
        tailing.assert_numbered(301).await;
    }
}

#[tokio::test]
async fn a_folder_that_is_swapped_behind_a_link_is_followed_also_when_stopped_meanwhile() {
    let redis = TestRedis::start().await;
    for stopped in [false, true] {
        let mut tailing = Tailing::prepare(&redis, "app.log", |options| options);
        let file = |version: u32| tailing.path(&format!("..version-{version}")).join("app.log");
        let (first, second, data) = (file(1), file(2), tailing.path("..data"));
        for file in [&first, &second] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        swap(&data, first.parent().unwrap());
        symlink("..data/app.log", tailing.path("app.log")).unwrap();
        append(&first, &lines(0, 100));
        tailing.resume();
        tailing.until_lines(100).await;
        if stopped {
            tailing.stop().await;
        }
        append(&first, &lines(100, 100));
        append(&second, &lines(200, 100));
        swap(&data, second.parent().unwrap());
        if stopped {
            tailing.resume();
        }
        tailing.until_lines(300).await;
        tailing.restart().await;
        append(&second, &lines(300, 1));
        tailing.until_lines(301).await;
        tailing.assert_numbered(301).await;
    }
}

#[tokio::test]
async fn what_a_link_leads_to_is_rotated_where_it_is() {
    let redis = TestRedis::start().await;
    let (mut tailing, _link, target) = linked(&redis, "files");
    let log = target(1);
    append(&log, &lines(0, 100));
    tailing.until_lines(100).await;
    tailing.stop().await;
    append(&log, &lines(100, 50));
    fs::rename(&log, log.with_extension("log.2")).unwrap();
    append(&log, &lines(150, 50));
    fs::rename(&log, log.with_extension("log.1")).unwrap();
    append(&log, &lines(200, 50));
    tailing.resume();
    tailing.until_lines(250).await;
    tailing.assert_numbered(250).await;
}

/// Renames, copies, or renames to another name.
fn move_away(how: &str, from: &Path, to: &Path) {
    match how {
        "moved" => fs::rename(from, to).unwrap(),
        "copied" => {
            // As to another file system: with its time, and another inode.
            fs::copy(from, to).unwrap();
            let modified = fs::metadata(from).unwrap().modified().unwrap();
            fs::File::options().write(true).open(to).unwrap().set_modified(modified).unwrap();
            fs::remove_file(from).unwrap();
        }
        other => unreachable!("{other}"),
    }
}

#[tokio::test]
async fn what_is_rotated_into_another_folder_is_drained_also_when_stopped_meanwhile() {
    let redis = TestRedis::start().await;
    for (how, olddirs) in [("moved", &["old", "../beside"][..]), ("copied", &["old"])] {
        for (stopped, olddir) in
            [false, true].into_iter().flat_map(|it| olddirs.iter().map(move |dir| (it, dir)))
        {
            let mut tailing = Tailing::prepare(&redis, "logs/app.log", |options| options);
            let log = tailing.path("logs/app.log");
            let old = tailing.path("logs").join(olddir);
            fs::create_dir_all(tailing.path("logs")).unwrap();
            fs::create_dir_all(&old).unwrap();
            append(&log, &lines(0, 100));
            tailing.resume();
            tailing.until_lines(100).await;
            if stopped {
                tailing.stop().await;
            }
            append(&log, &lines(100, 100));
            if !stopped && how == "copied" {
                tailing.until_lines(200).await;
            }
            move_away(how, &log, &old.join("app.log-20261119"));
            append(&log, &lines(200, 100));
            if !stopped {
                tailing.until_lines(300).await;
            }
            move_away(how, &log, &old.join("app.log-20261120"));
            append(&log, &lines(300, 100));
            if stopped {
                tailing.resume();
            }
            tailing.until_lines(400).await;
            tailing.restart().await;
            append(&log, &lines(400, 1));
            tailing.until_lines(401).await;
            tailing.assert_numbered(401).await;
        }
    }
}

#[tokio::test]
async fn rotated_files_are_looked_for_where_the_input_says() {
    let redis = TestRedis::start().await;
    let elsewhere = tempfile::TempDir::new().unwrap();
    let glob = elsewhere.path().join("*").display().to_string();
    let mut tailing = Tailing::prepare(&redis, "app.log", |mut options: Options| {
        options.inputs[0].rotated = Some(Patterns::parse(std::slice::from_ref(&glob)).unwrap());
        options
    });
    let log = tailing.path("app.log");
    append(&elsewhere.path().join("app.log-20261101"), "long ago\n");
    append(&elsewhere.path().join("other.log-20261120"), "of another log\n");
    append(&log, &lines(0, 10));
    tailing.resume();
    tailing.until_lines(10).await;
    tailing.stop().await;
    for day in 19..21_u64 {
        let first = (day - 19) * 10 + 10;
        append(&log, &lines(first, 5));
        move_away("copied", &log, &elsewhere.path().join(format!("app.log-202611{day}")));
        append(&log, &lines(first + 5, 5));
    }
    tailing.resume();
    tailing.until_lines(30).await;
    tailing.assert_numbered(30).await;
}

#[tokio::test]
async fn a_log_of_the_same_name_in_the_folder_beside_is_another_one() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "a/app.log", |options| options);
    for folder in ["a", "b"] {
        fs::create_dir(tailing.path(folder)).unwrap();
        append(&tailing.path(folder).join("app.log"), &lines(0, 100));
    }
    append(&tailing.path("b/app.log"), "a line of the other one\n");
    append(&tailing.path("b/app.log.1"), &(lines(0, 100) + "an older line\n"));
    tailing.resume();
    tailing.until_lines(100).await;
    tailing.stop().await;
    fs::remove_file(tailing.path("a/app.log")).unwrap();
    append(&tailing.path("a/app.log"), &lines(100, 1));
    tailing.resume();
    tailing.until_lines(101).await;
    tailing.assert_numbered(101).await;
}

#[tokio::test]
async fn a_short_copy_in_another_folder_is_drained_and_so_is_what_is_moved_there_after_it() {
    let redis = TestRedis::start().await;
    for stopped in [false, true] {
        let mut tailing = Tailing::start(&redis, "app.log");
        let (log, old) = (tailing.path("app.log"), tailing.path("old"));
        fs::create_dir_all(&old).unwrap();
        append(&log, &lines(0, 2));
        tailing.until_lines(2).await;
        if stopped {
            tailing.stop().await;
            append(&log, &lines(2, 2));
        }
        let copied = if stopped { 4 } else { 2 };
        fs::copy(&log, old.join("app.log.2")).unwrap();
        fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
        append(&log, &lines(copied, 1));
        fs::rename(&log, old.join("app.log.1")).unwrap();
        append(&log, &lines(copied + 1, 1));
        if stopped {
            tailing.resume();
        }
        tailing.until_lines(copied + 2).await;
        tailing.restart().await;
        append(&log, &lines(copied + 2, 1));
        tailing.until_lines(copied + 3).await;
        tailing.assert_numbered(copied + 3).await;
    }
}

#[tokio::test]
async fn versions_that_a_link_led_to_while_stopped_are_read_when_they_are_named_like_it() {
    let redis = TestRedis::start().await;
    for lines_read in [2, 100] {
        let mut tailing = Tailing::prepare(&redis, "app.log", |options| options);
        let (link, runs) = (tailing.path("app.log"), tailing.path("runs"));
        let run = |number: u32| runs.join(format!("app.log.{number}"));
        fs::create_dir_all(&runs).unwrap();
        append(&run(100_001), "from before the tailer\n");
        append(&run(100_002), &lines(0, lines_read));
        swap(&link, &run(100_002));
        tailing.resume();
        tailing.until_lines(lines_read).await;
        tailing.stop().await;
        append(&run(100_002), &lines(lines_read, 10));
        append(&run(100_003), &lines(lines_read + 10, 10));
        append(&run(100_004), &lines(lines_read + 20, 10));
        swap(&link, &run(100_004));
        append(&run(100_005), "not linked yet\n");
        tailing.resume();
        tailing.until_lines(lines_read + 30).await;
        tailing.restart().await;
        append(&run(100_004), &lines(lines_read + 30, 1));
        tailing.until_lines(lines_read + 31).await;
        tailing.assert_numbered(lines_read + 31).await;
    }
}
