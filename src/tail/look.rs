//! When files are looked at: what has changed at once, what is not watched every poll
//! interval, and everything now and then, so that looking takes a small share of the time.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, warn};

use super::{
    Following, Handle, Metrics, Wanted,
    discover::{Found, Looked, Patterns, Tree},
    fleet::Fleet,
    reader::off_the_runtime,
    watcher::{Changes, Watcher},
};

mod far;
mod mounts;
mod schedule;
#[cfg(test)]
mod tests;

use self::{
    far::Far,
    mounts::Mounts,
    schedule::{Schedule, Scope},
};

/// How many folders are told apart that have changed; when there are more, all are looked at.
const MAX_CHANGED_FOLDERS: usize = 1024;

/// How long new inputs wait for folders that can hang.
const FIRST_FAR_LOOK: Duration = Duration::from_secs(5);

/// Looks for files, and tells the fleet.
#[derive(Debug)]
pub(super) struct Look {
    /// What a look needs; it goes to where blocking is allowed, and comes back.
    eyes: Option<Eyes>,
    far: Far,
    /// Which of the folders where patterns begin are far.
    are_far: Vec<bool>,
    /// What the far folders have had that is not told yet.
    far_changed: Vec<PathBuf>,
    watcher: Arc<Watcher>,
    schedule: Schedule,
    changed: Changed,
    /// Where files really are that were found through a link: real path → path.
    links: HashMap<PathBuf, PathBuf>,
    /// What is looked for now.
    inputs: Vec<Patterns>,
    wanted: watch::Receiver<Wanted>,
    following: watch::Sender<Following>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Eyes {
    tree: Tree,
    watcher: Arc<Watcher>,
}

/// What a look has found.
#[derive(Debug)]
struct Sight {
    looked: Looked,
    files: Vec<(usize, Found)>,
    links: HashMap<PathBuf, PathBuf>,
    unwatched: Vec<PathBuf>,
    took: Duration,
}

/// What changed since the last look.
#[derive(Debug, Default)]
struct Changed {
    folders: HashSet<PathBuf>,
    everything: bool,
}

impl Changed {
    /// What has come or gone and cannot matter is left out.
    fn note(&mut self, changes: Changes, inputs: &[Patterns], links: &HashMap<PathBuf, PathBuf>) {
        let concerns =
            |path: &PathBuf| links.contains_key(path) || inputs.iter().any(|patterns| patterns.concern(path));
        let entries = changes.entries.iter().filter(|path| concerns(path));
        self.add(entries.filter_map(|path| path.parent()).map(Path::to_owned));
        let below = changes.below.into_iter();
        let below = below.filter(|path| inputs.iter().any(|patterns| patterns.concern_folder(path)));
        self.add(below.flat_map(|path| path.parent().map(Path::to_owned).into_iter().chain([path.clone()])));
        self.add(changes.folders);
        self.everything |= changes.everything;
    }

    fn add(&mut self, folders: impl IntoIterator<Item = PathBuf>) {
        self.folders.extend(folders);
        if self.folders.len() > MAX_CHANGED_FOLDERS {
            self.everything = true;
        }
    }

    fn scope(&self) -> Option<Scope> {
        match (self.everything, self.folders.is_empty()) {
            (true, _) => Some(Scope::Everything),
            (false, false) => Some(Scope::Changed),
            (false, true) => None,
        }
    }
}

impl Look {
    /// Nothing is looked at yet. Without `watch` everything is polled.
    pub(super) fn new(handle: &Handle, poll_interval: Duration, watch: bool, metrics: Metrics) -> Self {
        let watcher = Arc::new(Watcher::new(watch));
        let mut wanted = handle.wanted.subscribe();
        wanted.mark_changed();
        Self {
            eyes: Some(Eyes { tree: Tree::new([]), watcher: Arc::clone(&watcher) }),
            far: Far::new(poll_interval, |_| false),
            are_far: Vec::new(),
            far_changed: Vec::new(),
            watcher,
            schedule: Schedule::new(poll_interval),
            changed: Changed::default(),
            links: HashMap::new(),
            inputs: Vec::new(),
            wanted,
            following: handle.following.clone(),
            metrics,
        }
    }

    /// Keeps the fleet up to date until it is dropped.
    pub(super) async fn follow(&mut self, fleet: &mut Fleet) {
        let mut scope = Scope::Everything;
        let (mut unwatched, mut changes, mut is_first) = (Vec::new(), 0, true);
        loop {
            if self.wanted.has_changed().unwrap_or(false) {
                (scope, changes) = (Scope::Everything, self.replace(fleet));
                self.split(&Mounts::now());
                if std::mem::take(&mut is_first) {
                    self.first_far_look(fleet).await;
                }
            } else if scope == Scope::Everything {
                let mounts = Mounts::now();
                if self.are_far != self.far_bases(&mounts) {
                    self.split(&mounts);
                }
            }
            let folders = match scope {
                Scope::Everything => None,
                Scope::Changed => Some(std::mem::take(&mut self.changed.folders)),
                Scope::Unwatched => Some(unwatched.drain(..).collect()),
                Scope::Unsettled => Some(fleet.unsettled().collect()),
            };
            if folders.is_none() {
                self.changed = Changed::default();
            }
            let Some(sight) = self.look(folders, fleet).await else { return };
            fleet.report(&sight.looked.problems);
            let begin = Instant::now();
            let news = fleet.compare(self.with_far(sight.files));
            // What it takes to follow what is new says nothing of what the next look will take.
            let cost = sight.took + begin.elapsed();
            fleet.take_in(news).await;
            debug!(?scope, ?cost, folders = sight.looked.folders, "looked");
            let grown = sight.looked.changed.into_iter().chain(self.far_changed.drain(..));
            grown.for_each(|path| fleet.wake(&path));
            self.following.send_replace(fleet.following(changes));
            (self.links, unwatched) = (sight.links, sight.unwatched);
            self.schedule.looked(scope, Instant::now().into_std(), cost);
            scope = self.wait(fleet, !unwatched.is_empty()).await;
        }
    }

