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
use tracing::{error, info, warn};

use super::{
    Options, StartAt,
    control::{Control, Fate},
    discover::{Found, Problem},
    identity::Surroundings,
    lane::Lane,
    lineage::{FileId, Followed, Known, Launch, Origin, displayed, id_of, plan},
    reader::{Reader, off_the_runtime},
    source::{Context, Ended, Source},
};
use crate::{
    publish::{Publisher, Standing},
    record::{Details, Record, SourceKey, SourceState, Token, Topic},
};

/// The sources of a topic that nobody follows.
type Ledger = BTreeMap<SourceKey, Record>;

#[derive(Debug)]
pub(super) struct Fleet {
    options: Options,
    context: Context,
    live: HashMap<FileId, Live>,
    ledgers: BTreeMap<Topic, Ledger>,
    /// Paths whose files have to be looked at again, as they are not what they were.
    unsettled: BTreeMap<Topic, BTreeSet<PathBuf>>,
    /// By path.
    lanes: HashMap<PathBuf, Arc<Lane>>,
    tasks: JoinSet<(FileId, Ended)>,
    /// What was said already.
    said: HashSet<String>,
    is_first: bool,
}

#[derive(Debug)]
struct Live {
    path: PathBuf,
    /// Where it is now.
    place: PathBuf,
    reader: Reader,
    control: Arc<Control>,
    standing: Arc<Standing>,
}

/// What came of a launch.
enum Started {
    Source(FileId, Box<Source>, Live),
    /// The content is not that of the source any more.
    Changed(PathBuf, Arc<Standing>),
    Unreadable(PathBuf, std::io::Error),
}

/// How many sources are made ready at a time.
const STARTS_AT_ONCE: usize = 16;

