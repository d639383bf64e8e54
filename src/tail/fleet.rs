//! All files that are followed now, and the sources that Redis knows besides.

mod bench;
mod compressed;
mod families;
mod inputs;
mod ledgers;
mod member;
mod names;
mod settle;
mod turns;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use self::{
    bench::{Bench, Closed, leave_place},
    inputs::{Change, Inputs},
    ledgers::Ledgers,
    member::{After, Leave, Member, Tasks},
    names::Names,
};
use super::{
    Following, Input, Limits, Options,
    control::Fate,
    course::Ended,
    discover::{FileId, Found, Problem, id_of},
    lane::Lane,
    limits::Limiters,
    packed::Shelf,
    source::Context,
};
use crate::{publish::Publisher, record::Topic};

#[derive(Debug)]
pub(super) struct Fleet {
    options: Options,
    inputs: Inputs,
    /// The inputs are others than those by which the members are followed.
    has_new_inputs: bool,
    context: Context,
    members: HashMap<FileId, Member>,
    bench: Bench,
    /// Files that were left out since the last look, with paths to be searched, and which
    /// ones were looked into.
    left_out: BTreeMap<Topic, LeftOut>,
    tried: HashSet<FileId>,
    /// Sizes of files that were there at the start and wait for their turn since.
    at_start: HashMap<FileId, u64>,
    /// Who is at a path.
    places: HashMap<PathBuf, FileId>,
    /// What the last look has found under several paths.
    names: Names,
    ledgers: Ledgers,
    /// Paths whose files have to be looked at again, as they are not what they were.
    unsettled: BTreeMap<Topic, HashSet<PathBuf>>,
    /// By path.
    lanes: HashMap<PathBuf, Arc<Lane>>,
    tasks: Tasks,
    /// When quiet members are looked for, and when others may be asked to give way again.
    rests_at: Instant,
    turns_at: Instant,
    /// Nobody could give way since then, when all stood at positions of this sum; and how
    /// many more files may be open for that.
    stuck: Option<(Instant, u64)>,
    beyond: usize,
    /// What was said already.
    said: HashSet<String>,
    shelf: Arc<Shelf>,
    /// Compressed files of which is known whether they are said.
    compressed: HashSet<PathBuf>,
    is_first: bool,
    /// Something has to be tried again that no change of a file will ask for.
    is_waiting: bool,
}

/// How much is remembered of what was said.
const MAX_SAID: usize = 10_000;

/// How long a compressed file that ends too early counts as being written.
const UNFINISHED_FOR: Duration = Duration::from_secs(10);

/// A file that nobody follows, and the input that it belongs to.
#[derive(Debug)]
struct Newcomer {
    found: Found,
    input: Arc<Input>,
}

/// What a look has found that is not followed yet, each file with the index of its input.
#[derive(Debug)]
pub(super) struct News {
    files: Vec<(usize, Found)>,
    compressed: Vec<(usize, Found)>,
    /// Paths where nothing is now, or whose file was replaced.
    deserted: BTreeMap<Topic, HashSet<PathBuf>>,
}

/// What has to wait until others give way.
#[derive(Debug, Default)]
struct LeftOut {
    newcomers: Vec<Newcomer>,
    deserted: HashSet<PathBuf>,
}

impl Fleet {
    /// A fleet that follows nothing: it has no inputs yet.
    pub(super) fn new(options: &Options, publisher: Publisher) -> Self {
        Self {
            inputs: Inputs::new(&[]),
            options: options.clone(),
            has_new_inputs: false,
            context: Context {
                publisher: Arc::new(publisher),
                linger: Duration::from_millis(options.linger_ms),
                limiters: Limiters::default(),
            },
            members: HashMap::new(),
            bench: Bench::default(),
            left_out: BTreeMap::new(),
            tried: HashSet::new(),
            at_start: HashMap::new(),
            places: HashMap::new(),
            names: Names::default(),
            ledgers: Ledgers::new(),
            unsettled: BTreeMap::new(),
            lanes: HashMap::new(),
            tasks: Tasks::new(),
            rests_at: Instant::now(),
            turns_at: Instant::now(),
            stuck: None,
            beyond: 0,
            said: HashSet::new(),
            shelf: Arc::new(Shelf::new(UNFINISHED_FOR.min(Duration::from_millis(options.linger_ms)))),
            compressed: HashSet::new(),
            is_first: true,
            is_waiting: false,
        }
    }

    /// Follows these inputs from the next look on, which has to be one for them.
    pub(super) fn replace(&mut self, inputs: &[Input], limits: Limits) {
        self.context.limiters.replace(inputs, limits);
        self.inputs = Inputs::new(inputs);
        self.has_new_inputs = true;
        self.said.clear();
    }

