//! All files that are followed now, and the sources that Redis knows besides.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    Input, Options, StartAt,
    control::Fate,
    course::Ended,
    discover::{Found, Problem, bases},
    lane::Lane,
    launch::{Live, Started},
    limits::Limiter,
    lineage::{FileId, Followed, Known, displayed, id_of, plan},
    packed::Shelf,
    reader::off_the_runtime,
    source::Context,
};
use crate::{
    publish::Publisher,
    record::{Details, Record, SourceKey, SourceState, Token, Topic},
};

/// The sources of a topic that nobody follows.
type Ledger = BTreeMap<SourceKey, Record>;

#[derive(Debug)]
pub(super) struct Fleet {
    options: Options,
    context: Context,
    /// The same for the sources of each input.
    contexts: Vec<Context>,
    live: HashMap<FileId, Live>,
    ledgers: BTreeMap<Topic, Ledger>,
    /// Paths whose files have to be looked at again, as they are not what they were.
    unsettled: BTreeMap<Topic, BTreeSet<PathBuf>>,
    /// By path.
    lanes: HashMap<PathBuf, Arc<Lane>>,
    tasks: JoinSet<(FileId, Ended)>,
    /// What was said already.
    said: HashSet<String>,
    shelf: Arc<Shelf>,
    /// Compressed files of which is known whether they are said.
    compressed: HashSet<PathBuf>,
    is_first: bool,
}

/// How long a compressed file that ends too early counts as being written.
const UNFINISHED_FOR: Duration = Duration::from_secs(10);

/// How many sources are made ready at a time.
const STARTS_AT_ONCE: usize = 16;

impl Fleet {
    pub(super) fn new(options: &Options, publisher: Publisher) -> Self {
        let context = Context {
            publisher,
            linger: Duration::from_millis(options.linger_ms),
            limiter: Limiter::new(options.limits),
            stop: CancellationToken::new(),
        };
        let of_input =
            |input: &Input| Context { limiter: context.limiter.of_input(input.limits), ..context.clone() };
        let contexts = options.inputs.iter().map(of_input).collect();
        Self {
            options: options.clone(),
            contexts,
            context,
            live: HashMap::new(),
            ledgers: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            lanes: HashMap::new(),
            tasks: JoinSet::new(),
            said: HashSet::new(),
            shelf: Arc::new(Shelf::new(UNFINISHED_FOR.min(Duration::from_millis(options.linger_ms)))),
            compressed: HashSet::new(),
            is_first: true,
        }
    }

    /// Says what could not be looked at: once each.
    pub(super) fn report(&mut self, problems: &[Problem]) {
        for problem in problems {
            self.say_once(problem.to_string());
        }
    }

    fn say_once(&mut self, problem: String) {
        if self.said.len() < 10_000 && !self.said.contains(&problem) {
            warn!(problem, "cannot follow a file");
            self.said.insert(problem);
        }
    }

    /// Wakes the source at a path.
    pub(super) fn wake(&self, path: &Path) {
        // Few: a write to one of very many files is found by its path in the map of
        // the watcher; here every source with that path is woken.
        for live in self.live.values().filter(|live| live.place == path) {
            live.control.wake();
        }
    }

    /// Waits until a source has ended; true when the files have to be looked at again.
    pub(super) async fn next_ended(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next().await else { return std::future::pending().await };
        match ended {
            Ok((id, ended)) => {
                if let Some(live) = self.live.remove(&id) {
                    let ledger = self.ledgers.entry(live.standing.topic().clone()).or_default();
                    ledger.insert(live.standing.key().clone(), live.standing.confirmed());
                    if ended == Ended::Replaced {
                        let unsettled = self.unsettled.entry(live.standing.topic().clone());
                        unsettled.or_default().insert(live.path);
                    }
                }
                ended == Ended::Replaced
            }
            Err(error) => {
                error!(%error, "a source has failed");
                false
            }
        }
    }

    /// Follows what is new among the files that a look has found, each with the
    /// index of its input.
    pub(super) async fn take_in(&mut self, mut files: Vec<(usize, Found)>) {
        // Read where something rotated is looked for, never followed by itself.
        let compressed: Vec<_> = files.extract_if(.., |(_, found)| found.is_compressed()).collect();
        self.tell_fates(&files);
        let mut by_topic: BTreeMap<Topic, Vec<(usize, Found)>> = BTreeMap::new();
        let deserted = self.deserted(&files);
        by_topic.extend(deserted.keys().map(|topic| (topic.clone(), Vec::new())));
        if self.is_first {
            let fixed = self.options.inputs.iter().filter_map(|input| match &input.topic {
                super::TopicRule::Fixed(topic) => Some(topic.clone()),
                super::TopicRule::FileStem | super::TopicRule::Made(_) => None,
            });
            by_topic.extend(fixed.map(|topic| (topic, Vec::new())));
        }
        let mut seen = HashSet::new();
        for (input, found) in files {
            if self.live.contains_key(&id_of(&found)) || !seen.insert(id_of(&found)) {
                continue;
            }
            match self.options.inputs[input].topic.topic_of(&found.path) {
                Some(topic) => by_topic.entry(topic).or_default().push((input, found)),
                None => self.say_once(format!("{}: no topic can be made of its name", found.path.display())),
            }
        }
        for (topic, newcomers) in by_topic {
            let deserted = deserted.get(&topic).cloned().unwrap_or_default();
            self.settle(&topic, newcomers, deserted).await;
        }
        self.report_compressed(&compressed);
        self.is_first = false;
    }

