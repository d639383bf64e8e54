//! Wake-ups from real folders, and the bounds of what is kept of them.

use std::{io::Write, time::Duration};

use futures_util::FutureExt;
use notify::event::{AccessKind, CreateKind, DataChange, Flag, RemoveKind, RenameMode};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

fn append(path: &Path) {
    let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
    file.write_all(b"line\n").unwrap();
}

async fn next(watcher: &mut Watcher) -> Changes {
    timeout(Duration::from_secs(20), watcher.changed()).await.expect("something has changed")
}

/// Waits until the changes, all together, are as wanted.
async fn wait_for(watcher: &mut Watcher, wanted: impl Fn(&Changes) -> bool) -> Changes {
    let mut all = Changes::default();
    while !wanted(&all) {
        let changes = next(watcher).await;
        all.paths.extend(changes.paths);
        all.everything |= changes.everything;
        all.rescan |= changes.rescan;
    }
    all
}

fn watching(folders: &[&Path]) -> Watcher {
    let mut watcher = Watcher::new();
    watch(&mut watcher, folders);
    assert_eq!(watcher.watched.len(), folders.len());
    watcher
}

fn watch(watcher: &mut Watcher, folders: &[&Path]) {
    let folders: Vec<_> = folders.iter().map(|&folder| folder.to_owned()).collect();
    watcher.watch(&folders);
}

#[tokio::test]
async fn a_write_is_seen_and_a_read_is_not() {
    let dir = TempDir::new().unwrap();
    let (read, written) = (dir.path().join("read.log"), dir.path().join("written.log"));
    append(&read);
    append(&written);
    let mut watcher = watching(&[dir.path()]);
    fs::read(&read).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    append(&written);
    let changes = wait_for(&mut watcher, |changes| !changes.paths.is_empty()).await;
    assert_eq!(changes, Changes { paths: [written].into(), everything: false, rescan: false });
}

#[tokio::test]
async fn files_that_come_go_or_change_their_name_ask_for_a_rescan() {
    let dir = TempDir::new().unwrap();
    let (old, new) = (dir.path().join("app.log"), dir.path().join("app.log.1"));
    let mut watcher = watching(&[dir.path()]);
    fs::write(&old, "").unwrap();
    assert!(next(&mut watcher).await.rescan);
    while watcher.changed().now_or_never().is_some() {}
    fs::rename(&old, &new).unwrap();
    wait_for(&mut watcher, |changes| changes.rescan).await;
    fs::remove_file(&new).unwrap();
    wait_for(&mut watcher, |changes| changes.rescan).await;
}

#[tokio::test]
async fn a_folder_that_is_made_anew_is_watched_again_with_the_next_call() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("logs");
    let away = dir.path().join("away");
    for round in 0..20 {
        for parents in [&[dir.path()] as &[_], &[]] {
            fs::create_dir_all(&folder).unwrap();
            let folders = [parents, &[folder.as_path()]].concat();
            let mut watcher = watching(&folders);
            if round % 2 == 0 {
                fs::remove_dir_all(&folder).unwrap();
            } else {
                fs::rename(&folder, &away).unwrap();
            }
            fs::create_dir(&folder).unwrap();
            // Word of the old folder may come late and end the new watch: then one more call helps.
            let log = folder.join("app.log");
            let mut is_seen = false;
            while !is_seen {
                watch(&mut watcher, &folders);
                append(&log);
                is_seen = next(&mut watcher).await.paths.contains(&log);
            }
            if away.exists() {
                fs::remove_dir_all(&away).unwrap();
            }
            fs::remove_dir_all(&folder).unwrap();
        }
    }
}

#[tokio::test]
async fn a_folder_that_another_took_the_place_of_unnoticed_is_watched_with_the_next_call() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("app/logs");
    fs::create_dir_all(&folder).unwrap();
    let mut watcher = watching(&[&folder]);
    fs::rename(dir.path().join("app"), dir.path().join("away")).unwrap();
    fs::create_dir_all(&folder).unwrap();
    watch(&mut watcher, &[&folder]);
    append(&folder.join("app.log"));
    wait_for(&mut watcher, |changes| changes.paths.contains(&folder.join("app.log"))).await;
}

