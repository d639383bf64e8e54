//! A cluster of three masters with a replica each, whose slots can be moved.

use std::time::Duration;

use logrelay::{
    record::Topic,
    store::{self, ConnectOptions, Store},
};
use tokio::time::sleep;

use super::{TestRedis, door::Door, eventually, free_port, sentinel::SOON};

/// Slots of every cluster.
const SLOTS: usize = 16_384;
/// After so long without an answer a node takes another for gone, where one is to be killed.
pub(crate) const NODE_TIMEOUT_MS: u32 = 1000;
/// And where a busy machine is to be no reason for a failover.
const LONG_NODE_TIMEOUT_MS: u32 = 10_000;

/// The nodes; masters first, as it begins.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<TestRedis>,
    masters: usize,
    ids: Vec<String>,
}

impl Cluster {
    /// Three masters with a replica each; waits until every node says that it serves.
    pub(crate) async fn start() -> Self {
        Self::with(LONG_NODE_TIMEOUT_MS).await
    }

    /// The same, with another time after which nodes are taken for gone.
    pub(crate) async fn with(node_timeout_ms: u32) -> Self {
        Self::of(3, 3, node_timeout_ms, &[]).await
    }

    /// Two masters and nobody else.
    pub(crate) async fn small() -> Self {
        Self::of(2, 0, LONG_NODE_TIMEOUT_MS, &[]).await
    }

    /// Where all but the nodes' own talk goes through a door before each node, and a node is soon
    /// taken for gone.
    pub(crate) async fn behind(doors: &[Door]) -> Self {
        Self::of(3, 3, NODE_TIMEOUT_MS, doors).await
    }