impl Fleet {
    pub(super) fn new(options: &Options, publisher: Publisher) -> Self {
        let context = Context {
            publisher,
            max_line_bytes: options.max_line_bytes,
            linger: Duration::from_millis(options.linger_ms),
            stop: CancellationToken::new(),
        };
        Self {
            options: options.clone(),
            context,
            live: HashMap::new(),
            ledgers: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            lanes: HashMap::new(),
            tasks: JoinSet::new(),
            said: HashSet::new(),
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
        if self.said.len() < 10_000 && self.said.insert(problem.clone()) {
            warn!(problem, "cannot follow a file");
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
                tracing::debug!(?id, ?ended, "ended");
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
    pub(super) async fn take_in(&mut self, files: Vec<(usize, Found)>) {
        self.tell_fates(&files);
        let mut by_topic: BTreeMap<Topic, Vec<(usize, Found)>> = BTreeMap::new();
        let deserted = self.deserted(&files);
        by_topic.extend(deserted.keys().map(|topic| (topic.clone(), Vec::new())));
        if self.is_first {
            let fixed = self.options.inputs.iter().filter_map(|input| match &input.topic {
                super::TopicRule::Fixed(topic) => Some(topic.clone()),
                super::TopicRule::FileStem => None,
            });
            by_topic.extend(fixed.map(|topic| (topic, Vec::new())));
        }
        let mut seen = HashSet::new();
        for (input, found) in files {
            if self.live.contains_key(&id_of(&found)) || !seen.insert(id_of(&found)) {
                continue;
            }
            if found.is_compressed() {
                self.say_once(format!("{:?}: compressed files are not read", found.path));
                continue;
            }
            match self.options.inputs[input].topic.topic_of(&found.path) {
                Some(topic) => by_topic.entry(topic).or_default().push((input, found)),
                None => self.say_once(format!("{:?}: no topic can be made of its name", found.path)),
            }
        }
        for (topic, newcomers) in by_topic {
            let deserted = deserted.get(&topic).cloned().unwrap_or_default();
            self.settle(&topic, newcomers, deserted).await;
        }
        self.is_first = false;
    }

    fn tell_fates(&mut self, files: &[(usize, Found)]) {
        let found: HashMap<FileId, &Found> = files.iter().map(|(_, found)| (id_of(found), found)).collect();
        for (id, live) in &mut self.live {
            match found.get(id) {
                Some(found) => {
                    live.place.clone_from(&found.path);
                    live.control.meets(if found.path == live.path { Fate::InPlace } else { Fate::Moved });
                    live.control.wake_unless_read(found.len);
                }
                None => {
                    live.control.meets(Fate::Away);
                    live.control.wake();
                }
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
        }
        let inputs: HashMap<FileId, usize> =
            newcomers.iter().map(|(at, found)| (id_of(found), *at)).collect();
        if self.is_first {
            deserted.extend(self.left_behind(topic));
        }
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
        tracing::debug!(newcomers = ?known.newcomers.iter().map(|f| (&f.path, f.inode, f.len)).collect::<Vec<_>>(), followed = ?known.followed.iter().map(|f| (f.id.1, &f.path, f.in_place, f.confirmed.position)).collect::<Vec<_>>(), records = ?known.records.iter().map(|(k, r)| (k, r.position, r.details.identity.inode, r.details.state)).collect::<Vec<_>>(), deserted = ?known.deserted, launches = ?plan.launches.iter().map(|l| (&l.found.path, l.found.inode, format!("{:?}", l.origin).chars().take(40).collect::<String>())).collect::<Vec<_>>(), unsettled = ?plan.unsettled, lost = plan.lost.len(), "plan");
        for (path, error) in plan.unreadable {
            self.say_once(format!("{path:?}: {error}"));
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
            let (path, most) = (left_out.found.path, self.options.max_open_files);
            self.say_once(format!("{path:?}: max_open_files ({most}) are open already"));
        }
        let launches = launches.into_iter().map(|launch| {
            // What was rotated away belongs to the input of the path that it had.
            let input = of_path.get(&launch.path).or_else(|| inputs.get(&id_of(&launch.found)));
            (input.copied().unwrap_or_else(|| self.input_of(&launch.path)), launch)
        });
        let launches: Vec<_> = launches.collect();
        let this = &*self;
        let started = stream::iter(launches).map(|(input, launch)| this.start(topic, input, launch));
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
            confirmed: live.standing.confirmed(),
        });
        Known { newcomers, followed: followed.collect(), records, deserted }
    }

    /// Paths from which lines may be left since the last run.
    fn left_behind(&self, topic: &Topic) -> Vec<PathBuf> {
        let records = self.ledgers.get(topic).into_iter().flatten().map(|(_, record)| &record.details);
        let active = records.filter(|details| details.state == SourceState::Active);
        let paths = active.map(|details| PathBuf::from(&details.path));
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

    /// Makes a source ready to run.
    async fn start(&self, topic: &Topic, input: usize, launch: Launch) -> Started {
        let Launch { found, reader, path, origin } = launch;
        let is_resumed = matches!(origin, Origin::Known(..));
        let standing = match origin {
            Origin::Known(key, record) => self.context.publisher.stand(topic, key, record),
            Origin::New | Origin::Copied => {
                let is_read = matches!(origin, Origin::Copied);
                let details = match self.first_details(topic, &path, found.len, &reader, is_read).await {
                    Ok(details) => details,
                    Err(error) => return Started::Unreadable(found.path, error),
                };
                let publisher = &self.context.publisher;
                let Some(standing) = publisher.register(topic, &self.options.host, details).await else {
                    let error = std::io::Error::other("its topic cannot be used");
                    return Started::Unreadable(found.path, error);
                };
                standing
            }
        };
        let in_place = found.path == path;
        let control = Arc::new(Control::new(if in_place { Fate::InPlace } else { Fate::Moved }));
        let source = Source::open(
            self.context.clone(),
            found.path.clone(),
            reader,
            Arc::clone(&standing),
            Arc::clone(&control),
            self.options.inputs[input].labels.clone(),
        );
        match source.await {
            Ok(Some(source)) => {
                let position = standing.confirmed().position;
                info!(path = %found.path.display(), %topic, source = %standing.key(), position, is_resumed, "following");
                let live = Live {
                    path,
                    place: found.path.clone(),
                    reader: source.reader().clone(),
                    control,
                    standing,
                };
                Started::Source(id_of(&found), Box::new(source), live)
            }
            Ok(None) => Started::Changed(path, standing),
            Err(error) => Started::Unreadable(found.path, error),
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
            Started::Unreadable(path, error) => {
                self.say_once(format!("{path:?}: {error}"));
                None
            }
        }
    }

    /// The record of a new source: at its first line, or at its end where the start
    /// policy says so and nothing was ever read under this path, or all of it was read.
    async fn first_details(
        &self,
        topic: &Topic,
        path: &Path,
        len: u64,
        reader: &Reader,
        is_read: bool,
    ) -> std::io::Result<Details> {
        let text = displayed(path);
        let was_seen =
            self.ledgers.get(topic).into_iter().flatten().any(|(_, record)| record.details.path == text);
        let from_end = self.is_first && self.options.start == StartAt::End && !was_seen;
        let reader = reader.clone();
        let identity = off_the_runtime(move || {
            let start = match from_end {
                true => last_line_end(reader.file(), len)?,
                false if is_read => reader.file().metadata()?.len(),
                false => 0,
            };
            let around = Surroundings::read(reader.file(), start)?;
            Ok((start, around.identity(reader.device, reader.inode)))
        });
        let (start, identity) = identity.await?;
        Ok(Details { next_line: 0, start, path: text, identity, state: SourceState::Active })
    }

    /// Lets every source append what it has read; false when that took too long.
    pub(super) async fn stop(mut self, limit: Duration) -> bool {
        self.context.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        timeout(limit, all).await.is_ok()
    }
}

/// Where the last complete line of a file ends, looked for before `len`. Blocks.
fn last_line_end(file: &std::fs::File, len: u64) -> std::io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let mut end = len;
    let mut block = vec![0; 64 * 1024];
    while end > 0 {
        let size = usize::try_from(end).unwrap_or(usize::MAX).min(block.len());
        file.read_exact_at(&mut block[..size], end - size as u64)?;
        if let Some(newline) = memchr::memrchr(b'\n', &block[..size]) {
            return Ok(end - (size - newline - 1) as u64);
        }
        end -= size as u64;
    }
    Ok(0)
}
