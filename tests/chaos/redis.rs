//! The Redis of a run, the doors before it, and what happens to it in any topology.

mod servers;

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;

use self::servers::Servers;
use crate::{
    plan::{Kind, Step, Topology},
    run::Stage,
    suite::support::{TestRedis, door::Door},
};

/// Servers, and ways to them.
pub(crate) struct Redis {
    servers: Servers,
    /// Before each server; around a single one, before each party.
    doors: Vec<Door>,
}

impl Redis {
    /// Starts it, for so many parties.
    pub(crate) async fn start(topology: Topology, parties: usize) -> Self {
        let doors = match topology {
            Topology::Single => parties,
            Topology::Sentinel => 2,
            Topology::Cluster => 6,
        };
        let doors: Vec<_> = futures_util::future::join_all((0..doors).map(|_| Door::alone())).await;
        Self { servers: Servers::start(topology, &doors).await, doors }
    }

    /// Where it is for this party.
    pub(crate) fn url(&self, party: usize) -> String {
        match &self.servers {
            Servers::Single(_) => format!("redis://127.0.0.1:{}", self.doors[party].port()),
            Servers::Sentinel(watched) => watched.url(),
            Servers::Cluster(_) => {
                let (first, last) = (self.doors[1].port(), self.doors[5].port());
                format!("redis+cluster://127.0.0.1:{first},127.0.0.1:{last}")
            }
        }
    }

    /// Lets one thing happen, ends it, and waits until all servers are well.
    pub(crate) async fn suffer(&mut self, step: Step, stage: &Stage<'_>) {
        match self.forgets(step.kind) {
            Forgets::Nothing => self.happen(step, stage).await,
            Forgets::Lines if (step.whom / 2).is_multiple_of(2) => {
                stage.files_stay().await;
                self.happen(step, stage).await;
                stage.files_come().await;
            }
            Forgets::Lines | Forgets::Everything => {
                let _all_run = stage.tailers_stay().await;
                self.happen(step, stage).await;
                stage.files_come().await;
            }
        }
    }

    /// What Redis may forget by this.
    fn forgets(&self, kind: Kind) -> Forgets {
        match kind {
            Kind::RedisEmptied => Forgets::Everything,
            Kind::RedisRolledBack | Kind::FailedOverWithLoss | Kind::FailedOver => Forgets::Lines,
            // Where there are several, one that does not answer for a second is replaced.
            Kind::WayShut
            | Kind::WaySlow
            | Kind::WayDead
            | Kind::WaySilent
            | Kind::RedisKilled
            | Kind::RedisFrozen
            | Kind::RedisPaused
                if !matches!(self.servers, Servers::Single(_)) =>
            {
                Forgets::Lines
            }
            _ => Forgets::Nothing,
        }
    }

    async fn happen(&mut self, step: Step, stage: &Stage<'_>) {
        let Step { kind, hold, whom, .. } = step;
        let at = self.servers.master(&self.doors, stage.topic(whom)).await;
        let door = match &self.servers {
            Servers::Single(_) => &self.doors[whom % self.doors.len()],
            Servers::Sentinel(_) | Servers::Cluster(_) => &self.doors[at],
        };
        match kind {
            Kind::WayCut => door.cut(),
            Kind::WayShut => door.shut(),
            Kind::WaySlow => door.slow(hold / 8),
            Kind::WaySilent => door.silence(),
            Kind::WayDead => door.silence_all(),
            Kind::AnswersLost => door.lose_answers(1 + u64::try_from(whom).unwrap()),
            Kind::RedisEmptied => self.servers.node(at).replace_with(&TempDir::new().unwrap()).await,
            Kind::FailedOver => self.servers.fail_over(at).await,
            Kind::FailedOverWithLoss => self.servers.fail_over_with_loss(at, hold).await,
            Kind::SlotMoved => self.servers.move_slot(at, stage.topic(whom), hold / 8).await,
            _ => suffer_alone(self.servers.node(at), kind, hold).await,
        }
        if matches!(kind, Kind::WayShut | Kind::WaySlow | Kind::WayDead | Kind::AnswersLost) {
            sleep(hold).await;
            self.doors.iter().for_each(Door::open);
        }
        self.servers.until_well(&self.doors).await;
    }
}

/// What Redis may forget.
enum Forgets {
    Nothing,
    /// What was written last, and so files that are new.
    Lines,
    Everything,
}

/// What happens to one server, and needs no other.
async fn suffer_alone(server: &mut TestRedis, kind: Kind, hold: Duration) {
    match kind {
        Kind::RedisKilled => {
            server.kill().await;
            sleep(hold).await;
            server.start_again().await;
        }
        Kind::RedisRolledBack => {
            let copy = server.copy();
            sleep(hold).await;
            server.replace_with(&copy).await;
        }
        Kind::RedisFrozen => {
            server.freeze();
            sleep(hold * 2).await;
            server.thaw();
        }
        Kind::RedisPaused => {
            run(server, &format!("CLIENT PAUSE {} ALL", (hold * 2).as_millis())).await;
            sleep(hold * 2).await;
        }
        Kind::RedisFull => {
            run(server, "CONFIG SET maxmemory 1").await;
            sleep(hold).await;
            run(server, "CONFIG SET maxmemory 0").await;
        }
        Kind::RedisDemoted => {
            run(server, "REPLICAOF 127.0.0.1 1").await;
            sleep(hold).await;
            run(server, "REPLICAOF NO ONE").await;
        }
        Kind::ScriptsFlushed => run(server, "SCRIPT FLUSH SYNC").await,
        Kind::ClientsKilled => run(server, "CLIENT KILL TYPE normal SKIPME yes").await,
        other => panic!("{other:?} is nothing for one server"),
    }
}

async fn run(server: &TestRedis, words: &str) {
    server.control().await.run::<redis::Value>(words).await;
}
