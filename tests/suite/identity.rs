//! Which file is which: files that are equal, empty, tiny, linked, or have each other's inode.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use logrelay::{store::ConnectOptions, tail::Options};

use crate::{
    proxy::{Fate, Proxy, each_nth_append},
    support::TestRedis,
    tailing::{Tailing, append, lines},
};

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// How the tailer is away while something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    Not,
    Stopped,
    Killed,
}

const EVERY_WAY: [Away; 3] = [Away::Not, Away::Stopped, Away::Killed];

impl Away {
    async fn leave(self, tailing: &mut Tailing) {
        match self {
            Self::Not => {}
            Self::Stopped => tailing.stop().await,
            Self::Killed => tailing.kill().await,
        }
    }

    fn come_back(self, tailing: &mut Tailing) {
        if self != Self::Not {
            tailing.resume();
        }
    }
}

#[tokio::test]
async fn a_copy_in_the_glob_is_no_source_also_while_the_reply_that_stored_its_lines_is_under_way() {
    let redis = TestRedis::with_port(&[]).await;
    let proxy = Proxy::to(redis.port()).await;
    let connect = ConnectOptions { response_timeout_ms: 3000, ..ConnectOptions::new(proxy.url()) };
    let mut tailing = Tailing::prepare(&redis, "*.log*", |options| options).over(connect);
    let log = tailing.path("app.log");
    append(&log, "");
    tailing.resume();
    tailing.until_sources(1).await;
    proxy.judge(each_nth_append(1, Fate::Silence));
    append(&log, &lines(0, 50));
    tailing.until_lines(50).await;
    proxy.judge(|_| Fate::Pass);
    fs::copy(&log, tailing.path("app.log.1")).unwrap();
    append(&tailing.path("other.log"), "");
    // A source that comes after the copy: that was looked at.
    tailing.until_sources(2).await;
    append(&log, &lines(50, 10));
    tailing.until_lines(60).await;
    tailing.assert_numbered(60).await;
    assert_eq!(tailing.sources().await.len(), 2);
}

#[tokio::test]
async fn a_file_that_is_deleted_and_made_anew_with_the_same_inode_is_another_one() {
    let redis = TestRedis::start().await;
    for away in EVERY_WAY {
        let mut tailing = Tailing::start(&redis, "app.log");
        let log = tailing.path("app.log");
        append(&log, &lines(0, 50));
        tailing.until_lines(50).await;
        away.leave(&mut tailing).await;
        let before = inode(&log);
        fs::remove_file(&log).unwrap();
        // The system gives inodes again, but not at once everywhere; one that is held open
        // it cannot give.
        let mut spare = Vec::new();
        for number in 0..200 {
            append(&log, "");
            if inode(&log) == before || away == Away::Not {
                break;
            }
            let other = tailing.path(&format!("spare-{number}"));
            fs::rename(&log, &other).unwrap();
            spare.push(other);
        }
        append(&log, &lines(50, 100));
        away.come_back(&mut tailing);
        tailing.until_lines(150).await;
        tailing.restart().await;
        append(&log, &lines(150, 1));
        tailing.until_lines(151).await;
        tailing.assert_numbered(151).await;
    }
}

#[tokio::test]
async fn a_file_that_is_written_anew_in_its_place_is_another_one() {
    let redis = TestRedis::start().await;
    for away in EVERY_WAY {
        let mut tailing = Tailing::start(&redis, "app.log");
        let log = tailing.path("app.log");
        append(&log, &lines(0, 50));
        tailing.until_lines(50).await;
        away.leave(&mut tailing).await;
        // The same inode and more than before, from the beginning.
        fs::write(&log, lines(50, 100)).unwrap();
        away.come_back(&mut tailing);
        tailing.until_lines(150).await;
        tailing.assert_numbered(150).await;
    }
}

#[tokio::test]
async fn a_file_replaced_by_an_equal_one_is_the_same_source_when_it_was_not_seen() {
    let redis = TestRedis::start().await;
    for away in [Away::Stopped, Away::Killed] {
        let mut tailing = Tailing::start(&redis, "app.log");
        let (log, new) = (tailing.path("app.log"), tailing.path("new"));
        append(&log, &lines(0, 50));
        tailing.until_lines(50).await;
        away.leave(&mut tailing).await;
        // As an editor does, or a backup that is restored.
        fs::copy(&log, &new).unwrap();
        fs::rename(&new, &log).unwrap();
        append(&log, &lines(50, 10));
        away.come_back(&mut tailing);
        tailing.until_lines(60).await;
        tailing.assert_numbered(60).await;
        assert_eq!(tailing.sources().await.len(), 1);
    }
}

