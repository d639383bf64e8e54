//! Finds out what newly found files are, and begins to follow them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use tracing::warn;

use super::{
    Fleet, Newcomer, News,
    families::{narrow, root},
    member::Member,
};
use crate::{
    record::{Record, SourceKey, Topic},
    tail::{
        Input, StartAt,
        control::Fate,
        discover::{FileId, Found, above, displayed, id_of},
        launch::Started,
        lineage::{Followed, Known, Launch, plan},
        reader::off_the_runtime,
    },
};

/// How many sources are made ready at a time.
const STARTS_AT_ONCE: usize = 16;

impl Fleet {
    /// Finds out what is new, and follows it.
    pub(in crate::tail) async fn take_in(&mut self, news: News) {
        let News { files, compressed, mut deserted } = news;
        let mut by_topic: BTreeMap<Topic, Vec<Newcomer>> = BTreeMap::new();
        by_topic.extend(deserted.keys().map(|topic| (topic.clone(), Vec::new())));
        if self.is_first {
            let topics = self.topics_left_behind().await;
            by_topic.extend(topics.into_iter().map(|topic| (topic, Vec::new())));
        }
        for (input, found) in files {
            let Some(input) = self.inputs.get(input).map(Arc::clone) else { continue };
            match input.topic.topic_of(&found.path) {
                Some(topic) => by_topic.entry(topic).or_default().push(Newcomer { found, input }),
                None => self.say_once(&format!("{}: no topic can be made of its name", found.path.display())),
            }
        }
        self.left_out.clear();
        for (topic, newcomers) in by_topic {
            let deserted = deserted.remove(&topic).unwrap_or_default();
            self.settle(&topic, newcomers, deserted).await;
        }
        self.report_compressed(&compressed);
        self.is_first = false;
        self.ledgers.prune(&self.context.publisher).await;
        self.take_turns().await;
        self.is_waiting |= self.unsettled.values().any(|paths| !paths.is_empty());
        self.is_waiting |= self.is_crowded() || self.bench.misses_some();
    }

    /// Finds out what the newcomers of a topic are, and what is beside deserted paths, and
    /// follows them.
    pub(super) async fn settle(
        &mut self,
        topic: &Topic,
        newcomers: Vec<Newcomer>,
        mut deserted: HashSet<PathBuf>,
    ) {
        if !self.ledgers.have(topic) {
            let records = self.context.publisher.records(topic, &self.options.host).await;
            // What has a topic that cannot be used is new again at the next look.
            let Some(records) = records else {
                self.is_waiting = true;
                return;
            };
            self.ledgers.load(topic, records);
            deserted.extend(self.left_behind(topic));
        }
        if newcomers.is_empty() && deserted.is_empty() {
            return;
        }
        let inputs: HashMap<FileId, Arc<Input>> =
            newcomers.iter().map(|newcomer| (id_of(&newcomer.found), Arc::clone(&newcomer.input))).collect();
        let mut known = self.known(topic, newcomers, deserted);
        let (room, most) = (self.room(), self.options.max_open_files);
        if room == 0 {
            return self.leave_out(topic, known.newcomers, known.deserted, &inputs);
        }
        let tried = (room < most / 2 || known.newcomers.len() > room / 2).then(|| self.tried.clone());
        let planned = off_the_runtime(move || {
            let left_out = tried.map(|tried| narrow(&mut known, room, &tried)).unwrap_or_default();
            let plan = plan(&known);
            Ok((known, plan, left_out))
        });
        let Ok((known, plan, left_out)) = planned.await else { return };
        self.is_waiting |= !plan.unreadable.is_empty();
        for (path, error) in plan.unreadable {
            self.say_once(&format!("{}: {error}", path.display()));
        }
        for (key, record) in plan.lost {
            let newcomers = known.newcomers.iter().map(|found| &found.path);
            let followed = known.followed.iter().filter(|source| source.in_place).map(|source| &source.path);
            let replaced = newcomers.chain(followed).any(|path| displayed(path) == record.details.path);
            self.give_up(topic, key, record, replaced).await;
        }
        let mut unsettled = plan.unsettled;
        unsettled.extend(self.launch(topic, plan.launches, &known, &inputs).await);
        for (path, lane) in &self.lanes {
            if plan.searched.contains(path) && !unsettled.contains(path) {
                lane.forget_replaced();
            }
        }
        self.unsettled.insert(topic.clone(), unsettled);
        if !(left_out.newcomers.is_empty() && left_out.deserted.is_empty()) {
            if left_out.is_next_round {
                self.tried.clear();
            }
            self.tried.extend(known.newcomers.iter().map(id_of));
            self.leave_out(topic, left_out.newcomers, left_out.deserted, &inputs);
        }
    }

