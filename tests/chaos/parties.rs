//! Tailers and relays as processes, readers in this one, and what happens to them.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use crate::{
    plan::{Kind, Step},
    process::Process,
    reader::Reader,
    relay::Relay,
    run::Stage,
    suite::support::door::Door,
};

/// Nothing here is to wait for a long time-out, as a run is short.
const CONNECTIONS: &str = "--redis-response-timeout-ms 2000 --redis-connect-timeout-ms 2000";

/// Everyone but Redis.
pub(crate) struct Parties {
    tailers: Vec<Tailer>,
    relays: Vec<Served>,
    pub(crate) readers: Vec<Reader>,
}

/// A tailer, and how it is started.
struct Tailer {
    words: String,
    process: Process,
    /// What it said in its former lives.
    said: String,
}

/// A relay behind a door, which is where readers ask.
struct Served {
    redis: String,
    relay: Relay,
    door: Door,
    said: String,
}

impl Parties {
    /// Tailers by their Redis, host, topic and files; relays by their Redis. Nobody reads yet.
    pub(crate) async fn start(tailers: Vec<[String; 4]>, relays: Vec<String>) -> Self {
        let tailers = tailers.into_iter().map(|[redis, host, topic, files]| {
            // A drained file is known for as long as the run is.
            let how = format!("{CONNECTIONS} --retry-max-ms 1000 --linger-ms 600000");
            let words = format!("tail --redis {redis} --host {host} --topic {topic} {how} {files}");
            Tailer { process: Process::start(&words), words, said: String::new() }
        });
        let tailers = tailers.collect();
        let mut served = Vec::new();
        for redis in relays {
            let relay = relay(&redis).await;
            let door = Door::before(&relay.url).await;
            served.push(Served { redis, relay, door, said: String::new() });
        }
        Self { tailers, relays: served, readers: Vec::new() }
    }

    /// Where readers ask.
    pub(crate) fn relays(&self) -> Vec<String> {
        self.relays.iter().map(|served| served.door.url.clone()).collect()
    }

    /// Lets one thing happen, and ends it.
    pub(crate) async fn suffer(&mut self, step: Step, stage: &Stage<'_>) {
        let Step { kind, hold, whom, .. } = step;
        let (tailer, at) = (whom % self.tailers.len(), whom % self.relays.len());
        match kind {
            Kind::TailerKilled | Kind::TailerStopped => {
                let _is_down = stage.tailers.read().await;
                self.tailers[tailer].restart(kind == Kind::TailerKilled, hold).await;
            }
            Kind::RelayKilled | Kind::RelayDrained => {
                self.relays[at].restart(kind == Kind::RelayKilled, hold).await;
            }
            Kind::ReaderKilled => {
                let (reader, relays) = (whom % self.readers.len(), self.relays());
                self.readers[reader].kill(&relays[at..=at], hold).await;
            }
            Kind::ReadersCut | Kind::ReadersSilent | Kind::ReadersSlow => {
                let door = &self.relays[at].door;
                match kind {
                    Kind::ReadersCut => door.shut(),
                    Kind::ReadersSilent => door.silence(),
                    _ => door.slow(hold / 8),
                }
                sleep(hold).await;
                door.open();
            }
            other => panic!("{other:?} is nothing for parties"),
        }
    }

    /// What tailers and relays have said in all their lives.
    pub(crate) fn said(&self) -> String {
        let tailers = self.tailers.iter().map(|it| [it.words.clone(), it.said.clone(), it.process.stderr()]);
        let relays = self.relays.iter();
        let relays = relays.map(|it| [it.relay.url.clone(), it.said.clone(), it.relay.process.stderr()]);
        tailers.chain(relays).map(|[name, said, says]| [name + "\n", said, says].concat()).collect()
    }

    /// That nobody has ended by itself.
    pub(crate) fn are_running(&mut self) {
        for tailer in &mut self.tailers {
            assert!(tailer.process.is_running(), "a tailer has ended");
        }
        for served in &mut self.relays {
            assert!(served.relay.process.is_running(), "a relay has ended");
        }
    }
}

impl Tailer {
    async fn restart(&mut self, is_killed: bool, hold: Duration) {
        if is_killed {
            self.process.kill().await;
        } else {
            self.process.signal(Signal::TERM);
            self.process.status().await;
        }
        self.said += &self.process.stderr();
        sleep(hold).await;
        self.process = Process::start(&self.words);
    }
}

impl Served {
    async fn restart(&mut self, is_killed: bool, hold: Duration) {
        if is_killed {
            self.relay.process.kill().await;
        } else {
            self.relay.process.signal(Signal::TERM);
            self.relay.process.status().await;
        }
        self.said += &self.relay.process.stderr();
        sleep(hold).await;
        self.relay = relay(&self.redis).await;
        self.door.lead_to(&self.relay.url);
    }
}

async fn relay(redis: &str) -> Relay {
    Relay::over(redis, &format!("--listen 127.0.0.1:0 {CONNECTIONS}")).await
}