    /// Says of which compressed files nothing can come, as no log is known that they were.
    fn report_compressed(&mut self, compressed: &[(usize, Found)]) {
        let there: HashSet<&Path> = compressed.iter().map(|(_, found)| found.path.as_path()).collect();
        self.compressed.retain(|path| there.contains(path.as_path()));
        let new: Vec<_> =
            compressed.iter().filter(|(_, found)| !self.compressed.contains(&found.path)).collect();
        if new.is_empty() {
            return;
        }
        let records = self.ledgers.values().flat_map(BTreeMap::values);
        let known: HashSet<String> = records
            .map(|record| record.details.path.clone())
            .chain(self.live.values().map(|live| displayed(&live.path)))
            .collect();
        for (_, found) in new {
            let is_ours =
                found.is_packed() && bases(&found.path).iter().any(|base| known.contains(&displayed(base)));
            if !is_ours {
                self.say_once(format!("{}: compressed files are not followed", found.path.display()));
            }
            self.compressed.insert(found.path.clone());
        }
    }

    fn tell_fates(&mut self, files: &[(usize, Found)]) {
        let found: HashMap<FileId, &Found> = files.iter().map(|(_, found)| (id_of(found), found)).collect();
        for (id, live) in &mut self.live {
            let Some(found) = found.get(id) else {
                live.control.meets(Fate::Away);
                live.control.wake();
                continue;
            };
            live.place.clone_from(&found.path);
            live.control.meets(if found.path == live.path { Fate::InPlace } else { Fate::Moved });
            // One that is written anew can have its old size again.
            let modified = std::mem::replace(&mut live.modified, found.modified);
            if found.len != live.control.read().position || found.modified != modified {
                live.control.wake();
            }
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
    }

    /// Paths where nothing is now, or whose file was replaced: what was there between two
    /// looks may be beside them.
    fn deserted(&self, files: &[(usize, Found)]) -> BTreeMap<Topic, BTreeSet<PathBuf>> {
        let there: HashSet<&Path> = files.iter().map(|(_, found)| found.path.as_path()).collect();
        let mut deserted = self.unsettled.clone();
        for live in self.live.values().filter(|live| !there.contains(live.path.as_path())) {
            deserted.entry(live.standing.topic().clone()).or_default().insert(live.path.clone());
        }
        deserted
    }

    /// Finds out what the newcomers of a topic are, and what is beside deserted paths, and
    /// follows them.
    async fn settle(
        &mut self,
        topic: &Topic,
        newcomers: Vec<(usize, Found)>,
        mut deserted: BTreeSet<PathBuf>,
    ) {
        if !self.ledgers.contains_key(topic) {
            let records = self.context.publisher.records(topic, &self.options.host).await;
            // What has a topic that cannot be used is new again at the next look.
            let Some(records) = records else { return };
            self.ledgers.insert(topic.clone(), records.into_iter().collect());
            deserted.extend(self.left_behind(topic));
        }
        let inputs: HashMap<FileId, usize> =
            newcomers.iter().map(|(at, found)| (id_of(found), *at)).collect();
        let newcomers = newcomers.into_iter().map(|(_, found)| found).collect();
        let known = self.known(topic, newcomers, deserted);
        if known.newcomers.is_empty() && known.deserted.is_empty() {
            return;
        }
        let planned = off_the_runtime(move || {
            let plan = plan(&known);
            Ok((known, plan))
        });
        let Ok((known, plan)) = planned.await else { return };
        for (path, error) in plan.unreadable {
            self.say_once(format!("{}: {error}", path.display()));
        }
        for (key, record) in plan.lost {
            let newcomers = known.newcomers.iter().map(|found| &found.path);
            let followed = known.followed.iter().filter(|source| source.in_place).map(|source| &source.path);
            let replaced = newcomers.chain(followed).any(|path| displayed(path) == record.details.path);
            self.give_up(topic, key, record, replaced).await;
        }
        let of_path: HashMap<PathBuf, usize> = known
            .newcomers
            .iter()
            .filter_map(|found| Some((found.path.clone(), *inputs.get(&id_of(found))?)))
            .collect();
        let mut launches = plan.launches;
        let room = self.options.max_open_files.saturating_sub(self.live.len());
        for left_out in launches.drain(room.min(launches.len())..) {
            let (path, most) = (left_out.found.path.display(), self.options.max_open_files);
            self.say_once(format!("{path}: max_open_files ({most}) are open already"));
        }
        let launches: Vec<_> = launches
            .into_iter()
            .map(|launch| {
                // What was rotated away belongs to the input of the path that it had.
                let input = of_path.get(&launch.path).or_else(|| inputs.get(&id_of(&launch.found)));
                (input.copied().unwrap_or_else(|| self.input_of(&launch.path)), launch)
            })
            .collect();
        let starts = launches.into_iter().map(|(input, launch)| {
            let start = self.start_of(input, topic, &launch.path);
            launch.start(&self.contexts[input], topic, &self.options.host, &self.options.inputs[input], start)
        });
        let started = stream::iter(starts.collect::<Vec<_>>());
        let started: Vec<_> = started.buffered(STARTS_AT_ONCE).collect().await;
        let mut unsettled = plan.unsettled;
        for started in started {
            unsettled.extend(self.follow(topic, started));
        }
        for (path, lane) in &self.lanes {
            if plan.searched.contains(path) && !unsettled.contains(path) {
                lane.forget_replaced();
            }
        }
        self.unsettled.insert(topic.clone(), unsettled);
    }

    /// Where a new file of a path begins.
    fn start_of(&self, input: usize, topic: &Topic, path: &Path) -> StartAt {
        let wanted = self.options.inputs[input].start.unwrap_or(self.options.start);
        if !self.is_first || wanted == StartAt::Beginning {
            return StartAt::Beginning;
        }
        let text = displayed(path);
        let mut records = self.ledgers.get(topic).into_iter().flatten();
        let was_seen = records.any(|(_, record)| record.details.path == text);
        if was_seen { StartAt::Beginning } else { wanted }
    }

    fn input_of(&self, path: &Path) -> usize {
        self.options.inputs.iter().position(|input| input.patterns.matches(path)).unwrap_or(0)
    }

    fn known(&self, topic: &Topic, newcomers: Vec<Found>, deserted: BTreeSet<PathBuf>) -> Known {
        let ledger = self.ledgers.get(topic).into_iter().flatten();
        let records = ledger.map(|(key, record)| (key.clone(), record.clone())).collect();
        let followed = self.live.iter().filter(|(_, live)| live.standing.topic() == topic);
        let followed = followed.map(|(&id, live)| Followed {
            id,
            path: live.path.clone(),
            reader: live.reader.clone(),
            read: live.control.read(),
            in_place: *live.control.fate().borrow() == Fate::InPlace,
        });
        let rotated = self.options.inputs.iter();
        let rotated = rotated.filter_map(|input| Some((input.patterns.clone(), input.rotated.clone()?)));
        Known {
            newcomers,
            followed: followed.collect(),
            records,
            deserted,
            shelf: Arc::clone(&self.shelf),
            rotated: rotated.collect(),
        }
    }

    /// Paths from which lines may be left since the last run.
    fn left_behind(&self, topic: &Topic) -> Vec<PathBuf> {
        let records = self.ledgers.get(topic).into_iter().flatten();
        let paths = records.map(|(_, record)| PathBuf::from(&record.details.path));
        let matches = |path: &PathBuf| self.options.inputs.iter().any(|input| input.patterns.matches(path));
        paths.filter(matches).collect()
    }

    /// Says that a source cannot be found again; where another file has taken its
    /// path, no more can come of it.
    async fn give_up(&mut self, topic: &Topic, key: SourceKey, record: Record, replaced: bool) {
        if self.said.insert(format!("lost {key}")) {
            let (path, position) = (&record.details.path, record.position);
            warn!(path, position, source = %key, "a file is not found again: lines after the position may be missing");
        }
        if replaced {
            let publisher = &self.context.publisher;
            let standing = publisher.stand(topic, key.clone(), record.clone());
            let details = Details { state: SourceState::Gone, ..record.details };
            let gone = Record { token: Token::random(), position: record.position, details };
            publisher.append(&standing, gone, None).await;
            self.ledgers.entry(topic.clone()).or_default().insert(key, standing.confirmed());
        }
    }

    /// Follows a source; else returns the path whose files have to be looked at again.
    fn follow(&mut self, topic: &Topic, started: Started) -> Option<PathBuf> {
        match started {
            Started::Source(id, source, live) => {
                self.ledgers.entry(topic.clone()).or_default().remove(live.standing.key());
                let turn = self.lanes.entry(live.path.clone()).or_default().join(&live.control);
                self.tasks.spawn(async move { (id, source.run(turn).await) });
                self.live.insert(id, live);
                None
            }
            // The next look finds out what it is now.
            Started::Changed(path, standing) => {
                let ledger = self.ledgers.entry(topic.clone()).or_default();
                ledger.insert(standing.key().clone(), standing.confirmed());
                Some(path)
            }
            Started::Later(path) => Some(path),
            Started::Unreadable(path, error) => {
                self.say_once(format!("{}: {error}", path.display()));
                None
            }
        }
    }

    /// Lets every source append what it has read; false when that took too long.
    pub(super) async fn stop(mut self, limit: Duration) -> bool {
        self.context.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        timeout(limit, all).await.is_ok()
    }
}