    /// What is followed after so many changes.
    pub(super) fn following(&self, changes: u64) -> Following {
        let open_files = self.members.len();
        Following { changes, files: open_files + self.bench.len(), open_files }
    }

    /// Whether files have to be taken in again soon, also when nothing changes.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Folders of paths whose files have to be looked at again.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = PathBuf> {
        self.unsettled.values().flatten().filter_map(|path| path.parent()).map(Path::to_owned)
    }

    /// Says what could not be looked at: once each.
    pub(super) fn report(&mut self, problems: &[Problem]) {
        for problem in problems {
            self.say_once(&problem.to_string());
        }
    }

    fn say_once(&mut self, problem: &str) {
        if self.is_news(problem) {
            warn!(problem, "cannot follow a file");
        }
    }

    /// Whether something was not said before, or long ago.
    fn is_news(&mut self, text: &str) -> bool {
        if self.said.len() >= MAX_SAID {
            self.said.clear();
        }
        self.said.insert(text.to_owned())
    }

    /// Wakes the source at a path.
    pub(super) fn wake(&mut self, path: &Path) {
        let id = self.places.get(path).copied().or_else(|| self.names.id_of(path));
        let Some(id) = id else { return };
        match self.members.get_mut(&id) {
            Some(member) => member.wake(&self.context, &mut self.tasks),
            None => self.bench.wake(id),
        }
    }

    /// Waits until a source has ended, or it is time for [turns](Self::take_turns); returns
    /// the folder that has to be looked at again.
    pub(super) async fn next_ended(&mut self) -> Option<PathBuf> {
        loop {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok((id, ended)) => return self.has_ended(id, ended),
                    Err(error) => error!(%error, "a source has failed"),
                },
                () = self.context.publisher.challenged() => self.wake_challenged(),
                () = sleep_until(self.rests_at), if !self.tasks.is_empty() => self.rest(),
                () = sleep_until(self.turns_at), if self.is_crowded() => return None,
            }
        }
    }

    /// Wakes those of whom Redis has another record, and who have no task to hear of it.
    fn wake_challenged(&mut self) {
        for member in self.members.values_mut().filter(|member| member.is_challenged()) {
            member.wake(&self.context, &mut self.tasks);
        }
        self.bench.wake_all(|closed| closed.standing.is_challenged());
    }

    /// Ends the tasks of those that have been quiet for long.
    fn rest(&mut self) {
        let quiet = Duration::from_millis(self.options.rest_after_ms);
        self.members.values_mut().for_each(|member| member.rest_after(quiet));
        self.rests_at = Instant::now() + (quiet / 2).max(Duration::from_millis(10));
    }

    fn has_ended(&mut self, id: FileId, ended: Ended) -> Option<PathBuf> {
        let member = self.members.get_mut(&id)?;
        if ended == Ended::Stopped {
            match member.after(&self.context, &mut self.tasks) {
                After::Stays => return None,
                After::Closes => {
                    self.close(id);
                    return None;
                }
                After::Goes => {}
            }
        }
        let Member { live, .. } = self.members.remove(&id)?;
        leave_place(&mut self.places, &live.place, id);
        self.ledgers.remember(&live.standing);
        self.bench.let_go(live.reader);
        match ended {
            Ended::Drained => None,
            // What was let go can be another input's, for another topic.
            Ended::Stopped => live.place.parent().map(Path::to_owned),
            Ended::Replaced => {
                let folder = live.path.parent().map(Path::to_owned);
                let topic = live.standing.topic().clone();
                self.unsettled.entry(topic).or_default().insert(live.path);
                folder
            }
        }
    }

    /// Compares the files that a look has found, each with the index of its input, with what
    /// is followed: that is told where it is now.
    pub(super) fn compare(&mut self, mut files: Vec<(usize, Found)>) -> News {
        self.is_waiting = false;
        // Read where something rotated is looked for, never followed by itself.
        let compressed: Vec<_> = files.extract_if(.., |(_, found)| found.is_compressed()).collect();
        self.name(&mut files);
        if std::mem::take(&mut self.has_new_inputs) {
            self.regroup(&files);
        }
        self.tell_fates(&files);
        let deserted = self.deserted(&files);
        files.retain(|(_, found)| {
            let id = id_of(found);
            !self.members.contains_key(&id) && !self.bench.contains(id)
        });
        News { files, compressed, deserted }
    }

    /// Brings what is followed into line with new inputs.
    fn regroup(&mut self, files: &[(usize, Found)]) {
        let mut found = HashMap::new();
        for (index, file) in files {
            found.entry(id_of(file)).or_insert(*index);
        }
        let (mut reopened, mut let_go) = (0, 0);
        for (id, member) in &mut self.members {
            let (live, input) = (&member.live, &member.input);
            let (topic, fate) = (live.standing.topic(), live.control.fate());
            match self.inputs.change(found.get(id).copied(), &live.path, topic, fate, input) {
                Change::None(input) => member.goes_on(input),
                Change::Leave(leave) => {
                    *if matches!(leave, Leave::LetGo) { &mut let_go } else { &mut reopened } += 1;
                    member.leave(leave, &self.context, &mut self.tasks);
                }
            }
        }
        let inputs = &self.inputs;
        let gone = self.bench.extract(|closed| {
            let id = id_of(&closed.found);
            let fate = fate_of(&closed.found, &closed.path);
            let topic = closed.standing.topic();
            match inputs.change(found.get(&id).copied(), &closed.path, topic, fate, &closed.input) {
                Change::None(input) | Change::Leave(Leave::Reopen(input)) => closed.input = input,
                Change::Leave(_) => return true,
            }
            false
        });
        let_go += gone.len();
        for closed in &gone {
            leave_place(&mut self.places, &closed.found.path, id_of(&closed.found));
            self.ledgers.remember(&closed.standing);
        }
        let inputs = &self.inputs;
        self.unsettled.retain(|topic, paths| {
            paths.retain(|path| inputs.cover(path, topic));
            !paths.is_empty()
        });
        let followed = (self.members.len() + self.bench.len()).saturating_sub(let_go);
        if !self.is_first {
            info!(followed, reopened, let_go, "the inputs have changed");
        }
    }

    /// Tells what is followed where it is now.
    fn tell_fates(&mut self, files: &[(usize, Found)]) {
        let found: HashMap<FileId, &Found> = files.iter().map(|(_, found)| (id_of(found), found)).collect();
        for (id, member) in &mut self.members {
            let Some(found) = found.get(id) else {
                member.is_away(None);
                member.live.control.meets(Fate::Away);
                member.wake(&self.context, &mut self.tasks);
                // What is still written to it is reported by nobody.
                self.is_waiting = true;
                continue;
            };
            member.is_there();
            let live = &mut member.live;
            if live.place != found.path {
                leave_place(&mut self.places, &live.place, *id);
                live.place.clone_from(&found.path);
                self.places.insert(found.path.clone(), *id);
            }
            let fate = fate_of(found, &live.path);
            // One that is written anew can have its old size again.
            // A look at other folders than its own has its size of before: it may have grown since.
            let was_modified = std::mem::replace(&mut live.modified, found.modified) != found.modified;
            let has_news = live.control.meets(fate) || was_modified;
            if has_news || found.len > live.control.read().position {
                member.wake(&self.context, &mut self.tasks);
            }
        }
        self.bench.look(&found, &mut self.places, &mut self.lanes);
        self.lanes.retain(|_, lane| !lane.is_empty());
    }

    /// Paths where nothing is now, or whose file was replaced: what was there between two
    /// looks may be beside them.
    fn deserted(&self, files: &[(usize, Found)]) -> BTreeMap<Topic, HashSet<PathBuf>> {
        let there: HashSet<&Path> = files.iter().map(|(_, found)| found.path.as_path()).collect();
        let is_there = |path: &Path| there.contains(path) || self.names.id_of(path).is_some();
        let mut deserted = self.unsettled.clone();
        let members = self.members.values().filter(|member| !member.is_let_go()).map(|member| &member.live);
        for live in members.filter(|live| !is_there(&live.path)) {
            deserted.entry(live.standing.topic().clone()).or_default().insert(live.path.clone());
        }
        let is_deserted = |closed: &&Closed| closed.away_since.is_some() || !is_there(&closed.path);
        for closed in self.bench.values().filter(is_deserted) {
            deserted.entry(closed.standing.topic().clone()).or_default().insert(closed.path.clone());
        }
        deserted
    }

    /// Lets every source append what it has read; false when that took too long.
    pub(super) async fn stop(mut self, limit: Duration) -> bool {
        for member in self.members.values() {
            member.live.control.leave();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        timeout(limit, all).await.is_ok()
    }
}

impl Drop for Fleet {
    /// Sources are dropped one after the other: none takes the turn of one that is gone.
    fn drop(&mut self) {
        for member in self.members.values() {
            member.live.control.leave();
        }
    }
}

/// Where a file is that was found; `path` is the one whose past it is part of.
fn fate_of(found: &Found, path: &Path) -> Fate {
    if found.path == path { Fate::InPlace } else { Fate::Moved }
}
