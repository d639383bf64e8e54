//! Which files are found, when, and how little is looked at for it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use logrelay::tail::{Options, discover::Patterns};

use crate::{
    support::{TestRedis, eventually},
    tailing::{Tailing, append},
};

/// So long that whatever is seen in a test was reported by the system.
const NEVER_MS: u64 = 3_600_000;

fn reported(options: Options) -> Options {
    Options { poll_interval_ms: NEVER_MS, ..options }
}

fn polled(options: Options) -> Options {
    Options { poll_interval_ms: 20, watch_files: false, ..options }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    append(path, text);
}

/// Both ways by which changes are found, each by itself.
async fn in_both_ways(glob: &str, mut check: impl AsyncFnMut(Tailing)) {
    let redis = TestRedis::start().await;
    for way in [reported, polled] {
        check(Tailing::prepare(&redis, glob, way)).await;
    }
}

async fn arrives(tailing: &Tailing, count: &mut u64, path: &Path) {
    *count += 1;
    write(path, &format!("line {count}\n"));
    tailing.until_lines(*count).await;
}

#[tokio::test]
async fn folders_that_appear_later_go_and_come_again_are_followed() {
    in_both_ways("a/*/c/**/*.log", async |mut tailing| {
        tailing.resume();
        let mut lines = 0;
        let log = tailing.path("a/b/c/d/e.log");
        arrives(&tailing, &mut lines, &log).await;
        arrives(&tailing, &mut lines, &log).await;
        arrives(&tailing, &mut lines, &tailing.path("a/b2/c/e.log")).await;
        for gone in ["a/b/c/d", "a/b", "a"] {
            fs::remove_dir_all(tailing.path(gone)).unwrap();
            arrives(&tailing, &mut lines, &log).await;
        }
        fs::rename(tailing.path("a/b"), tailing.path("a/away")).unwrap();
        arrives(&tailing, &mut lines, &log).await;
        arrives(&tailing, &mut lines, &tailing.path("a/away/c/d/e.log")).await;
        tailing.stop().await;
    })
    .await;
}

#[tokio::test]
async fn links_to_files_and_folders_are_followed_also_when_they_dangle_first() {
    in_both_ways("logs/*/*.log", async |mut tailing| {
        let mut lines = 0;
        fs::create_dir_all(tailing.path("logs/real")).unwrap();
        symlink(tailing.path("data"), tailing.path("logs/folder")).unwrap();
        symlink(tailing.path("elsewhere/file"), tailing.path("logs/real/link.log")).unwrap();
        symlink("..", tailing.path("logs/real/loop")).unwrap();
        symlink("loop.log", tailing.path("logs/real/loop.log")).unwrap();
        // What a link waits for appears unnoticed: that is polled in both ways.
        tailing = tailing.with(|options| Options { poll_interval_ms: 20, ..options });
        tailing.resume();
        arrives(&tailing, &mut lines, &tailing.path("data/a.log")).await;
        arrives(&tailing, &mut lines, &tailing.path("elsewhere/file")).await;
        arrives(&tailing, &mut lines, &tailing.path("logs/real/b.log")).await;
        fs::remove_dir_all(tailing.path("data")).unwrap();
        arrives(&tailing, &mut lines, &tailing.path("data/a.log")).await;
        tailing.stop().await;
    })
    .await;
}

#[tokio::test]
async fn growth_behind_a_link_is_reported_under_the_name_of_the_link() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "logs/*.log", reported);
    let (data, link) = (tailing.path("data/0.log"), tailing.path("logs/pod.log"));
    write(&data, "first\n");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(&data, &link).unwrap();
    tailing.resume();
    tailing.until_lines(1).await;
    let looks = tailing.metrics().looks.get();
    append(&data, "second\n");
    tailing.until_lines(2).await;
    assert_eq!(tailing.metrics().looks.get(), looks);
}