#[tokio::test]
async fn a_folder_that_is_not_named_any_more_is_not_watched() {
    let (left, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut watcher = watching(&[left.path(), kept.path()]);
    watch(&mut watcher, &[kept.path()]);
    append(&left.path().join("a.log"));
    append(&kept.path().join("b.log"));
    let changes = wait_for(&mut watcher, |changes| !changes.paths.is_empty()).await;
    assert_eq!(changes.paths, [kept.path().join("b.log")].into());
}

#[tokio::test]
async fn a_folder_with_two_names_reports_under_the_first() {
    let dir = TempDir::new().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let mut watcher = Watcher::new();
    watch(&mut watcher, &[&link, &real, &dir.path().join("none")]);
    append(&real.join("a.log"));
    let changes = wait_for(&mut watcher, |changes| !changes.paths.is_empty()).await;
    assert_eq!(changes.paths, [link.join("a.log")].into());
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("a.log");
    let mut watcher = watching(&[dir.path()]);
    append(&log);
    wait_for(&mut watcher, |changes| changes.paths.contains(&log)).await;
    let shared = Arc::clone(&watcher.shared);
    let mut wait = Box::pin(watcher.changed());
    assert_eq!(wait.as_mut().now_or_never(), None);
    append(&log);
    while shared.news().changes.paths.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(wait);
    assert!(watcher.changed().now_or_never().unwrap().paths.contains(&log));
}

#[tokio::test]
async fn without_a_watcher_of_the_system_nothing_is_ever_reported() {
    let mut watcher = Watcher::new();
    watcher.system = None;
    watch(&mut watcher, &[&std::env::temp_dir()]);
    assert_eq!(watcher.watched.len(), 0);
    assert_eq!(watcher.changed().now_or_never(), None);
}

fn event(kind: EventKind, path: &str) -> notify::Event {
    notify::Event::new(kind).add_path(path.into())
}

#[test]
fn what_is_kept_of_a_flood_of_events_is_bounded() {
    let mut news = News::default();
    for number in 0..MAX_CHANGED_PATHS {
        let path = format!("/{number}");
        assert!(news.add(event(EventKind::Modify(ModifyKind::Data(DataChange::Any)), &path)));
        assert!(news.add(event(EventKind::Remove(RemoveKind::File), &path)));
    }
    assert!(news.add(event(EventKind::Modify(ModifyKind::Any), "/0")));
    assert!(!news.changes.everything && !news.all_gone);
    news.add(event(EventKind::Modify(ModifyKind::Any), "/more"));
    news.add(event(EventKind::Modify(ModifyKind::Name(RenameMode::From)), "/more"));
    assert!(news.changes.everything && news.all_gone);
    assert_eq!((news.changes.paths.len(), news.gone.len()), (MAX_CHANGED_PATHS, MAX_CHANGED_PATHS));
}

#[test]
fn an_overflow_or_an_error_of_the_system_asks_for_everything() {
    let everything = Changes { everything: true, rescan: true, ..Changes::default() };
    let shared = Shared::default();
    shared.tell(Ok(notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    assert_eq!(mem::take(&mut *shared.news()).changes, everything);
    shared.tell(Err(notify::Error::generic("broken")));
    assert_eq!(mem::take(&mut *shared.news()).changes, everything);
    shared.tell(Ok(event(EventKind::Access(AccessKind::Any), "/a")));
    assert_eq!(mem::take(&mut *shared.news()).changes, Changes::default());
    shared.tell(Ok(event(EventKind::Create(CreateKind::File), "/a")));
    assert!(shared.news().changes.rescan);
}

#[test]
fn limits_of_the_system_are_told_from_other_errors() {
    let of = |code| is_limit(&notify::Error::io(std::io::Error::from_raw_os_error(code)));
    let errno = |errno: rustix::io::Errno| errno.raw_os_error();
    assert!(of(errno(rustix::io::Errno::NOSPC)) && of(errno(rustix::io::Errno::MFILE)));
    assert!(is_limit(&notify::Error::new(ErrorKind::MaxFilesWatch)));
    assert!(!of(errno(rustix::io::Errno::ACCESS)) && !is_limit(&notify::Error::path_not_found()));
}
