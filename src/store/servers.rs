//! The servers behind one URL, whoever they are: one, or the nodes of a cluster. Who asks
//! names the key, and hears nothing of where that is.

use std::sync::LazyLock;

use redis::{Cmd, FromRedisValue, Pipeline, ScriptInvocation};
use tokio::sync::watch;

use super::{
    cluster::{Cluster, NodeId},
    connect::{ConnectOptions, Connector},
    durability::Durability,
    error::Error,
    pool::{Command, Pool},
    url::Place,
};

/// What tells of moves where nothing can move.
static NO_MOVES: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

/// All of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Servers {
    One(Pool),
    Cluster(Cluster),
}

impl Servers {
    /// Begins to connect, in the background. To be called in a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Tls`], when the files for TLS cannot be used.
    pub(super) fn new(options: &ConnectOptions) -> Result<Self, Error> {
        match &options.url.place {
            Place::Cluster(seeds) => Cluster::new(options, seeds.clone()).map(Self::Cluster),
            _ => Ok(Self::One(Pool::new(Connector::new(options)?, options))),
        }
    }

    /// Runs one command, which is about `key`.
    ///
    /// # Errors
    /// As Redis or the connection says.
    pub(super) async fn query<T: FromRedisValue>(&self, key: &str, command: &Cmd) -> Result<T, Error> {
        self.run(key, Command::Plain(command)).await
    }

    /// Runs commands, each of which is about its key; together where one server has all keys. The
    /// answers are in the order of the commands.
    ///
    /// # Errors
    /// As the connection says; what Redis says of one command is its own answer.
    pub(super) async fn query_all<T: FromRedisValue>(
        &self,
        commands: Vec<(String, Cmd)>,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        match self {
            Self::One(pool) => {
                let mut all = Pipeline::with_capacity(commands.len());
                for (_, command) in commands {
                    all.add_command(command);
                }
                pool.get().await?.query_all(&mut all).await
            }
            Self::Cluster(cluster) => Ok(cluster.run_all(&commands).await),
        }
    }

    /// Runs a script, all of whose keys are where `key` is.
    ///
    /// # Errors
    /// As Redis or the connection says.
    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        key: &str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        self.run(key, Command::Script(script)).await
    }

    /// The same, and waits until what it wrote is so safe.
    ///
    /// # Errors
    /// As Redis or the connection says; [`Error::NotDurable`], after which it is written.
    pub(super) async fn invoke_durably<T: FromRedisValue>(
        &self,
        key: &str,
        script: &ScriptInvocation<'_>,
        durability: Durability,
    ) -> Result<T, Error> {
        match durability {
            Durability::Memory => self.invoke(key, script).await,
            durability => self.run(key, Command::Durable(script, durability)).await,
        }
    }

    async fn run<T: FromRedisValue>(&self, key: &str, command: Command<'_>) -> Result<T, Error> {
        match self {
            Self::One(pool) => pool.get().await?.run(command).await,
            Self::Cluster(cluster) => cluster.run(key, command).await,
        }
    }

    /// The node that holds a key.
    pub(super) fn node_of(&self, key: &str) -> NodeId {
        match self {
            Self::One(_) => NodeId::ONLY,
            Self::Cluster(cluster) => cluster.node_of(key),
        }
    }

    /// The connections to every node, for what has to be asked of all.
    ///
    /// # Errors
    /// Why the nodes are not known.
    pub(super) async fn every(&self) -> Result<Vec<Pool>, Error> {
        match self {
            Self::One(pool) => Ok(vec![pool.clone()]),
            Self::Cluster(cluster) => cluster.every().await,
        }
    }

    /// The connections to one node.
    ///
    /// # Errors
    /// [`Error::Unreachable`], where it is none of them any more.
    pub(super) fn pool(&self, node: NodeId) -> Result<Pool, Error> {
        match self {
            Self::One(pool) => Ok(pool.clone()),
            Self::Cluster(cluster) => cluster.pool(node),
        }
    }

    /// The server that was asked about `key` is not the one that is wanted: its name may lead
    /// to another one by now.
    pub(super) fn retire(&self, key: &str) {
        if let Ok(pool) = self.pool(self.node_of(key)) {
            pool.retire_all();
        }
        if let Self::Cluster(cluster) = self {
            cluster.look();
        }
    }

    /// A connection outside of the pools failed.
    pub(super) fn failed(&self, error: &Error) {
        if let Self::Cluster(cluster) = self {
            cluster.doubt(error);
        }
    }

    /// A blocking read of `key` failed: the node may not hold it any more, and what cut off
    /// one connection may have cut off all.
    pub(super) fn read_failed(&self, key: &str, node: NodeId, error: &Error) {
        if let Self::Cluster(cluster) = self {
            cluster.refused(key, node, error);
        }
        if let (Error::Timeout { .. }, Ok(pool)) = (error, self.pool(node)) {
            pool.doubt_all();
        }
    }

    /// Counts the connections that were made.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        match self {
            Self::One(pool) => pool.generation(),
            Self::Cluster(cluster) => cluster.connections(),
        }
    }

    /// Counts how often keys were found to be elsewhere.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        match self {
            Self::One(_) => NO_MOVES.subscribe(),
            Self::Cluster(cluster) => cluster.moves(),
        }
    }
}
