//! The Redis of a run, in any topology, the doors before it, and what happens to it.

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    plan::{Kind, Step, Topology},
    run::Stage,
    suite::support::{TestRedis, door::Door},
};

/// Servers, and ways to them.
pub(crate) struct Redis {
    servers: Servers,
    /// Single: one for each party.
    doors: Vec<Door>,
}

enum Servers {
    Single(Box<TestRedis>),
}

impl Redis {
    /// Starts it, for so many parties.
    pub(crate) async fn start(topology: Topology, parties: usize) -> Self {
        let Topology::Single = topology;
        let redis = TestRedis::start().await;
        let mut doors = Vec::new();
        for _ in 0..parties {
            doors.push(Door::before_socket(&redis.socket()).await);
        }
        Self { servers: Servers::Single(Box::new(redis)), doors }
    }

    /// Where it is for this party.
    pub(crate) fn url(&self, party: usize) -> String {
        format!("redis://127.0.0.1:{}", self.doors[party].port())
    }

    fn server(&mut self) -> &mut TestRedis {
        let Servers::Single(redis) = &mut self.servers;
        redis
    }

    /// Lets one thing happen, and ends it.
    pub(crate) async fn suffer(&mut self, step: Step, stage: &Stage<'_>) {
        let Step { kind, hold, whom, .. } = step;
        let door = &self.doors[whom % self.doors.len()];
        match kind {
            Kind::WayCut => door.cut(),
            Kind::WayShut => door.shut(),
            Kind::WaySlow => door.slow(hold / 8),
            Kind::WaySilent => door.silence(),
            Kind::WayDead => door.silence_all(),
            Kind::AnswersLost => door.lose_answers(1 + u64::try_from(whom).unwrap()),
            Kind::RedisEmptied => return self.empty(stage).await,
            Kind::ScriptsFlushed => return self.run("SCRIPT FLUSH SYNC").await,
            Kind::ClientsKilled => return self.run("CLIENT KILL TYPE normal SKIPME yes").await,
            _ => return self.suffer_itself(kind, hold).await,
        }
        sleep(hold).await;
        door.open();
    }

    /// What happens to a server.
    async fn suffer_itself(&mut self, kind: Kind, hold: Duration) {
        match kind {
            Kind::RedisKilled => {
                self.server().kill().await;
                sleep(hold).await;
                self.server().start_again().await;
            }
            Kind::RedisRolledBack => {
                let copy = self.server().copy();
                sleep(hold).await;
                self.server().replace_with(&copy).await;
            }
            Kind::RedisFrozen => {
                self.server().freeze();
                sleep(hold * 2).await;
                self.server().thaw();
            }
            Kind::RedisPaused => {
                self.run(&format!("CLIENT PAUSE {} ALL", (hold * 2).as_millis())).await;
                sleep(hold * 2).await;
            }
            Kind::RedisFull => {
                self.run("CONFIG SET maxmemory 1").await;
                sleep(hold).await;
                self.run("CONFIG SET maxmemory 0").await;
            }
            Kind::RedisDemoted => {
                self.run("REPLICAOF 127.0.0.1 1").await;
                sleep(hold).await;
                self.run("REPLICAOF NO ONE").await;
            }
            other => panic!("{other:?} is nothing for Redis"),
        }
    }

    async fn run(&mut self, words: &str) {
        self.server().control().await.run::<redis::Value>(words).await;
    }

    /// Takes all its data away.
    async fn empty(&mut self, stage: &Stage<'_>) {
        // Tailers know all files, those that were rotated away too, and stay until they have sent them again.
        let _all_run = stage.tailers.write().await;
        stage.newcomer("before Redis is emptied").await;
        let nothing = TempDir::new().unwrap();
        self.server().replace_with(&nothing).await;
        stage.newcomer("after Redis was emptied").await;
    }
}