    /// Waits for the next look; wakes the sources of files that grow meanwhile.
    async fn wait(&mut self, fleet: &mut Fleet, is_polled: bool) -> Scope {
        loop {
            let (scope, at) = self.schedule.next(self.changed.scope(), is_polled, fleet.is_waiting());
            tokio::select! {
                changes = self.watcher.changed() => {
                    self.heed(changes, fleet);
                    fleet.take_turns().await;
                }
                ended = fleet.next_ended() => {
                    self.changed.add(ended);
                    fleet.take_turns().await;
                }
                looked = self.far.looked() => {
                    self.take_far(looked, fleet);
                    return Scope::Changed;
                }
                () = has_changed(&self.wanted) => return Scope::Everything,
                () = sleep_until(at.into()) => return scope,
            }
        }
    }

    /// Looks for what is wanted now from the next look on; returns which change that is.
    fn replace(&mut self, fleet: &mut Fleet) -> u64 {
        let wanted = self.wanted.borrow_and_update();
        fleet.replace(&wanted.inputs, wanted.limits);
        self.inputs = wanted.inputs.iter().map(|input| input.patterns.clone()).collect();
        wanted.changes
    }

    fn far_bases(&self, mounts: &Mounts) -> Vec<bool> {
        self.inputs.iter().flat_map(Patterns::bases).map(|base| mounts.is_far(base)).collect()
    }

    /// Looks at what is far elsewhere from now on.
    fn split(&mut self, mounts: &Mounts) {
        self.are_far = self.far_bases(mounts);
        let is_far = |path: &Path| mounts.is_far(path);
        let (near, far) = Tree::new(&self.inputs).split(is_far);
        self.far.replace(far, &self.inputs, is_far);
        if let Some(eyes) = &mut self.eyes {
            eyes.tree = near;
        }
    }

    /// Lets what is far be found together with what is near, if it answers soon.
    async fn first_far_look(&mut self, fleet: &mut Fleet) {
        if self.far.is_wanted()
            && let Ok(looked) = timeout(FIRST_FAR_LOOK, self.far.looked()).await
        {
            self.take_far(looked, fleet);
        }
    }

    fn take_far(&mut self, looked: Looked, fleet: &mut Fleet) {
        fleet.report(&looked.problems);
        self.metrics.looks.inc();
        self.metrics.listed_folders.inc_by(looked.folders);
        self.metrics.examined_files.inc_by(looked.files);
        self.far_changed.extend(looked.changed);
    }

    /// All files that are known.
    fn with_far(&self, mut files: Vec<(usize, Found)>) -> Vec<(usize, Found)> {
        if !self.far.files().is_empty() {
            files.extend_from_slice(self.far.files());
            files.sort_by_key(|(input, _)| *input);
        }
        files
    }

    /// Looks at some folders, or everything; none when that has failed for ever.
    async fn look(&mut self, folders: Option<HashSet<PathBuf>>, fleet: &mut Fleet) -> Option<Sight> {
        let mut eyes = self.eyes.take()?;
        self.metrics.looks.inc();
        let looking = off_the_runtime(move || {
            let sight = eyes.look(folders.as_ref());
            Ok((eyes, sight))
        });
        let mut looking = pin!(looking);
        loop {
            let looked = tokio::select! {
                looked = &mut looking => looked,
                changes = self.watcher.changed() => {
                    self.heed(changes, fleet);
                    continue;
                }
            };
            return match looked {
                Ok((eyes, sight)) => {
                    self.eyes = Some(eyes);
                    self.metrics.listed_folders.inc_by(sight.looked.folders);
                    self.metrics.examined_files.inc_by(sight.looked.files);
                    Some(sight)
                }
                Err(error) => {
                    warn!(%error, "cannot look for files");
                    None
                }
            };
        }
    }

    /// Wakes the sources of files that have grown; what has come or gone is for the next look.
    fn heed(&mut self, changes: Changes, fleet: &mut Fleet) {
        for path in &changes.written {
            fleet.wake(self.links.get(path).unwrap_or(path));
        }
        self.changed.note(changes, &self.inputs, &self.links);
    }
}

impl Eyes {
    fn look(&mut self, folders: Option<&HashSet<PathBuf>>) -> Sight {
        let begin = Instant::now();
        let watcher = &self.watcher;
        for folder in self.tree.above() {
            watcher.watch_names(folder);
        }
        let watch = |folder: &Path| watcher.watch(folder);
        let looked = match folders {
            None => self.tree.look(&watch),
            Some(folders) => self.tree.look_at(folders, &watch),
        };
        if folders.is_none() {
            self.watcher.retain(|folder| self.tree.needs(folder));
        }
        let (files, links) = (self.tree.names(), self.tree.links());
        Sight { looked, files, links, unwatched: self.tree.unwatched(), took: begin.elapsed() }
    }
}

/// Waits for a value that was not seen, and leaves it so.
async fn has_changed<T>(wanted: &watch::Receiver<T>) {
    if wanted.clone().changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
