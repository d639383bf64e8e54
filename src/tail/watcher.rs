//! Wakes the tailer when something changes in the folders that it watches.
//!
//! This makes things faster, no more: the tailer also looks by itself now and then,
//! and does without where the system has no watches (left) to give.

use std::{
    collections::{HashMap, HashSet},
    fs, mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind};
use tokio::sync::Notify;

#[cfg(test)]
mod tests;

/// How many paths are told apart between two calls of [`Watcher::changed`].
pub const MAX_CHANGED_PATHS: usize = 1024;

/// What has changed in the watched folders since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files that were written to, or whose permissions have changed.
    pub paths: HashSet<PathBuf>,
    /// More files than `paths` names may have changed: look at all.
    pub everything: bool,
    /// Files or folders were created, removed or renamed: scan again.
    pub rescan: bool,
}

/// Watches folders, each without those below it.
#[derive(Debug)]
pub struct Watcher {
    system: Option<RecommendedWatcher>,
    /// With device and inode, as another folder may come to bear the same name.
    watched: HashMap<PathBuf, (u64, u64)>,
    shared: Arc<Shared>,
    has_warned: bool,
}

/// What the system's thread and the tailer share. The thread only ever adds to it.
#[derive(Debug, Default)]
struct Shared {
    news: Mutex<News>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct News {
    changes: Changes,
    /// Names that were removed or renamed: watches on them, and below, are dead.
    gone: HashSet<PathBuf>,
    all_gone: bool,
}

impl Watcher {
    /// A watcher that watches nothing yet. Where the system gives none, that is logged
    /// once and [`changed`](Self::changed) never returns.
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let system = notify::recommended_watcher(move |event| told.tell(event));
        if let Err(error) = &system {
            tracing::warn!(%error, "no file watcher to be had from the system: files are polled instead");
        }
        let has_warned = system.is_err();
        Self { system: system.ok(), watched: HashMap::new(), shared, has_warned }
    }

    /// Watches these folders and no others. This blocks for a few system calls.
    ///
    /// Folders that are not there are passed over, as is a second name of a folder.
    /// What changed before this returns may have gone unnoticed: look once more after
    /// a folder was added. To be called after every rescan, as a folder that was
    /// removed or renamed, and made anew, needs a new watch.
    pub fn watch(&mut self, folders: &[PathBuf]) {
        let Some(system) = &mut self.system else { return };
        let wanted = by_first_name(folders);
        self.shared.forget_gone(&mut self.watched, system);
        self.watched.retain(|folder, id| {
            let stays = wanted.get(id) == Some(&folder);
            if !stays {
                unwatch(system, folder);
            }
            stays
        });
        for (id, folder) in wanted {
            if self.watched.contains_key(folder) {
                continue;
            }
            match system.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder.clone(), id);
                }
                Err(error) if is_limit(&error) => {
                    // Every further folder would fail alike; those that are watched stay so.
                    if !mem::replace(&mut self.has_warned, true) {
                        let watched = self.watched.len();
                        tracing::warn!(%error, watched, "too many folders to watch: the rest is polled");
                    }
                    return;
                }
                Err(error) => tracing::debug!(%error, "folder is not watched"),
            }
        }
    }

    /// Waits until something has changed, and returns all that has since the last call.
    /// Nothing is lost when the future is dropped.
    pub async fn changed(&mut self) -> Changes {
        loop {
            let changes = mem::take(&mut self.shared.news().changes);
            if changes != Changes::default() {
                return changes;
            }
            self.shared.wake.notified().await;
        }
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs on the system's thread: must neither wait nor keep more than its bounds.
    fn tell(&self, event: notify::Result<notify::Event>) {
        let is_news = match event {
            Ok(event) => self.news().add(event),
            Err(error) => {
                tracing::debug!(%error, "file watcher has failed: everything is looked at");
                self.news().add_everything()
            }
        };
        if is_news {
            self.wake.notify_one();
        }
    }

    /// Ends the watches that died with their folders' names.
    fn forget_gone(&self, watched: &mut HashMap<PathBuf, (u64, u64)>, system: &mut RecommendedWatcher) {
        let (gone, all_gone) = {
            let mut news = self.news();
            (mem::take(&mut news.gone), mem::take(&mut news.all_gone))
        };
        watched.retain(|folder, _| {
            let is_gone = all_gone || folder.ancestors().any(|above| gone.contains(above));
            if is_gone {
                unwatch(system, folder);
            }
            !is_gone
        });
    }
}

impl News {
    /// Whether there was anything in the event that matters.
    fn add(&mut self, event: notify::Event) -> bool {
        if event.need_rescan() {
            return self.add_everything();
        }
        match event.kind {
            // Reading makes these too: to answer them would be to wake oneself for ever.
            EventKind::Access(_) => return false,
            EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
                self.changes.rescan = true;
                for path in event.paths {
                    self.all_gone |= !add_within_bound(&mut self.gone, path);
                }
            }
            EventKind::Create(_) => self.changes.rescan = true,
            EventKind::Modify(_) => {
                for path in event.paths {
                    self.changes.everything |= !add_within_bound(&mut self.changes.paths, path);
                }
            }
            EventKind::Any | EventKind::Other => return self.add_everything(),
        }
        true
    }

    fn add_everything(&mut self) -> bool {
        self.changes.everything = true;
        self.changes.rescan = true;
        self.all_gone = true;
        true
    }
}

/// Whether the path is in the set now.
fn add_within_bound(paths: &mut HashSet<PathBuf>, path: PathBuf) -> bool {
    if paths.len() < MAX_CHANGED_PATHS {
        paths.insert(path);
        return true;
    }
    paths.contains(&path)
}

/// The folders that are there, each under the first of its names: the system has one
/// watch for a folder, and would report changes under the last.
fn by_first_name(folders: &[PathBuf]) -> HashMap<(u64, u64), &PathBuf> {
    let mut by_id = HashMap::new();
    for folder in folders {
        if let Ok(metadata) = fs::metadata(folder) {
            by_id.entry((metadata.dev(), metadata.ino())).or_insert(folder);
        }
    }
    by_id
}

fn unwatch(system: &mut RecommendedWatcher, folder: &Path) {
    // Fails when the watch has ended by itself, which is as good.
    drop(system.unwatch(folder));
}

fn is_limit(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::MaxFilesWatch => true,
        ErrorKind::Io(error) => matches!(
            rustix::io::Errno::from_io_error(error),
            Some(rustix::io::Errno::NOSPC | rustix::io::Errno::MFILE | rustix::io::Errno::NOMEM)
        ),
        _ => false,
    }
}