#[tokio::test]
async fn files_that_share_their_first_kilobyte_are_told_apart() {
    let redis = TestRedis::start().await;
    let header = "# the same header in every file\n".repeat(64);
    for away in EVERY_WAY {
        let mut tailing = Tailing::start(&redis, "*.log");
        let (a, b, log) = (tailing.path("a.log"), tailing.path("b.log"), tailing.path("app.log"));
        for (name, path) in [("a", &a), ("b", &b), ("app", &log)] {
            append(path, &format!("{header}{name} 0\n"));
        }
        tailing.until_lines(3 * 65).await;
        away.leave(&mut tailing).await;
        append(&a, "a 1\n");
        append(&b, "b 1\n");
        append(&log, "app 1\n");
        fs::rename(&log, tailing.path("app.log.1")).unwrap();
        append(&log, &format!("{header}app 2\n"));
        fs::rename(&a, tailing.path("swap")).unwrap();
        fs::rename(&b, &a).unwrap();
        fs::rename(tailing.path("swap"), &b).unwrap();
        away.come_back(&mut tailing);
        tailing.until_lines(4 * 65 + 3).await;
        tailing.restart().await;
        append(&log, "app 3\n");
        tailing.until_lines(4 * 65 + 4).await;
        let contents = tailing.contents().await;
        for name in ["a", "b", "app"] {
            let of_it = contents.iter().filter(|line| line.starts_with(&format!("{name} ")));
            let numbers: Vec<_> = of_it.map(|line| line.rsplit(' ').next().unwrap()).collect();
            let expected: &[&str] = if name == "app" { &["0", "1", "2", "3"] } else { &["0", "1"] };
            assert_eq!(numbers, expected, "{name}");
        }
        assert_eq!(contents.len(), 4 * 65 + 4);
    }
}

#[tokio::test]
async fn empty_files_and_files_of_three_bytes_are_rotated_like_others() {
    let redis = TestRedis::start().await;
    for away in EVERY_WAY {
        let mut tailing = Tailing::start(&redis, "app.log");
        let log = tailing.path("app.log");
        let name = |number: u32| tailing.path(&format!("app.log.{number}"));
        let names = [name(1), name(2), name(3), name(4)];
        append(&log, "00\n");
        tailing.until_lines(1).await;
        away.leave(&mut tailing).await;
        for (round, content) in ["", "01\n", "", "02\n"].iter().enumerate() {
            fs::rename(&log, &names[3 - round]).unwrap();
            append(&log, content);
        }
        away.come_back(&mut tailing);
        tailing.until_lines(3).await;
        tailing.restart().await;
        append(&log, "03\n");
        tailing.until_lines(4).await;
        assert_eq!(tailing.contents().await, ["00", "01", "02", "03"], "{away:?}");
    }
}

#[tokio::test]
async fn two_names_of_one_file_are_one_source() {
    let redis = TestRedis::start().await;
    for away in EVERY_WAY {
        let mut tailing = Tailing::start(&redis, "*.log");
        let (a, b) = (tailing.path("a.log"), tailing.path("b.log"));
        append(&a, &lines(0, 10));
        tailing.until_lines(10).await;
        away.leave(&mut tailing).await;
        fs::hard_link(&a, &b).unwrap();
        append(&b, &lines(10, 10));
        away.come_back(&mut tailing);
        tailing.until_lines(20).await;
        // The name that it was found under goes; the file stays.
        fs::remove_file(&a).unwrap();
        append(&b, &lines(20, 10));
        tailing.until_lines(30).await;
        tailing.restart().await;
        append(&b, &lines(30, 10));
        tailing.until_lines(40).await;
        tailing.assert_numbered(40).await;
        assert_eq!(tailing.sources().await.len(), 1);
    }
}

#[tokio::test]
async fn a_deleted_file_is_drained_to_its_end_however_slow_redis_is() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "app.log", |options| Options { linger_ms: 1, ..options });
    tailing.resume();
    let log = tailing.path("app.log");
    append(&log, &lines(0, 10));
    tailing.until_lines(10).await;
    redis.freeze();
    append(&log, &lines(10, 40_000));
    fs::remove_file(&log).unwrap();
    append(&log, &lines(40_010, 10));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    redis.thaw();
    tailing.until_lines(40_020).await;
    tailing.until_gone(1).await;
    tailing.assert_numbered(40_020).await;
}

#[tokio::test]
async fn several_renames_within_one_look_are_read_in_order() {
    let redis = TestRedis::start().await;
    for away in EVERY_WAY {
        let mut tailing = Tailing::start(&redis, "app.log");
        let log = tailing.path("app.log");
        append(&log, &lines(0, 10));
        tailing.until_lines(10).await;
        away.leave(&mut tailing).await;
        for round in 1..6 {
            for number in (1..6).rev() {
                let from = tailing.path(&format!("app.log.{number}"));
                if from.exists() {
                    fs::rename(from, tailing.path(&format!("app.log.{}", number + 1))).unwrap();
                }
            }
            fs::rename(&log, tailing.path("app.log.1")).unwrap();
            append(&log, &lines(round * 10, 10));
        }
        away.come_back(&mut tailing);
        tailing.until_lines(60).await;
        tailing.assert_numbered(60).await;
        let sources: HashSet<_> = tailing.sources().await.into_iter().collect();
        assert_eq!(sources.len(), 6);
    }
}

#[tokio::test]
async fn a_file_that_is_made_late_after_a_rename_comes_after_the_renamed_one() {
    let redis = TestRedis::start().await;
    for away in EVERY_WAY {
        let mut tailing = Tailing::start(&redis, "app.log");
        let log = tailing.path("app.log");
        append(&log, &lines(0, 10));
        tailing.until_lines(10).await;
        away.leave(&mut tailing).await;
        append(&log, &lines(10, 10));
        fs::rename(&log, tailing.path("app.log.1")).unwrap();
        away.come_back(&mut tailing);
        tailing.until_lines(20).await;
        append(&tailing.path("app.log.1"), &lines(20, 10));
        tailing.until_lines(30).await;
        append(&log, &lines(30, 10));
        tailing.until_lines(40).await;
        tailing.assert_numbered(40).await;
    }
}
