//! One Redis, two under Sentinels, or six in a cluster: who is a master, and what happens between them.

use std::time::Duration;

use logrelay::record::Topic;
use tokio::time::{Instant, sleep};

use crate::{
    plan::Topology,
    suite::support::{TestRedis, cluster::Cluster, door::Door, eventually, sentinel::Watched},
};

/// The servers of a run.
pub(super) enum Servers {
    Single(Box<TestRedis>),
    Sentinel(Box<Watched>),
    Cluster(Box<Cluster>),
}

impl Servers {
    pub(super) async fn start(topology: Topology, doors: &[Door]) -> Self {
        match topology {
            Topology::Single => {
                let redis = TestRedis::start().await;
                let socket = redis.socket();
                for door in doors {
                    door.lead_to_socket(&socket);
                }
                Self::Single(Box::new(redis))
            }
            Topology::Sentinel => Self::Sentinel(Box::new(Watched::behind(doors).await)),
            Topology::Cluster => Self::Cluster(Box::new(Cluster::behind(doors).await)),
        }
    }

    pub(super) fn node(&mut self, at: usize) -> &mut TestRedis {
        match self {
            Self::Single(redis) => redis,
            Self::Sentinel(watched) => [&mut watched.master, &mut watched.replica][at],
            Self::Cluster(cluster) => &mut cluster.nodes[at],
        }
    }

    /// The server that has a topic, when all agree on that.
    pub(super) async fn master(&self, doors: &[Door], topic: &Topic) -> usize {
        let mut at = 0;
        eventually("all agree who is the master", async || match self {
            Self::Single(_) => true,
            Self::Sentinel(watched) => {
                let port = watched.master_port(Duration::MAX).await;
                let found = doors.iter().position(|door| Some(door.port()) == port);
                at = found.unwrap_or_default();
                found.is_some()
            }
            Self::Cluster(cluster) => {
                let slot = cluster.slot(topic).await;
                let parts = cluster.agreed().await.unwrap_or_default();
                let found = parts.iter().position(|part| part.has(slot));
                at = found.unwrap_or_default();
                found.is_some()
            }
        })
        .await;
        at
    }

    /// The replica of a master.
    async fn replica(&self, at: usize) -> usize {
        let Self::Cluster(cluster) = self else { return 1 - at };
        let mut replica = None;
        eventually("it has a replica", async || {
            let parts = cluster.agreed().await.unwrap_or_default();
            replica = parts.iter().position(|part| part.master == Some(at));
            replica.is_some()
        })
        .await;
        replica.unwrap()
    }

    /// Waits until there is a master everywhere, and a replica that follows it.
    pub(super) async fn until_well(&mut self, doors: &[Door]) {
        let began = Instant::now();
        match self {
            Self::Single(_) => {}
            Self::Cluster(cluster) => {
                eventually("the cluster is well", async || cluster.agreed().await.is_some()).await;
            }
            Self::Sentinel(watched) => {
                eventually("master and replica are well", async || {
                    let Some(port) = watched.master_port(began.elapsed()).await else { return false };
                    let (mut master, mut replica) = (&watched.master, &watched.replica);
                    if doors[1].port() == port {
                        std::mem::swap(&mut master, &mut replica);
                    }
                    let role = replica.replication().await;
                    // It was started again. Sentinels see to that themselves, though they take half a minute.
                    if role.contains("role:master") && master.is_master().await {
                        replica.control().await.run::<()>(&format!("REPLICAOF 127.0.0.1 {port}")).await;
                    }
                    let follows = role.contains(&format!("master_port:{port}\r\n"));
                    follows && master.is_master().await && replica.follows(master).await
                })
                .await;
            }
        }
    }

    /// Has the replica of a master take over, with both alive.
    pub(super) async fn fail_over(&mut self, at: usize) {
        let replica = self.replica(at).await;
        match self {
            Self::Single(_) => panic!("there is no other"),
            Self::Sentinel(watched) => watched.fail_over().await,
            Self::Cluster(cluster) => {
                cluster.nodes[replica].control().await.run::<()>("CLUSTER FAILOVER").await;
            }
        }
        self.until_promoted(replica).await;
    }

    /// Kills a master of whose last lines its replica got none.
    pub(super) async fn fail_over_with_loss(&mut self, at: usize, hold: Duration) {
        let replica = self.replica(at).await;
        let mut control = self.node(at).control().await;
        control.run::<()>("ACL SETUSER default -psync -sync").await;
        control.run::<i64>("CLIENT KILL TYPE replica").await;
        sleep(hold).await;
        self.node(at).kill().await;
        self.until_promoted(replica).await;
        self.node(at).start_again().await;
    }

    async fn until_promoted(&mut self, at: usize) {
        let server = &*self.node(at);
        eventually("the replica is the master", async || server.is_master().await).await;
    }

    /// Moves the slot of a topic to another master.
    pub(super) async fn move_slot(&mut self, from: usize, topic: &Topic, pause: Duration) {
        let Self::Cluster(cluster) = self else { panic!("there are no slots") };
        let parts = cluster.agreed().await.unwrap();
        let to = (1..parts.len()).map(|step| (from + step) % parts.len());
        let to = to.into_iter().find(|&to| parts[to].master.is_none()).unwrap();
        cluster.migrate(topic, from, to, pause).await;
    }
}
