//! Several nodes, each with a pool of its own, and which of them holds a slot.
//!
//! A command goes to the node that is believed to hold its key. A node that says otherwise
//! is believed at once; where a node cannot be reached, the others are asked (`look`).

mod look;
mod nodes;
mod redirect;
mod slots;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{Cmd, FromRedisValue, Pipeline};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

pub use self::nodes::NodeId;
use self::{
    nodes::Nodes,
    redirect::{Redirect, calls_for_a_look},
    slots::slot_of,
};
use super::{
    connect::ConnectOptions,
    error::Error,
    pool::{Command, Pool},
    url::Endpoint,
};

/// How often a command is sent to another node before its caller hears of it.
const MAX_REDIRECTS: u32 = 16;
/// How long a command waits for a slot whose keys move, each time.
const MOVING: Duration = Duration::from_millis(20);
/// How long a free connection may take before it is asked whether the slot is elsewhere.
const PATIENCE: Duration = Duration::from_millis(50);

/// A cluster. Cheap to clone; its tasks end with the last clone.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    nodes: Arc<Nodes>,
    _keeper: Arc<JoinSet<()>>,
}

impl Cluster {
    /// Begins to look for the nodes, in the background: none need be there yet. To be called
    /// in a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Tls`], when the files for TLS cannot be used.
    pub(super) fn new(options: &ConnectOptions, seeds: Vec<Endpoint>) -> Result<Self, Error> {
        options.tls.check(&options.url)?;
        let nodes = Arc::new(Nodes::new(options.clone(), seeds));
        let mut keeper = JoinSet::new();
        keeper.spawn(look::keep(Arc::clone(&nodes)));
        Ok(Self { nodes, _keeper: Arc::new(keeper) })
    }