    /// Leaves files for when others have given way.
    fn leave_out(
        &mut self,
        topic: &Topic,
        newcomers: Vec<Found>,
        deserted: HashSet<PathBuf>,
        inputs: &HashMap<FileId, Arc<Input>>,
    ) {
        self.unsettled.entry(topic.clone()).or_default().extend(deserted.iter().cloned());
        let left_out = self.left_out.entry(topic.clone()).or_default();
        left_out.deserted.extend(deserted);
        for found in newcomers {
            let id = id_of(&found);
            // Those that are closed have turns of their own.
            let Some(input) = inputs.get(&id).map(Arc::clone) else { continue };
            if self.is_first {
                self.at_start.insert(id, found.len);
            }
            left_out.newcomers.push(Newcomer { found, input });
        }
    }

    /// Follows what was planned; returns the paths whose files have to be looked at again.
    async fn launch(
        &mut self,
        topic: &Topic,
        mut launches: Vec<Launch>,
        known: &Known,
        inputs: &HashMap<FileId, Arc<Input>>,
    ) -> Vec<PathBuf> {
        let mut begun = HashSet::new();
        launches.retain(|launch| {
            let id = id_of(&launch.found);
            // A task that has lost its member is told nothing: not even to stop.
            let is_followed = self.members.contains_key(&id) || !begun.insert(id);
            // What is closed as it was read, and is where it was, needs no turn.
            let closed = self.bench.get(id);
            !is_followed && closed.is_none_or(|closed| closed.waits || closed.away_since.is_some())
        });
        let later: Vec<_> = launches.drain(self.room().min(launches.len())..).collect();
        let mut again: Vec<_> = later.iter().map(|launch| launch.path.clone()).collect();
        if !later.is_empty() {
            let deserted = again.iter().cloned().collect();
            self.leave_out(topic, later.into_iter().map(|launch| launch.found).collect(), deserted, inputs);
        }
        for launch in &mut launches {
            if let Some(len) = self.at_start.get(&id_of(&launch.found)) {
                launch.found.len = *len;
            }
        }
        let of_path: HashMap<&Path, &Arc<Input>> = known
            .newcomers
            .iter()
            .filter_map(|found| Some((found.path.as_path(), inputs.get(&id_of(found))?)))
            .collect();
        let launches: Vec<_> = launches
            .into_iter()
            .filter_map(|launch| {
                // What was rotated away belongs to the input of the path that it had.
                let input = of_path.get(launch.path.as_path()).copied();
                let input = input.or_else(|| inputs.get(&id_of(&launch.found)));
                Some((Arc::clone(input.or_else(|| self.inputs.of_path(&launch.path))?), launch))
            })
            .collect();
        let fleet = &*self;
        let starts =
            launches.into_iter().map(|(input, launch)| {
                let start = fleet.start_of(&input, topic, &launch);
                let (context, host) = (&fleet.context, &fleet.options.host);
                let is_ours = |key: &SourceKey| fleet.knows(topic, key);
                async move {
                    (launch.start(context, topic, host, &input, start, is_ours).await, Arc::clone(&input))
                }
            });
        let started = stream::iter(starts.collect::<Vec<_>>());
        let started: Vec<_> = started.buffered(STARTS_AT_ONCE).collect().await;
        again.extend(started.into_iter().filter_map(|(started, input)| self.follow(topic, started, input)));
        again
    }

