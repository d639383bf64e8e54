//! One run: it begins, two hands let things happen, everything is healed, and then every reader must have every line.

use std::{sync::Mutex, time::Instant};

use fastrand::Rng;
use jiff::Timestamp;
use logrelay::record::Topic;
use tempfile::TempDir;
use tokio::{
    sync::{RwLock, RwLockWriteGuard},
    time::sleep,
};

use crate::{
    ledger::Written,
    number,
    parties::Parties,
    plan::{Plan, Topology},
    programs::Programs,
    reader::Reader,
    redis::Redis,
    report::Report,
};

/// Topic, and the names of the hosts and their logs.
const HOSTS: [(&str, &str); 3] = [("web", "web-1"), ("web", "web-2"), ("shop", "shop-1")];
const LOGS_PER_HOST: usize = 3;
const RELAYS: usize = 2;
const READERS: usize = 3;

/// What those need who let things happen.
pub(crate) struct Stage<'a> {
    relays: Vec<String>,
    topics: &'a [Topic],
    programs: &'a Programs,
    report: Mutex<Report>,
    /// Held for reading while a tailer is down.
    pub(crate) tailers: RwLock<()>,
}

impl Stage<'_> {
    /// One of the topics.
    pub(crate) fn topic(&self, whom: usize) -> &Topic {
        &self.topics[whom % self.topics.len()]
    }

    /// Waits until somebody who begins now has every line, and each log one that is written now.
    pub(crate) async fn newcomer(&self, when: &str) {
        let written = self.programs.go_on().await;
        let reader = Reader::start(&self.relays, self.topics);
        reader.has(&written).await;
        let heard = reader.end().await;
        self.report.lock().unwrap().read(&format!("a newcomer {when}"), &heard, &written);
    }

    /// What has to hold while Redis may forget that there are some files: the tailers that know them stay. A tailer
    /// that is started meanwhile would take a file for a new one, and send its lines as another source's; and one
    /// that was rotated away it would not find.
    pub(crate) async fn tailers_stay(&self) -> RwLockWriteGuard<'_, ()> {
        let all_run = self.tailers.write().await;
        self.newcomer("before Redis forgets files").await;
        all_run
    }

    /// The same where tailers may come and go: Redis has heard of all files, and there are no new ones.
    pub(crate) async fn files_stay(&self) {
        self.programs.rotate(false);
        self.newcomer("before Redis forgets lines").await;
    }

    /// Ends one of these.
    pub(crate) async fn files_come(&self) {
        self.newcomer("after Redis forgot something").await;
        self.programs.rotate(true);
    }
}

/// Lets everything happen that the seed draws, and says what came of it.
pub(crate) async fn run(topology: Topology, seed: u64) -> Report {
    println!("LOGRELAY_CHAOS_SEED={seed}, {topology:?}");
    let began = Instant::now();
    let plan = Plan::draw(topology, seed, number("LOGRELAY_CHAOS_ROUNDS").unwrap_or(1));
    let (mut rng, folder) = (Rng::with_seed(seed), TempDir::new().unwrap());
    let mut redis = Redis::start(topology, HOSTS.len() + RELAYS).await;
    let tailers = HOSTS.iter().enumerate().map(|(party, (topic, host))| {
        let files = folder.path().join(host).join("*.log").display().to_string();
        [redis.url(party), (*host).to_owned(), (*topic).to_owned(), files]
    });
    let relays = (0..RELAYS).map(|party| redis.url(HOSTS.len() + party)).collect();
    let mut parties = Parties::start(tailers.collect(), relays).await;
    let programs = Programs::start(logs(&folder), &mut rng);
    let topics = HOSTS.iter().map(|(topic, _)| topic.parse().unwrap());
    let mut topics: Vec<Topic> = topics.collect();
    topics.dedup();
    let relays = parties.relays();
    parties.readers = (0..READERS).map(|_| Reader::start(&relays, &topics)).collect();

    let report = Mutex::new(Report::of(format!("{topology:?} {seed}")));
    let stage = Stage { relays, topics: &topics, programs: &programs, report, tailers: RwLock::new(()) };
    stage.newcomer("before anything happens").await;
    programs.rotate(true);
    tokio::join!(
        async {
            for step in &plan.to_parties {
                sleep(step.calm).await;
                let began = Timestamp::now();
                parties.suffer(*step, &stage).await;
                stage.report.lock().unwrap().injected(step, began);
            }
        },
        async {
            for step in &plan.to_redis {
                sleep(step.calm).await;
                let began = Timestamp::now();
                redis.suffer(*step, &stage).await;
                stage.report.lock().unwrap().injected(step, began);
            }
        },
    );
    let Stage { relays, report, .. } = stage;
    let mut report = report.into_inner().unwrap();
    report.rotations = programs.rotations();
    let written = programs.stop().await;
    report.written = written.iter().map(|file| file.lines).sum();
    settle(&mut report, parties, &relays, &topics, &written).await;
    report.duration = began.elapsed();
    println!("{report}");
    report
}

/// Waits until all have everything, and somebody who comes afterwards too.
async fn settle(
    report: &mut Report,
    mut parties: Parties,
    relays: &[String],
    topics: &[Topic],
    written: &[Written],
) {
    for reader in &parties.readers {
        reader.has(written).await;
    }
    let late = Reader::start(relays, topics);
    late.has(written).await;
    parties.are_running();
    let readers: Vec<_> = parties.readers.drain(..).chain([late]).collect();
    for (index, reader) in readers.into_iter().enumerate() {
        report.read(&format!("reader {index}"), &reader.end().await, written);
    }
    if !report.is_clean() {
        println!("{}\n{}", parties.said(), report.story());
    }
}

/// The ids and paths of all logs, in a folder for each host.
fn logs(folder: &TempDir) -> Vec<(String, std::path::PathBuf)> {
    let mut logs = Vec::new();
    for (_, host) in HOSTS {
        let folder = folder.path().join(host);
        std::fs::create_dir(&folder).unwrap();
        for index in 0..LOGS_PER_HOST {
            logs.push((format!("{host}/{index}"), folder.join(format!("{index}.log"))));
        }
    }
    logs
}
