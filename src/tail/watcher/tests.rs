//! News from real folders.

use std::{io::Write, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

fn append(path: &Path) {
    let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
    file.write_all(b"line\n").unwrap();
}

async fn next(watcher: &Watcher) -> Changes {
    timeout(Duration::from_secs(20), watcher.changed()).await.expect("something has changed")
}

/// Waits until the changes, all together, are as wanted.
async fn wait_for(watcher: &Watcher, wanted: impl Fn(&Changes) -> bool) -> Changes {
    let mut all = Changes::default();
    while !wanted(&all) {
        let changes = next(watcher).await;
        all.written.extend(changes.written);
        all.entries.extend(changes.entries);
        all.below.extend(changes.below);
        all.folders.extend(changes.folders);
        all.everything |= changes.everything;
    }
    all
}

fn watching(folders: &[&Path]) -> Watcher {
    let watcher = Watcher::new(true);
    assert!(folders.iter().all(|folder| watcher.watch(folder)));
    watcher
}

fn watches(watcher: &Watcher) -> usize {
    let names = watcher.names();
    assert_eq!(names.by_folder.len(), names.by_watch.values().map(Vec::len).sum::<usize>());
    names.by_watch.len()
}

#[tokio::test]
async fn a_write_is_reported_and_a_read_is_not() {
    let dir = TempDir::new().unwrap();
    let (read, written) = (dir.path().join("read.log"), dir.path().join("written.log"));
    append(&read);
    append(&written);
    let watcher = watching(&[dir.path()]);
    fs::read(&read).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    append(&written);
    let changes = next(&watcher).await;
    assert_eq!(changes, Changes { written: [written].into(), ..Changes::default() });
}

#[tokio::test]
async fn what_comes_goes_or_gets_another_name_or_permission_is_named() {
    let dir = TempDir::new().unwrap();
    let (old, new) = (dir.path().join("app.log"), dir.path().join("app.log.1"));
    let watcher = watching(&[dir.path()]);
    let entries = |paths: &[&PathBuf]| Changes {
        entries: paths.iter().map(|&path| path.clone()).collect(),
        ..Changes::default()
    };
    fs::write(&old, "").unwrap();
    assert_eq!(next(&watcher).await, entries(&[&old]));
    fs::rename(&old, &new).unwrap();
    assert_eq!(next(&watcher).await, entries(&[&old, &new]));
    fs::set_permissions(&new, fs::metadata(&new).unwrap().permissions()).unwrap();
    assert_eq!(next(&watcher).await, entries(&[&new]));
    fs::remove_file(&new).unwrap();
    assert_eq!(next(&watcher).await, entries(&[&new]));
}

#[tokio::test]
async fn a_folder_that_comes_or_goes_is_named() {
    let dir = TempDir::new().unwrap();
    let below = dir.path().join("below");
    let watcher = watching(&[dir.path()]);
    let expected = Changes { below: [below.clone()].into(), ..Changes::default() };
    fs::create_dir(&below).unwrap();
    assert_eq!(next(&watcher).await, expected);
    assert!(watcher.watch(&below));
    fs::remove_dir(&below).unwrap();
    let expected = Changes { folders: [below.clone()].into(), ..expected };
    assert_eq!(wait_for(&watcher, |changes| *changes == expected).await, expected);
    while watches(&watcher) > 1 {
        next(&watcher).await;
    }
}

#[tokio::test]
async fn a_folder_that_is_made_anew_is_watched_with_the_next_call() {
    let dir = TempDir::new().unwrap();
    let (folder, away) = (dir.path().join("logs"), dir.path().join("away"));
    let log = folder.join("app.log");
    for round in 0..40 {
        fs::create_dir_all(&folder).unwrap();
        let watcher = watching(&[&folder]);
        if round % 2 == 0 {
            fs::remove_dir_all(&folder).unwrap();
        } else {
            fs::rename(&folder, &away).unwrap();
        }
        fs::create_dir(&folder).unwrap();
        // Word of the old folder may come later, and must not end the new watch.
        assert!(watcher.watch(&folder));
        append(&log);
        wait_for(&watcher, |changes| changes.entries.contains(&log)).await;
        append(&log);
        wait_for(&watcher, |changes| changes.written.contains(&log)).await;
        if away.exists() {
            append(&away.join("app.log"));
            fs::remove_dir_all(&away).unwrap();
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_another_took_the_place_of_unnoticed_is_watched_with_the_next_call() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("app/logs");
    fs::create_dir_all(&folder).unwrap();
    let watcher = watching(&[&folder]);
    fs::rename(dir.path().join("app"), dir.path().join("away")).unwrap();
    fs::create_dir_all(&folder).unwrap();
    assert!(watcher.watch(&folder));
    assert_eq!(watches(&watcher), 1);
    append(&folder.join("app.log"));
    wait_for(&watcher, |changes| changes.written.contains(&folder.join("app.log"))).await;
}

#[tokio::test]
async fn of_a_folder_above_names_are_reported_and_writes_only_where_they_are_wanted_too() {
    let dir = TempDir::new().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    append(&old);
    let watcher = Watcher::new(true);
    assert!(watcher.watch_names(dir.path()));
    append(&old);
    append(&new);
    assert_eq!(next(&watcher).await, Changes { entries: [new].into(), ..Changes::default() });
    assert!(watcher.watch(dir.path()) && watcher.watch_names(dir.path()));
    append(&old);
    assert_eq!(next(&watcher).await, Changes { written: [old].into(), ..Changes::default() });
    assert_eq!(watches(&watcher), 1);
}

#[tokio::test]
async fn a_folder_that_is_not_needed_any_more_is_not_watched() {
    let (left, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let watcher = watching(&[left.path(), kept.path()]);
    watcher.retain(|folder| folder == kept.path());
    assert_eq!(watches(&watcher), 1);
    append(&left.path().join("a.log"));
    append(&kept.path().join("b.log"));
    let changes = wait_for(&watcher, |changes| !changes.written.is_empty()).await;
    assert_eq!(changes.written, [kept.path().join("b.log")].into());
}

#[tokio::test]
async fn a_folder_with_two_names_reports_under_both_until_one_is_gone() {
    let dir = TempDir::new().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let watcher = watching(&[&link, &real]);
    assert!(!watcher.watch(&dir.path().join("none")));
    append(&real.join("a.log"));
    let changes = wait_for(&watcher, |changes| !changes.written.is_empty()).await;
    assert_eq!(changes.written, [link.join("a.log"), real.join("a.log")].into());
    watcher.retain(|folder| folder == real);
    append(&real.join("b.log"));
    let changes = wait_for(&watcher, |changes| !changes.written.is_empty()).await;
    assert_eq!(changes.written, [real.join("b.log")].into());
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("a.log");
    let watcher = Arc::new(watching(&[dir.path()]));
    let mut wait = Box::pin(watcher.changed());
    assert_eq!(wait.as_mut().now_or_never(), None);
    append(&log);
    drop(wait);
    wait_for(&watcher, |changes| changes.written.contains(&log)).await;
}

#[tokio::test]
async fn where_nothing_is_watched_nothing_is_ever_reported() {
    let watcher = Watcher::new(false);
    assert!(!watcher.watch(&std::env::temp_dir()));
    assert_eq!(watcher.changed().now_or_never(), None);
}

#[test]
fn an_overflow_asks_for_everything_and_the_end_of_a_watch_names_its_folders() {
    let mut names = Names::default();
    names.by_watch.insert(1, vec!["/a".into(), "/b".into()]);
    names.by_folder.extend([("/a".into(), 1), ("/b".into(), 1)]);
    let mut changes = Changes::default();
    names.add(&mut changes, Event { watch: -1, name: None, what: What::Everything });
    assert_eq!(changes, Changes { everything: true, ..Changes::default() });
    let mut changes = Changes::default();
    names.add(&mut changes, Event { watch: 1, name: None, what: What::Ended });
    names.add(&mut changes, Event { watch: 1, name: None, what: What::Entry });
    assert_eq!(changes.folders, ["/a".into(), "/b".into()].into());
    assert!(names.by_folder.is_empty() && names.by_watch.is_empty());
}

#[test]
fn limits_of_the_system_are_told_from_other_errors() {
    use rustix::io::Errno;
    let of = |errno: Errno| limit_of(&errno.into());
    assert_eq!((of(Errno::NOSPC), of(Errno::MFILE)), (Some("max_user_watches"), Some("max_user_instances")));
    assert_eq!((of(Errno::ACCESS), of(Errno::NOENT)), (None, None));
}