    /// Whether a source is known: a new file is none of those.
    fn knows(&self, topic: &Topic, key: &SourceKey) -> bool {
        let closed = self.bench.values().map(|closed| &closed.standing);
        let mut stands = self.members.values().map(|member| &member.live.standing).chain(closed);
        stands.any(|standing| standing.topic() == topic && standing.key() == key)
            || self.ledgers.of(topic).any(|(known, _)| known == key)
    }

    /// Where a new file of a path begins.
    fn start_of(&self, input: &Input, topic: &Topic, launch: &Launch) -> StartAt {
        let wanted = input.start.unwrap_or(self.options.start);
        let was_there = self.is_first || self.at_start.contains_key(&id_of(&launch.found));
        if !was_there || wanted == StartAt::Beginning {
            return StartAt::Beginning;
        }
        let text = displayed(&launch.path);
        let mut records = self.ledgers.of(topic);
        let was_seen = records.any(|(_, record)| record.details.path == text);
        if was_seen { StartAt::Beginning } else { wanted }
    }

    fn known(&self, topic: &Topic, newcomers: Vec<Newcomer>, deserted: HashSet<PathBuf>) -> Known {
        let ledger = self.ledgers.of(topic);
        let mut newcomers: Vec<Found> = newcomers.into_iter().map(|newcomer| newcomer.found).collect();
        let mut at_rest = HashMap::new();
        let mut records: Vec<_> = ledger.map(|(key, record)| (key.clone(), record.clone())).collect();
        // Closed files of the same families are looked into again: what is beside them is
        // told by them. Others stay out of it, but for those that have to be found again.
        if self.bench.len() > 0 {
            let paths = newcomers.iter().map(|found| &found.path).chain(&deserted);
            let roots = paths.map(|path| root(path));
            let roots: HashSet<PathBuf> =
                roots.flat_map(|root| above(&root).into_iter().chain([root])).collect();
            for closed in self.bench.values().filter(|closed| closed.standing.topic() == topic) {
                let is_near =
                    || roots.contains(&root(&closed.path)) || roots.contains(&root(&closed.found.path));
                if closed.away_since.is_some() || is_near() {
                    if closed.is_at_rest(self.context.linger) {
                        at_rest.insert(closed.standing.key().clone(), closed.read);
                    }
                    records.push((closed.standing.key().clone(), closed.standing.confirmed()));
                    newcomers.extend(closed.away_since.is_none().then(|| closed.found.clone()));
                }
            }
        }
        self.name_newcomers(topic, &mut newcomers, &records);
        let members = self.members.iter().map(|(&id, member)| (id, &member.live));
        let followed = members.filter(|(_, live)| live.standing.topic() == topic);
        let followed = followed.map(|(id, live)| Followed {
            id,
            path: live.path.clone(),
            place: live.place.clone(),
            reader: live.reader.clone(),
            read: live.control.read(),
            in_place: live.control.fate() == Fate::InPlace,
        });
        let followed: Vec<_> = followed.collect();
        Known {
            also: self.also(&newcomers, &followed),
            newcomers,
            followed,
            records,
            at_rest,
            deserted,
            shelf: Arc::clone(&self.shelf),
            rotated: self.inputs.rotated(),
        }
    }

    /// Topics from which lines may be left since the last run.
    async fn topics_left_behind(&self) -> BTreeSet<Topic> {
        let mut topics: BTreeSet<Topic> = self.inputs.topics().cloned().collect();
        if self.inputs.make_topics() {
            let (publisher, host) = (&self.context.publisher, &self.options.host);
            let others = publisher.topics().await.into_iter().filter(|topic| !topics.contains(topic));
            let loads = others.map(async |topic| {
                let records = publisher.records(&topic, host).await.unwrap_or_default();
                let mut paths = records.iter().map(|(_, record)| Path::new(&record.details.path));
                paths.any(|path| self.inputs.cover(path, &topic)).then_some(topic)
            });
            let loads = stream::iter(loads.collect::<Vec<_>>()).buffer_unordered(STARTS_AT_ONCE);
            let ours: Vec<_> = loads.filter_map(std::future::ready).collect().await;
            topics.extend(ours);
        }
        topics
    }