    /// Increases with every connection to any node.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        self.nodes.generation()
    }

    /// Increases whenever a slot moved.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.nodes.version()
    }

    /// The node that is believed to hold a key.
    pub(super) fn node_of(&self, key: &str) -> NodeId {
        self.nodes.holder(slot_of(key))
    }

    /// The connections to every node that holds slots.
    ///
    /// # Errors
    /// Why they are not known.
    pub(super) async fn every(&self) -> Result<Vec<Pool>, Error> {
        self.holder(0).await?;
        Ok(self.nodes.holders())
    }

    /// Has the nodes asked who holds what.
    pub(super) fn look(&self) {
        self.nodes.look();
    }

    /// The pool of a node.
    ///
    /// # Errors
    /// [`Error::Unreachable`], where it is none of the cluster any more.
    pub(super) fn pool(&self, node: NodeId) -> Result<Pool, Error> {
        self.nodes.pool(node).ok_or_else(|| self.nodes.nobody("a node is gone"))
    }

    /// Runs a command on the node that holds `key`, wherever that is by now.
    ///
    /// # Errors
    /// As Redis or the connection says.
    pub(super) async fn run<T: FromRedisValue>(&self, key: &str, command: Command<'_>) -> Result<T, Error> {
        let slot = slot_of(key);
        let (mut asked, mut last) = (None, None);
        for _ in 0..MAX_REDIRECTS {
            let (node, pool, answer) = if let Some((node, pool)) = asked.take() {
                let answer = ask(&pool, command).await;
                (node, pool, answer)
            } else {
                let (node, pool) = self.holder(slot).await?;
                let Some(answer) = self.send(slot, node, &pool, command).await else { continue };
                (node, pool, answer)
            };
            let error = match answer {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            self.doubt(&error);
            match Redirect::of(&error, pool.connector().host()) {
                Some(Redirect::Moved(to)) => self.nodes.moved(slot, node, to),
                Some(Redirect::Ask(to)) => asked = Some(self.nodes.at(to)),
                Some(Redirect::Later) => sleep(MOVING).await,
                None => return Err(error),
            }
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| self.nodes.nobody("a slot moves all the time")))
    }

    /// Runs commands, each of which is about its key: together those that are for one node. The
    /// answers are in the order of the commands.
    pub(super) async fn run_all<T: FromRedisValue>(
        &self,
        commands: &[(String, Cmd)],
    ) -> Vec<Result<T, Error>> {
        let mut of_nodes: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (index, (key, _)) in commands.iter().enumerate() {
            of_nodes.entry(self.node_of(key)).or_default().push(index);
        }
        let asked = of_nodes.into_iter().map(async |(node, indexes)| {
            let mut all = Pipeline::with_capacity(indexes.len());
            for &index in &indexes {
                all.add_command(commands[index].1.clone());
            }
            let answers = self.run_on(node, &mut all, indexes.len()).await;
            indexes.into_iter().zip(answers).collect::<Vec<_>>()
        });
        let mut answers: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(index, _)| *index);
        let settled = answers.into_iter().map(async |(index, answer)| match answer {
            Some(answer) if !answer.as_ref().is_err_and(Error::is_elsewhere) => answer,
            // Alone, it finds out where that is.
            _ => self.run(&commands[index].0, Command::Plain(&commands[index].1)).await,
        });
        join_all(settled).await
    }

    /// Runs `count` commands on one node: none for each where it is not known which one that is.
    /// Where it cannot be asked at all, that is the answer to each.
    async fn run_on<T: FromRedisValue>(
        &self,
        node: NodeId,
        commands: &mut Pipeline,
        count: usize,
    ) -> Vec<Option<Result<T, Error>>> {
        let Some(pool) = self.nodes.pool(node) else { return (0..count).map(|_| None).collect() };
        let answers = async { pool.get().await?.query_all(commands).await };
        match answers.await {
            Ok(answers) => answers.into_iter().map(Some).collect(),
            Err(error) => {
                self.doubt(&error);
                (0..count).map(|_| Some(Err(error.clone()))).collect()
            }
        }
    }

    /// A blocking read was refused by the node that it was sent to: where its slot is may be
    /// known from that.
    pub(super) fn refused(&self, key: &str, node: NodeId, error: &Error) {
        let Some(pool) = self.nodes.pool(node) else { return };
        match Redirect::of(error, pool.connector().host()) {
            Some(Redirect::Moved(to)) => self.nodes.moved(slot_of(key), node, to),
            _ => self.doubt(error),
        }
    }

    /// An error may mean that other nodes hold the slots by now.
    pub(super) fn doubt(&self, error: &Error) {
        if calls_for_a_look(error) {
            tracing::debug!(%error, "the cluster is looked at again");
            self.nodes.look();
        }
    }

    /// Who holds a slot; waits for that to be known.
    async fn holder(&self, slot: u16) -> Result<(NodeId, Pool), Error> {
        let known = async {
            let mut version = self.nodes.version();
            loop {
                version.borrow_and_update();
                let node = self.nodes.holder(slot);
                if let Some(pool) = self.nodes.pool(node) {
                    return Ok((node, pool));
                }
                if let Some(error) = self.nodes.trouble().filter(Error::needs_an_operator) {
                    return Err(error);
                }
                self.nodes.look();
                tokio::select! {
                    changed = version.changed() => if changed.is_err() { std::future::pending().await },
                    () = sleep(PATIENCE) => {}
                }
            }
        };
        match timeout(self.nodes.patience(), known).await {
            Ok(found) => found,
            Err(_) => Err(self.nodes.trouble().unwrap_or_else(|| self.nodes.nobody("nobody holds a slot"))),
        }
    }

    /// The answer of a node; none when another one holds the slot before it has a free
    /// connection.
    async fn send<T: FromRedisValue>(
        &self,
        slot: u16,
        node: NodeId,
        pool: &Pool,
        command: Command<'_>,
    ) -> Option<Result<T, Error>> {
        let got = tokio::select! {
            biased;
            got = pool.get() => got,
            () = self.moved_from(slot, node) => return None,
        };
        Some(match got {
            Ok(mut connection) => connection.run(command).await,
            Err(error) => Err(error),
        })
    }

    async fn moved_from(&self, slot: u16, node: NodeId) {
        // A pool that is in full use is no reason to look.
        sleep(PATIENCE).await;
        let mut version = self.nodes.version();
        loop {
            version.borrow_and_update();
            if self.nodes.holder(slot) != node {
                return;
            }
            self.nodes.look();
            tokio::select! {
                changed = version.changed() => if changed.is_err() { std::future::pending().await },
                () = sleep(PATIENCE * 4) => {}
            }
        }
    }
}

/// Runs a command for a key that has moved, though its slot has not yet.
async fn ask<T: FromRedisValue>(pool: &Pool, command: Command<'_>) -> Result<T, Error> {
    let mut connection = pool.get().await?;
    connection.query::<()>(&redis::cmd("ASKING")).await?;
    connection.run(command).await
}
