//! Which nodes there are, and who is believed to hold which slot. Asks nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::slots::{Held, SLOTS};
use crate::store::{
    connect::{ConnectOptions, Connector},
    error::Error,
    pool::Pool,
    url::Endpoint,
};

/// A node that no look has found for so many times is forgotten.
const LOOKS_TO_FORGET: u8 = 3;

/// A Redis node among those behind one URL; the number is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// The only one of a server that stands alone.
    pub(in crate::store) const ONLY: Self = Self(0);
    /// That of a slot of which it is not known who holds it.
    const UNKNOWN: Self = Self(u32::MAX);
}

#[derive(Debug)]
struct Node {
    endpoint: Endpoint,
    pool: Pool,
    unlisted: u8,
}

/// The nodes of a cluster.
#[derive(Debug)]
pub(super) struct Nodes {
    options: ConnectOptions,
    seeds: Vec<Endpoint>,
    /// The [`NodeId`] that holds each slot.
    holders: Box<[AtomicU32]>,
    known: RwLock<BTreeMap<NodeId, Node>>,
    /// Where else a look can ask.
    replicas: RwLock<Vec<Endpoint>>,
    next_id: AtomicU32,
    generation: watch::Sender<u64>,
    version: watch::Sender<u64>,
    trouble: watch::Sender<Option<Error>>,
    wanted: Notify,
}

impl Nodes {
    pub(super) fn new(options: ConnectOptions, seeds: Vec<Endpoint>) -> Self {
        Self {
            options,
            seeds,
            holders: (0..SLOTS).map(|_| AtomicU32::new(NodeId::UNKNOWN.0)).collect(),
            known: RwLock::default(),
            replicas: RwLock::default(),
            next_id: AtomicU32::new(1),
            generation: watch::Sender::new(0),
            version: watch::Sender::new(0),
            trouble: watch::Sender::new(None),
            wanted: Notify::new(),
        }
    }

    /// Counts connections to any of them.
    pub(super) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Counts changes of who holds what.
    pub(super) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// How long one waits for a connection, or for a slot to be held.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.options.connect_timeout_ms.max(1))
    }

    /// Why the last look found nothing.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.trouble.borrow().clone()
    }

    /// Asks for a look.
    pub(super) fn look(&self) {
        self.wanted.notify_one();
    }

    /// Waits until somebody asks for a look.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn holder(&self, slot: u16) -> NodeId {
        self.holders.get(usize::from(slot)).map_or(NodeId::UNKNOWN, |id| NodeId(id.load(Ordering::Relaxed)))
    }

    pub(super) fn pool(&self, node: NodeId) -> Option<Pool> {
        self.read().get(&node).map(|node| node.pool.clone())
    }

    /// The connections to every node that holds slots.
    pub(super) fn holders(&self) -> Vec<Pool> {
        let holders: BTreeSet<_> = self.holders.iter().map(|id| NodeId(id.load(Ordering::Relaxed))).collect();
        holders.into_iter().filter_map(|node| self.pool(node)).collect()
    }

    /// Everybody who may know of the cluster, each once: its masters first.
    pub(super) fn informants(&self) -> Vec<Connector> {
        let mut endpoints: Vec<_> = self.read().values().map(|node| node.endpoint.clone()).collect();
        let replicas = self.replicas.read().unwrap_or_else(PoisonError::into_inner);
        for endpoint in replicas.iter().chain(&self.seeds) {
            if !endpoints.contains(endpoint) {
                endpoints.push(endpoint.clone());
            }
        }
        endpoints.into_iter().map(|endpoint| Connector::to(&self.options, endpoint)).collect()
    }

    /// The node that listens there, which becomes known by that.
    pub(super) fn at(&self, endpoint: Endpoint) -> (NodeId, Pool) {
        self.in_table(&mut self.write(), endpoint)
    }

    /// A node has said that another one holds the slot.
    pub(super) fn moved(&self, slot: u16, from: NodeId, to: Endpoint) {
        let (to, _) = self.at(to);
        let Some(holder) = self.holders.get(usize::from(slot)) else { return };
        // Somebody else may have heard of a later move.
        if holder.compare_exchange(from.0, to.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Takes over what a look has found.
    pub(super) fn install(&self, found: &[Held]) {
        let mut known = self.write();
        known.values_mut().for_each(|node| node.unlisted += 1);
        let mut holders = vec![NodeId::UNKNOWN; usize::from(SLOTS)];
        let mut replicas = Vec::new();
        for held in found {
            let (id, _) = self.in_table(&mut known, held.master.clone());
            if let Some(node) = known.get_mut(&id) {
                node.unlisted = 0;
            }
            holders[usize::from(held.first)..=usize::from(held.last)].fill(id);
            replicas.extend(held.replicas.iter().cloned());
        }
        known.retain(|_, node| node.unlisted < LOOKS_TO_FORGET);
        drop(known);
        replicas.sort();
        replicas.dedup();
        *self.replicas.write().unwrap_or_else(PoisonError::into_inner) = replicas;
        let mut is_other = false;
        for (holder, now) in self.holders.iter().zip(holders) {
            is_other |= holder.swap(now.0, Ordering::Relaxed) != now.0;
        }
        self.trouble.send_replace(None);
        if is_other {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// A look has found nothing.
    pub(super) fn found_nothing(&self, error: Error) {
        self.trouble.send_replace(Some(error));
    }

    /// The error of a command that nobody can be asked.
    pub(super) fn nobody(&self, why: &str) -> Error {
        Error::Unreachable { at: self.options.url.address(), why: why.to_owned() }
    }

    fn in_table(&self, known: &mut BTreeMap<NodeId, Node>, endpoint: Endpoint) -> (NodeId, Pool) {
        let found = known.iter().find(|(_, node)| node.endpoint == endpoint);
        if let Some((id, node)) = found {
            return (*id, node.pool.clone());
        }
        let id = NodeId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let connector = Connector::to(&self.options, endpoint.clone());
        let pool = Pool::counting(connector, &self.options, self.generation.clone());
        known.insert(id, Node { endpoint, pool: pool.clone(), unlisted: 0 });
        (id, pool)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<NodeId, Node>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<NodeId, Node>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