    /// Paths from which lines may be left since the last run.
    fn left_behind(&self, topic: &Topic) -> Vec<PathBuf> {
        let records = self.ledgers.of(topic);
        let paths = records.map(|(_, record)| PathBuf::from(&record.details.path));
        paths.filter(|path| self.inputs.cover(path, topic)).collect()
    }

    /// Says that a source cannot be found again; where another file has taken its
    /// path, no more can come of it.
    async fn give_up(&mut self, topic: &Topic, key: SourceKey, record: Record, replaced: bool) {
        let closed = self.bench.of_key(&key).and_then(|id| self.bench.get(id));
        let is_read = closed.is_some_and(|closed| !closed.waits && closed.read <= record.position);
        let linger = self.context.linger;
        let is_over =
            closed.is_some_and(|closed| closed.away_since.is_some_and(|since| since.elapsed() >= linger));
        if !is_read && self.is_news(&format!("lost {key}")) {
            let (path, position) = (&record.details.path, record.position);
            warn!(path, position, source = %key, "a file is not found again: lines after the position may be missing");
        }
        if replaced || is_over {
            if let Some(id) = self.bench.of_key(&key) {
                self.bench.remove(id);
            }
            let publisher = &self.context.publisher;
            let standing = publisher.stand(topic, key.clone(), record.clone());
            publisher.append(&standing, record.gone(), None).await;
            self.ledgers.remember(&standing);
        }
    }

    /// Follows a source; else returns the path whose files have to be looked at again.
    fn follow(&mut self, topic: &Topic, started: Started, input: Arc<Input>) -> Option<PathBuf> {
        match started {
            // It is followed already: as what, the next look finds out.
            Started::Source(id, _, live) if self.members.contains_key(&id) => {
                self.ledgers.remember(&live.standing);
                Some(live.path)
            }
            Started::Source(id, source, live) => {
                self.ledgers.remove(topic, live.standing.key());
                let closed = self.bench.of_key(live.standing.key()).and_then(|id| self.bench.remove(id));
                let away_since = closed.as_ref().and_then(|closed| closed.away_since);
                // What is at the path now is the newest of it, whatever it was.
                let is_newest = live.control.fate() == Fate::InPlace;
                let place = closed.filter(|closed| !is_newest && closed.path == live.path);
                let place = place.and_then(|closed| closed.turn);
                // What had this device and inode before is another file, or none.
                if let Some(other) = self.bench.remove(id) {
                    self.ledgers.remember(&other.standing);
                }
                self.at_start.remove(&id);
                // Whether any look still finds it there, it has yet to be told.
                self.is_waiting |= live.place != live.path;
                let turn = if let Some(place) = place {
                    place.pass_to(&live.control, &live.standing)
                } else {
                    self.lanes.entry(live.path.clone()).or_default().join(&live.control, &live.standing)
                };
                self.places.insert(live.place.clone(), id);
                let mut member = Member::new(live, source, turn, input, &mut self.tasks);
                if away_since.is_some() {
                    member.is_away(away_since);
                }
                self.members.insert(id, member);
                None
            }
            // The next look finds out what it is now.
            Started::Changed(path, standing) => {
                if self.bench.of_key(standing.key()).is_none() {
                    self.ledgers.remember(&standing);
                }
                Some(path)
            }
            Started::Later(path) => Some(path),
            Started::Unreadable(path, error) => {
                self.is_waiting = true;
                self.say_once(&format!("{}: {error}", path.display()));
                None
            }
        }
    }
}