    async fn of(masters: usize, replicas: usize, node_timeout_ms: u32, doors: &[Door]) -> Self {
        let timeout = node_timeout_ms.to_string();
        let (mut nodes, mut bus_ports) = (Vec::new(), Vec::new());
        for index in 0..masters + replicas {
            let bus = free_port();
            let port = bus.to_string();
            let mut args = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", &timeout];
            args.extend(["--cluster-port", &port, "--repl-diskless-sync-delay", "0"]);
            let announced = doors.get(index).map(|door| door.port().to_string());
            if let Some(announced) = &announced {
                args.extend(["--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", announced]);
                // However long it has not heard from its master.
                args.extend(["--cluster-replica-validity-factor", "0"]);
                args.extend(SOON);
            }
            nodes.push(TestRedis::with_port(&args).await);
            doors.iter().skip(index).take(1).for_each(|door| door.lead_to_socket(&nodes[index].socket()));
            bus_ports.push(bus);
        }
        let mut ids = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let mut control = node.control().await;
            ids.push(control.run::<String>("CLUSTER MYID").await);
            control.run::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)).await;
            if index < masters {
                let (first, last) = (SLOTS * index / masters, SLOTS * (index + 1) / masters - 1);
                control.run::<()>(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            }
        }
        let mut first = nodes[0].control().await;
        for (node, bus) in nodes.iter().zip(&bus_ports).skip(1) {
            first.run::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port())).await;
        }
        let cluster = Self { nodes, masters, ids };
        cluster.until_all_say(&format!("cluster_known_nodes:{}", masters + replicas)).await;
        for (index, node) in cluster.nodes.iter().enumerate().skip(masters) {
            let master = &cluster.ids[index - masters];
            let mut control = node.control().await;
            control.run::<()>(&format!("CLUSTER REPLICATE {master}")).await;
        }
        cluster.until_all_say("cluster_state:ok").await;
        for node in &cluster.nodes[..replicas] {
            let mut control = node.control().await;
            eventually("its replica follows", async || {
                control.run::<String>("INFO replication").await.contains("state=online")
            })
            .await;
        }
        cluster
    }

    async fn until_all_say(&self, words: &str) {
        for node in &self.nodes {
            let mut control = node.control().await;
            eventually(words, async || control.run::<String>("CLUSTER INFO").await.contains(words)).await;
        }
    }

    pub(crate) fn connect(&self) -> ConnectOptions {
        self.connect_as("")
    }

    /// The same, as the user that `login` is, as in `name:password@`.
    pub(crate) fn connect_as(&self, login: &str) -> ConnectOptions {
        let ports = [self.nodes[1].port(), self.nodes[self.nodes.len() - 1].port()];
        let url = format!("redis+cluster://{login}127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
        ConnectOptions::new(url.parse().unwrap())
    }

    pub(crate) fn store(&self) -> Store {
        store_over(self.connect())
    }

    /// The slot of a topic.
    pub(crate) async fn slot(&self, topic: &Topic) -> u16 {
        let mut control = self.nodes[0].control().await;
        control.run(&format!("CLUSTER KEYSLOT {topic}")).await
    }

    /// The index of the master that holds a topic, as the cluster began.
    pub(crate) async fn master_of(&self, topic: &Topic) -> usize {
        usize::from(self.slot(topic).await) * self.masters / SLOTS
    }

    /// Moves the slot of a topic to another master, a key at a time with a pause after each.
    pub(crate) async fn migrate(&self, topic: &Topic, from: usize, to: usize, pause: Duration) {
        let slot = self.slot(topic).await;
        self.begin_to_move(slot, from, to).await;
        sleep(pause).await;
        let mut source = self.nodes[from].control().await;
        loop {
            let keys: Vec<String> = source.run(&format!("CLUSTER GETKEYSINSLOT {slot} 1")).await;
            let Some(key) = keys.first() else { break };
            self.move_key(key, from, to).await;
            sleep(pause).await;
        }
        self.has_moved(slot, from, to).await;
    }

    /// From now on keys of a slot may be at either of two masters.
    pub(crate) async fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let (mut source, mut target) = (self.nodes[from].control().await, self.nodes[to].control().await);
        target.run::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", self.ids[from])).await;
        source.run::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", self.ids[to])).await;
    }

    pub(crate) async fn move_key(&self, key: &str, from: usize, to: usize) {
        let port = self.nodes[to].port();
        let mut source = self.nodes[from].control().await;
        source.run::<String>(&format!("MIGRATE 127.0.0.1 {port} {key} 0 5000")).await;
    }

    /// All keys of a slot have moved.
    pub(crate) async fn has_moved(&self, slot: u16, from: usize, to: usize) {
        let mut others = Vec::new();
        for node in 0..self.nodes.len() {
            if ![from, to].contains(&node) && self.nodes[node].is_master().await {
                others.push(node);
            }
        }
        for node in [to, from].into_iter().chain(others) {
            let mut control = self.nodes[node].control().await;
            control.run::<()>(&format!("CLUSTER SETSLOT {slot} NODE {}", self.ids[to])).await;
        }
    }

    /// What all nodes agree on; none while they do not, or some are away or behind.
    pub(crate) async fn agreed(&self) -> Option<Vec<Part>> {
        let mut agreed = None;
        for (index, node) in self.nodes.iter().enumerate() {
            let parts = self.parts_by(node).await?;
            let is_ready = match parts[index].master {
                None => true,
                Some(master) => node.follows(&self.nodes[master]).await,
            };
            if !is_ready || *agreed.get_or_insert_with(|| parts.clone()) != parts {
                return None;
            }
        }
        agreed
    }

    /// What one node believes; none where it is away, or takes another one for that.
    async fn parts_by(&self, node: &TestRedis) -> Option<Vec<Part>> {
        let mut control = node.try_control().await?;
        let is_ok = control.run::<String>("CLUSTER INFO").await.contains("cluster_state:ok");
        let text: String = control.run("CLUSTER NODES").await;
        let index_of = |id: &str| self.ids.iter().position(|known| known == id);
        let mut parts = vec![Part::default(); self.nodes.len()];
        for line in text.lines().filter(|_| is_ok) {
            let words: Vec<_> = line.split(' ').collect();
            if words[2].contains("fail") {
                return None;
            }
            let slots = words[8..].iter().filter(|word| !word.starts_with('['));
            let slots = slots.map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                (first.parse().unwrap(), last.parse().unwrap())
            });
            parts[index_of(words[0])?] = Part { master: index_of(words[3]), slots: slots.collect() };
        }
        is_ok.then_some(parts)
    }
}

/// What a node does in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// Whom it follows; none: it is a master.
    pub(crate) master: Option<usize>,
    slots: Vec<(u16, u16)>,
}

impl Part {
    /// Whether it serves this slot.
    pub(crate) fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|&(first, last)| (first..=last).contains(&slot))
    }
}

/// A store over these connections.
pub(crate) fn store_over(connect: ConnectOptions) -> Store {
    let options = store::Options::new(connect.url.clone());
    Store::new(store::Options { connect, ..options }).unwrap()
}
