//! Says what changes in the folders that it watches.
//!
//! This makes things faster, no more: what the system cannot watch is looked at again and
//! again, and everything now and then.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::task::coop;
use tracing::{debug, info, warn};

use self::queue::{Queue, remote};

#[cfg(target_os = "linux")]
mod queue;
#[cfg(not(target_os = "linux"))]
#[path = "watcher/no_queue.rs"]
mod queue;
#[cfg(target_os = "linux")]
mod remote;
#[cfg(test)]
mod tests;

/// What has changed in the watched folders since the last time. The system's queue bounds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files that were written to.
    pub written: HashSet<PathBuf>,
    /// Files, links and the like that came, went, or got other permissions.
    pub entries: HashSet<PathBuf>,
    /// Folders in watched ones that did.
    pub below: HashSet<PathBuf>,
    /// Watched folders that did themselves, or whose watch has ended.
    pub folders: HashSet<PathBuf>,
    /// More has changed than could be told.
    pub everything: bool,
}

/// Watches folders, each without those below it.
#[derive(Debug)]
pub struct Watcher {
    queue: Option<Queue>,
    names: Mutex<Names>,
}

/// The watches, and the names of the folders that they are on: one folder can have several.
#[derive(Debug, Default)]
struct Names {
    by_watch: HashMap<i32, Vec<PathBuf>>,
    by_folder: HashMap<PathBuf, i32>,
    is_broken: bool,
    has_warned: bool,
    said_remote: HashSet<&'static str>,
}

/// What is to be reported of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What comes, goes, or is changed.
    All,
    /// What comes and goes.
    Names,
}

/// Something that happened in a watched folder.
#[derive(Debug, Clone, Copy)]
struct Event<'a> {
    /// Which watch it is of.
    watch: i32,
    /// What it happened to; none: the folder itself.
    name: Option<&'a OsStr>,
    /// What happened.
    what: What,
}

/// What can happen.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "without a queue nothing is reported"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A file has other content.
    Written,
    /// A file came, went, or has other permissions; or the watched folder itself.
    Entry,
    /// The same with a folder in the watched one.
    Folder,
    /// The folder is gone, and its watch too.
    Ended,
    /// Events were dropped.
    Everything,
}

impl Watcher {
    /// A watcher that watches nothing yet. Where the system gives none, that is said once;
    /// then, as where none is `wanted`, it never watches anything. To be called within a
    /// runtime.
    pub fn new(wanted: bool) -> Self {
        let queue = wanted.then(Queue::open).and_then(|queue| {
            let unavailable = |error: io::Error| {
                if let Some(limit) = limit_of(&error) {
                    say_limit(limit);
                } else {
                    warn!(%error, "no file watches to be had from the system: files are polled");
                }
            };
            queue.map_err(unavailable).ok()
        });
        Self { queue, names: Mutex::default() }
    }

    /// Watches a folder; false where changes in it will not be reported. What changed before
    /// this returns may go unnoticed: the folder has to be looked at after it. To be called
    /// again with every look, as the folder may be another by now. This blocks for a few
    /// system calls.
    pub fn watch(&self, folder: &Path) -> bool {
        self.add(folder, Extent::All)
    }

    /// The same, but that it need not be reported what is written there.
    pub fn watch_names(&self, folder: &Path) -> bool {
        self.add(folder, Extent::Names)
    }

    fn add(&self, folder: &Path, extent: Extent) -> bool {
        let Some(queue) = &self.queue else { return false };
        let remote = remote(folder);
        let mut names = self.names();
        if let Some(file_system) = remote {
            if names.said_remote.insert(file_system) {
                info!(?folder, file_system, "others can write there unnoticed: it is polled");
            }
            names.forget(folder, queue);
            return false;
        }
        match queue.add(folder, extent) {
            Ok(watch) => {
                names.remember(folder, watch, queue);
                return !names.is_broken;
            }
            Err(error) => match limit_of(&error) {
                Some(limit) if !names.has_warned => {
                    names.has_warned = true;
                    say_limit(limit);
                }
                _ => debug!(?folder, %error, "folder is not watched"),
            },
        }
        names.forget(folder, queue);
        false
    }

    /// Ends the watches of all folders but these.
    pub fn retain(&self, is_needed: impl Fn(&Path) -> bool) {
        let Some(queue) = &self.queue else { return };
        let mut names = self.names();
        let left: Vec<_> = names.by_folder.keys().filter(|folder| !is_needed(folder)).cloned().collect();
        for folder in left {
            names.forget(&folder, queue);
        }
    }

    /// Waits until something has changed, and returns what has since the last call. Nothing
    /// is lost when the future is dropped.
    pub async fn changed(&self) -> Changes {
        let Some(queue) = &self.queue else { return std::future::pending().await };
        loop {
            // A flood must not keep others from running.
            coop::consume_budget().await;
            let mut changes = Changes::default();
            let read = queue.read(|event| self.names().add(&mut changes, event)).await;
            if let Err(error) = read {
                if std::mem::replace(&mut self.names().is_broken, true) {
                    return std::future::pending().await;
                }
                warn!(%error, "changes of files are not reported any more: they are polled");
                changes.everything = true;
            }
            if changes != Changes::default() {
                return changes;
            }
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn remember(&mut self, folder: &Path, watch: i32, queue: &Queue) {
        if self.by_folder.get(folder) == Some(&watch) {
            return;
        }
        self.forget(folder, queue);
        self.by_folder.insert(folder.to_owned(), watch);
        self.by_watch.entry(watch).or_default().push(folder.to_owned());
    }

    fn forget(&mut self, folder: &Path, queue: &Queue) {
        let Some(watch) = self.by_folder.remove(folder) else { return };
        let Some(names) = self.by_watch.get_mut(&watch) else { return };
        names.retain(|name| name != folder);
        if names.is_empty() {
            self.by_watch.remove(&watch);
            queue.remove(watch);
        }
    }

    fn add(&mut self, changes: &mut Changes, event: Event<'_>) {
        if event.what == What::Everything {
            changes.everything = true;
            return;
        }
        for folder in self.by_watch.get(&event.watch).into_iter().flatten() {
            let path = event.name.map(|name| folder.join(name));
            match (event.what, path) {
                (What::Written, Some(path)) => drop(changes.written.insert(path)),
                (What::Entry, Some(path)) => drop(changes.entries.insert(path)),
                (_, Some(path)) => drop(changes.below.insert(path)),
                (_, None) => drop(changes.folders.insert(folder.clone())),
            }
        }
        if event.what == What::Ended {
            for folder in self.by_watch.remove(&event.watch).into_iter().flatten() {
                self.by_folder.remove(&folder);
            }
        }
    }
}

/// The setting of the system that an error says is too low.
fn limit_of(error: &io::Error) -> Option<&'static str> {
    match rustix::io::Errno::from_io_error(error)? {
        rustix::io::Errno::NOSPC => Some("max_user_watches"),
        rustix::io::Errno::MFILE => Some("max_user_instances"),
        _ => None,
    }
}

fn say_limit(limit: &'static str) {
    let value = fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(limit));
    let value = value.map_or_else(|error| error.to_string(), |value| value.trim().to_owned());
    let sysctl = format!("fs.inotify.{limit}");
    warn!(sysctl, value, "the system watches no more folders: the others are polled; raise the sysctl");
}
