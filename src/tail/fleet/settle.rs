//! Finds out what newly found files are, and begins to follow them.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use tracing::warn;

use super::{Fleet, Newcomer, member::Member};
use crate::{
    record::{Details, Record, SourceKey, SourceState, Token, Topic},
    tail::{
        Input, StartAt,
        control::Fate,
        discover::Found,
        launch::{Launch, Started},
        lineage::{FileId, Followed, Known, displayed, id_of, plan},
        reader::off_the_runtime,
    },
};

/// How many sources are made ready at a time.
const STARTS_AT_ONCE: usize = 16;

impl Fleet {
    /// Finds out what the newcomers of a topic are, and what is beside deserted paths, and
    /// follows them.
    pub(super) async fn settle(
        &mut self,
        topic: &Topic,
        newcomers: Vec<Newcomer>,
        mut deserted: BTreeSet<PathBuf>,
    ) {
        if !self.ledgers.contains_key(topic) {
            let records = self.context.publisher.records(topic, &self.options.host).await;
            // What has a topic that cannot be used is new again at the next look.
            let Some(records) = records else {
                self.is_waiting = true;
                return;
            };
            self.ledgers.insert(topic.clone(), records.into_iter().collect());
            deserted.extend(self.left_behind(topic));
        }
        let inputs: HashMap<FileId, Arc<Input>> =
            newcomers.iter().map(|newcomer| (id_of(&newcomer.found), Arc::clone(&newcomer.input))).collect();
        let known = self.known(topic, newcomers, deserted);
        if known.newcomers.is_empty() && known.deserted.is_empty() {
            return;
        }
        let planned = off_the_runtime(move || {
            let plan = plan(&known);
            Ok((known, plan))
        });
        let Ok((known, plan)) = planned.await else { return };
        self.is_waiting |= !plan.unreadable.is_empty();
        for (path, error) in plan.unreadable {
            self.say_once(format!("{}: {error}", path.display()));
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
    }

    /// Follows what was planned; returns the paths whose files have to be looked at again.
    async fn launch(
        &mut self,
        topic: &Topic,
        mut launches: Vec<Launch>,
        known: &Known,
        inputs: &HashMap<FileId, Arc<Input>>,
    ) -> Vec<PathBuf> {
        let room = self.options.max_open_files.saturating_sub(self.members.len());
        for left_out in launches.drain(room.min(launches.len())..) {
            self.is_waiting = true;
            let (path, most) = (left_out.found.path.display(), self.options.max_open_files);
            self.say_once(format!("{path}: max_open_files ({most}) are open already"));
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
        let starts = launches.into_iter().map(|(input, launch)| {
            let start = self.start_of(&input, topic, &launch.path);
            let (context, host) = (&self.context, &self.options.host);
            async move { (launch.start(context, topic, host, &input, start).await, Arc::clone(&input)) }
        });
        let started = stream::iter(starts.collect::<Vec<_>>());
        let started: Vec<_> = started.buffered(STARTS_AT_ONCE).collect().await;
        started.into_iter().filter_map(|(started, input)| self.follow(topic, started, input)).collect()
    }

    /// Where a new file of a path begins.
    fn start_of(&self, input: &Input, topic: &Topic, path: &Path) -> StartAt {
        let wanted = input.start.unwrap_or(self.options.start);
        if !self.is_first || wanted == StartAt::Beginning {
            return StartAt::Beginning;
        }
        let text = displayed(path);
        let mut records = self.ledgers.get(topic).into_iter().flatten();
        let was_seen = records.any(|(_, record)| record.details.path == text);
        if was_seen { StartAt::Beginning } else { wanted }
    }

    fn known(&self, topic: &Topic, newcomers: Vec<Newcomer>, deserted: BTreeSet<PathBuf>) -> Known {
        let ledger = self.ledgers.get(topic).into_iter().flatten();
        let records = ledger.map(|(key, record)| (key.clone(), record.clone())).collect();
        let members = self.members.iter().map(|(&id, member)| (id, &member.live));
        let followed = members.filter(|(_, live)| live.standing.topic() == topic);
        let followed = followed.map(|(id, live)| Followed {
            id,
            path: live.path.clone(),
            reader: live.reader.clone(),
            read: live.control.read(),
            in_place: live.control.fate() == Fate::InPlace,
            confirmed: live.standing.confirmed(),
        });
        let newcomers: Vec<Found> = newcomers.into_iter().map(|newcomer| newcomer.found).collect();
        Known { newcomers, followed: followed.collect(), records, deserted, shelf: Arc::clone(&self.shelf) }
    }

    /// Paths from which lines may be left since the last run.
    fn left_behind(&self, topic: &Topic) -> Vec<PathBuf> {
        let records = self.ledgers.get(topic).into_iter().flatten();
        let paths = records.map(|(_, record)| PathBuf::from(&record.details.path));
        paths.filter(|path| self.inputs.cover(path, topic)).collect()
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
    fn follow(&mut self, topic: &Topic, started: Started, input: Arc<Input>) -> Option<PathBuf> {
        match started {
            Started::Source(id, source, live) => {
                self.ledgers.entry(topic.clone()).or_default().remove(live.standing.key());
                let turn = self.lanes.entry(live.path.clone()).or_default().join(&live.control);
                self.places.insert(live.place.clone(), id);
                self.members.insert(id, Member::new(live, source, turn, input, &mut self.tasks));
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
                self.is_waiting = true;
                self.say_once(format!("{}: {error}", path.display()));
                None
            }
        }
    }
}