#[tokio::test]
async fn what_takes_the_place_of_what_is_needed_is_waited_out() {
    in_both_ways("a/b/*.log", async |mut tailing| {
        append(&tailing.path("a"), "a file where a folder has to be\n");
        tailing.resume();
        let mut lines = 0;
        eventually("it looks", async || tailing.metrics().looks.get() > 0).await;
        fs::remove_file(tailing.path("a")).unwrap();
        arrives(&tailing, &mut lines, &tailing.path("a/b/c.log")).await;
        fs::rename(tailing.path("a/b"), tailing.path("a/away")).unwrap();
        symlink("b", tailing.path("a/b")).unwrap();
        fs::remove_file(tailing.path("a/b")).unwrap();
        arrives(&tailing, &mut lines, &tailing.path("a/b/c.log")).await;
        tailing.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_excluded_is_not_followed() {
    in_both_ways("**/*.log", async |mut tailing| {
        let path = |name: &str| tailing.path(name).display().to_string();
        let patterns = Patterns::parse(&[path("**/*.log")]).unwrap();
        let patterns = patterns.excluding(&[path("**/debug*"), path("old/")]).unwrap();
        tailing = tailing.with(|mut options| {
            options.inputs[0].patterns = patterns.clone();
            options
        });
        for name in ["debug.log", "x/debug.log", "x/debugging/a.log", "old/x/y/b.log"] {
            write(&tailing.path(name), "no\n");
        }
        tailing.resume();
        let mut lines = 0;
        for name in ["a.log", "x/older/b.log", "new/c.log"] {
            arrives(&tailing, &mut lines, &tailing.path(name)).await;
            write(&tailing.path("new/debug/a.log"), "no\n");
        }
        tailing.stop().await;
        assert_eq!(tailing.contents().await, ["line 1", "line 2", "line 3"]);
    })
    .await;
}

#[tokio::test]
async fn a_tree_of_fifty_thousand_files_is_walked_once_and_not_for_what_happens_in_it() {
    const FOLDERS: u64 = 500;
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "**/*.log", reported);
    for folder in 0..FOLDERS {
        let folder = tailing.path(&format!("{}/{folder}", folder % 20));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("app.log"), "first line\n").unwrap();
        for file in 1..100 {
            fs::File::create(folder.join(format!("{file}.txt"))).unwrap();
        }
    }
    tailing.resume();
    tailing.until_lines(FOLDERS).await;
    let (looks, listed) = (tailing.metrics().looks.get(), tailing.metrics().listed_folders.get());
    assert!(listed >= FOLDERS + 20, "{listed}");
    for folder in 0..FOLDERS {
        append(&tailing.path(&format!("{}/{folder}/app.log", folder % 20)), "second line\n");
        append(&tailing.path(&format!("{}/{folder}/0.txt", folder % 20)), "not followed\n");
    }
    tailing.until_lines(2 * FOLDERS).await;
    assert_eq!(tailing.metrics().looks.get(), looks, "growth was looked for");
    write(&tailing.path("3/3/new.log"), "one\n");
    write(&tailing.path("3/3/new/new.log"), "two\n");
    tailing.until_lines(2 * FOLDERS + 2).await;
    let anew = tailing.metrics().listed_folders.get() - listed;
    assert!(anew < 20, "{anew} folders were listed for two files");
    tailing.stop().await;
}

#[tokio::test]
async fn looks_of_a_large_tree_become_seldom_however_short_the_poll_interval_is() {
    let redis = TestRedis::start().await;
    let watched = Tailing::prepare(&redis, "**/*.log", |options| Options { poll_interval_ms: 10, ..options });
    for folder in 0..1000 {
        write(&watched.path(&format!("{folder}/a.txt")), "");
    }
    let mut tailing = watched;
    tailing.resume();
    let begin = Instant::now();
    eventually("it looks", async || tailing.metrics().listed_folders.get() >= 1001).await;
    let first = begin.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Each takes more than a millisecond: at 0.5 % there are not more than five a second.
    let looks = tailing.metrics().looks.get();
    assert!(looks <= 6, "{looks} looks in a second, the first took {first:?}");
    tailing.stop().await;
}

#[tokio::test]
async fn what_it_takes_to_follow_thousands_of_new_files_does_not_put_off_the_next_look() {
    const FILES: u64 = 1500;
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "*.log", polled);
    for file in 0..FILES {
        append(&tailing.path(&format!("{file}.log")), "first\n");
    }
    tailing.resume();
    tailing.until_lines(FILES).await;
    append(&tailing.path("new.log"), "seen by the next look only\n");
    tailing.until_lines(FILES + 1).await;
    tailing.stop().await;
}

#[tokio::test]
async fn thousands_of_files_that_come_and_go_cause_few_looks() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "*.log", reported);
    append(&tailing.path("app.log"), "first\n");
    tailing.resume();
    tailing.until_lines(1).await;
    let before = tailing.metrics().looks.get();
    for number in 0..5000 {
        let path = tailing.path(&format!("{number}.tmp"));
        append(&path, "not followed\n");
        fs::remove_file(&path).unwrap();
    }
    append(&tailing.path("app.log"), "second\n");
    tailing.until_lines(2).await;
    assert_eq!(tailing.metrics().looks.get(), before, "for what does not match");
    let folder = tailing.path("");
    let begin = Instant::now();
    let flood = tokio::task::spawn_blocking(move || {
        for number in 0..5000 {
            let path = folder.join(format!("{number}.gz.log"));
            fs::write(&path, "").unwrap();
            fs::remove_file(&path).unwrap();
        }
    });
    flood.await.unwrap();
    append(&tailing.path("app.log"), "third\n");
    append(&tailing.path("last.log"), "fourth\n");
    tailing.until_lines(4).await;
    let (looks, seconds) = (tailing.metrics().looks.get() - before, begin.elapsed().as_secs_f64());
    assert!(looks < 1000, "{looks} looks in {seconds:.1} s");
    tailing.stop().await;
}

#[tokio::test]
async fn what_the_system_reports_wrongly_or_not_at_all_is_found_by_looking() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "a/b/*.log", |options| options);
    let log = tailing.path("a/b/app.log");
    write(&log, "first\n");
    tailing.resume();
    tailing.until_lines(1).await;
    // What is written through another name of the file is reported by nobody.
    fs::hard_link(&log, tailing.path("other")).unwrap();
    append(&tailing.path("other"), "second\n");
    tailing.until_lines(2).await;
    tailing.stop().await;
    assert_eq!(tailing.contents().await, ["first", "second"]);
}

#[tokio::test]
async fn what_comes_and_goes_above_the_folders_of_a_pattern_is_noticed_at_once() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "a/b/c/*.log", reported);
    let (log, mut lines) = (tailing.path("a/b/c/app.log"), 0);
    tailing.resume();
    arrives(&tailing, &mut lines, &log).await;
    for renamed in ["a", "a/b"] {
        fs::rename(tailing.path(renamed), tailing.path(&format!("away{lines}"))).unwrap();
        arrives(&tailing, &mut lines, &log).await;
        arrives(&tailing, &mut lines, &log).await;
    }
    // As a release is put in place: another link takes the name of the one before.
    fs::rename(tailing.path("a"), tailing.path("one")).unwrap();
    for release in ["one", "two", "three"] {
        write(&tailing.path(release).join("b/c/app.log"), &format!("{release}\n"));
        symlink(release, tailing.path("next")).unwrap();
        fs::rename(tailing.path("next"), tailing.path("a")).unwrap();
        lines += 1;
        tailing.until_lines(lines).await;
        arrives(&tailing, &mut lines, &log).await;
    }
    tailing.stop().await;
}
