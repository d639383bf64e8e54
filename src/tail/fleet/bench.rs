//! Files that are closed for now, as not all can be open at once.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::fate_of;
use crate::{
    publish::Standing,
    record::SourceKey,
    tail::{
        Input,
        control::{Control, Fate},
        discover::{FileId, Found, id_of},
        lane::{Lane, Order, Turn},
        reader::{LetGo, Reader},
    },
};

/// A file that nobody has open: what it has to be, and from where it goes on, is in its
/// standing.
#[derive(Debug)]
pub(super) struct Closed {
    /// The path whose past it is part of.
    pub(super) path: PathBuf,
    /// As it was found last.
    pub(super) found: Found,
    /// How much of it was read.
    pub(super) read: u64,
    pub(super) standing: Arc<Standing>,
    pub(super) input: Arc<Input>,
    /// There is something to do with it.
    pub(super) waits: bool,
    /// Since when no look has found it.
    pub(super) away_since: Option<Instant>,
    /// Its place before those that came after it; none while it is the newest of its path.
    pub(super) turn: Option<Arc<Turn>>,
}

impl Closed {
    /// Whether it is away with nothing to do, and is still worth a look.
    pub(super) fn is_at_rest(&self, linger: Duration) -> bool {
        let is_fresh = self.away_since.is_some_and(|since| since.elapsed() < linger);
        is_fresh && !self.waits && !self.standing.is_challenged()
    }

    /// Whether it may be opened, as those before it are drained.
    pub(super) fn comes(&self, lanes: &HashMap<PathBuf, Arc<Lane>>) -> bool {
        match &self.turn {
            Some(turn) => !matches!(turn.order(), Order::Waits),
            None => {
                lanes.get(&self.path).is_none_or(|lane| lane.is_free_for(fate_of(&self.found, &self.path)))
            }
        }
    }

    /// Takes its place before those that will come after it, where it is not at its path any more.
    fn moves(&mut self, lanes: &mut HashMap<PathBuf, Arc<Lane>>) {
        if self.turn.is_none() && (self.away_since.is_some() || self.found.path != self.path) {
            let control = Arc::new(Control::new(Fate::Moved));
            let turn = lanes.entry(self.path.clone()).or_default().join(&control, &self.standing);
            turn.is_drained(!self.waits);
            self.turn = Some(Arc::new(turn));
        }
    }
}

/// All of them; those that wait for their turn, in their order.
#[derive(Debug, Default)]
pub(super) struct Bench {
    files: HashMap<FileId, Closed>,
    by_key: HashMap<SourceKey, FileId>,
    queue: VecDeque<FileId>,
    let_go: Vec<LetGo>,
}

impl Bench {
    /// Counts a file as open for as long as it is, though nobody follows it.
    pub(super) fn let_go(&mut self, reader: Reader) {
        self.let_go.retain(LetGo::is_open);
        self.let_go.push(reader.let_go());
    }

    /// How many files are open that nobody follows any more.
    pub(super) fn still_open(&self) -> usize {
        self.let_go.iter().filter(|it| it.is_open()).count()
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn contains(&self, id: FileId) -> bool {
        self.files.contains_key(&id)
    }

    pub(super) fn add(&mut self, closed: Closed) {
        let id = id_of(&closed.found);
        if closed.waits {
            self.queue.push_back(id);
        }
        self.by_key.insert(closed.standing.key().clone(), id);
        self.files.insert(id, closed);
    }

    pub(super) fn remove(&mut self, id: FileId) -> Option<Closed> {
        let closed = self.files.remove(&id)?;
        self.by_key.remove(closed.standing.key());
        Some(closed)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Closed> {
        self.files.values()
    }

    pub(super) fn get(&self, id: FileId) -> Option<&Closed> {
        self.files.get(&id)
    }

    pub(super) fn of_key(&self, key: &SourceKey) -> Option<FileId> {
        self.by_key.get(key).copied()
    }

    /// Lets a file have a turn.
    pub(super) fn wake(&mut self, id: FileId) {
        if let Some(closed) = self.files.get_mut(&id)
            && !std::mem::replace(&mut closed.waits, true)
        {
            self.queue.push_back(id);
        }
    }

    /// Lets those have a turn that `wants` names.
    pub(super) fn wake_all(&mut self, wants: impl Fn(&Closed) -> bool) {
        for (id, closed) in &mut self.files {
            if !closed.waits && wants(closed) {
                closed.waits = true;
                self.queue.push_back(*id);
            }
        }
    }

    /// Tells each what a look has found of it; what has changed gets a turn.
    /// `places` is who is at a path.
    pub(super) fn look(
        &mut self,
        found: &HashMap<FileId, &Found>,
        places: &mut HashMap<PathBuf, FileId>,
        lanes: &mut HashMap<PathBuf, Arc<Lane>>,
    ) {
        for (id, closed) in &mut self.files {
            let Some(&now) = found.get(id) else {
                closed.away_since.get_or_insert_with(Instant::now);
                closed.moves(lanes);
                continue;
            };
            closed.away_since = None;
            let is_new = now.modified != closed.found.modified || now.len > closed.read;
            if now.path != closed.found.path {
                leave_place(places, &closed.found.path, *id);
                places.insert(now.path.clone(), *id);
            }
            closed.found.clone_from(now);
            if is_new && !std::mem::replace(&mut closed.waits, true) {
                self.queue.push_back(*id);
            }
            closed.moves(lanes);
        }
    }

    /// Whether the last look has not found all of them.
    pub(super) fn misses_some(&self) -> bool {
        self.files.values().any(|closed| closed.away_since.is_some())
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The next ones, at most `most`, for whom it is time; they stay until they are removed.
    pub(super) fn next(&mut self, most: usize, is_time: impl Fn(&Closed) -> bool) -> Vec<Found> {
        let mut next = Vec::new();
        for _ in 0..self.queue.len() {
            if next.len() == most {
                break;
            }
            let Some(id) = self.queue.pop_front() else { break };
            match self.files.get(&id) {
                Some(closed) if !closed.waits => {}
                Some(closed) if is_time(closed) => next.push(closed.found.clone()),
                Some(_) => self.queue.push_back(id),
                None => {}
            }
        }
        next
    }

    /// Takes out those that `leaves` names.
    pub(super) fn extract(&mut self, mut leaves: impl FnMut(&mut Closed) -> bool) -> Vec<Closed> {
        let gone = self.files.extract_if(|_, closed| leaves(closed));
        let gone: Vec<_> = gone.map(|(_, closed)| closed).collect();
        for closed in &gone {
            self.by_key.remove(closed.standing.key());
        }
        gone
    }
}

/// A file is not at a path any more.
pub(super) fn leave_place(places: &mut HashMap<PathBuf, FileId>, path: &Path, id: FileId) {
    if places.get(path) == Some(&id) {
        places.remove(path);
    }
}
