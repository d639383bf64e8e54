//! ③ The only room that speaks Redis.
//!
//! A [`Store`] appends batches and reads them back; what it keeps, and under which
//! keys, is in `keys`. The two scripts, `append.lua` and `resolve.lua`, share
//! `timeline.lua`, which decides when a new epoch begins. Short commands go through
//! a `pool`; blocking reads have connections of their own (`blocking`). Which server is
//! asked is found by the key (`servers`): there may be one, the master that Sentinels
//! name, or the nodes of a cluster behind one URL.

mod administer;
mod advice;
mod append;
mod blocking;
mod claims;
mod cluster;
mod connect;
mod cursors;
mod durability;
mod entry;
mod error;
mod inputs;
mod keepalive;
mod keys;
mod memory;
mod pool;
mod read;
mod records;
mod reply;
mod resolve;
mod script;
mod sentinel;
mod server;
mod servers;
mod tls;
mod topics;
mod trim;
mod url;

use std::sync::{Arc, LazyLock};

use redis::Script;
use tokio::sync::watch;

pub use self::{
    administer::{Deleted, OwnRetention},
    append::{Append, Appended},
    blocking::{BlockingConnection, LIVENESS_MARGIN_MS},
    claims::{ClaimChange, Claimed, Holder},
    cluster::NodeId,
    connect::{ConnectOptions, Connector},
    cursors::{Commit, Committed, CursorClaim, DurableBounds, Held},
    durability::{Durability, DurabilityError},
    entry::{Entry, Item, MAX_PAYLOAD_BYTES},
    error::Error,
    inputs::{MAX_INPUT_BYTES, MAX_INPUTS, StoredInput},
    memory::{CalledIn, Loan, Memory, Room},
    pool::{Pool, Pooled},
    reply::{KeyEntries, RawEntry},
    resolve::Resolved,
    server::{PrivateServer, ServerError, ServerOptions},
    tls::TlsFiles,
    trim::Trimmed,
    url::{RedisUrl, UrlError},
};
use self::{keys::Keys, script::TopicScript, servers::Servers};
use crate::record::Topic;

static SERVES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("store/serves.lua")));

/// Where Redis is, how to reach it, and what the keys begin with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The connection.
    pub connect: ConnectOptions,
    /// What every key begins with; `logrelay` by default.
    pub prefix: String,
    /// How safe an append has to be before it counts as stored.
    pub durability: Durability,
}

impl Options {
    /// The defaults, for this server.
    pub fn new(url: RedisUrl) -> Self {
        Self {
            connect: ConnectOptions::new(url),
            prefix: "logrelay".to_owned(),
            durability: Durability::default(),
        }
    }
}

/// The topics in Redis. Cheap to clone; the clones share their connections.
#[derive(Debug, Clone)]
pub struct Store {
    servers: Servers,
    address: Arc<str>,
    keys: Keys,
    durability: Durability,
    memory: Memory,
}

impl Store {
    /// A store that connects when it is first used, and again whenever it has to.
    /// Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Tls`] when the files for TLS cannot be used.
    pub fn new(options: Options) -> Result<Self, Error> {
        let servers = Servers::new(&options.connect)?;
        let address = options.connect.url.address().into();
        let durability = options.durability;
        let memory = Memory::default();
        Ok(Self { servers, address, keys: Keys::new(options.prefix), durability, memory })
    }

    /// Where Redis is, without user and password: for messages.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Counts the batches that were read and are still held.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether topics are on several nodes, of which some may be away while others serve.
    pub fn is_cluster(&self) -> bool {
        matches!(self.servers, Servers::Cluster(_))
    }

    /// Increases with every connection that was made: whatever was known of the
    /// server before may be wrong since.
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.servers.connections()
    }

    /// Increases whenever topics moved to another node.
    pub fn moves(&self) -> watch::Receiver<u64> {
        self.servers.moves()
    }

    /// The node that holds a topic, as far as is known.
    pub fn node_of(&self, topic: &Topic) -> NodeId {
        self.servers.node_of(&self.keys.lines(topic))
    }

    /// A connection for blocking reads of the topics of one node; in a cluster of one topic
    /// at a time.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made.
    pub async fn blocking(&self, node: NodeId) -> Result<BlockingConnection, Error> {
        let pool = self.servers.pool(node)?;
        BlockingConnection::open(pool.connector()).await.inspect_err(|error| self.servers.failed(error))
    }

    /// Whether another connection is to be opened in its place: the server of this one may
    /// not be the master any more.
    pub fn is_outdated(&self, node: NodeId, connection: &BlockingConnection) -> bool {
        self.servers.pool(node).map_or(true, |pool| pool.has_retired(connection.opened()))
    }

    /// Ends the blocking read of that connection now, as if its time had passed.
    ///
    /// # Errors
    /// [`Error`] when the server did not answer.
    pub async fn unblock(&self, node: NodeId, connection: i64) -> Result<(), Error> {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(connection);
        self.servers.pool(node)?.get().await?.query::<i64>(&command).await.map(drop)
    }

    /// Asks the server for something that it has to look up: an answer means that
    /// it serves. A replica does not: reads go to masters.
    ///
    /// # Errors
    /// [`Error`] when it does not answer, or answers that it cannot.
    pub async fn probe(&self) -> Result<(), Error> {
        let key = self.keys.topics();
        let script = SERVES.key(&key);
        self.run_script(&TopicScript { key, script }).await.map(drop)
    }

    fn corrupt(&self, key: &str, why: impl std::fmt::Display) -> Error {
        Error::Corrupt { at: self.address().to_owned(), why: format!("{key}: {why}") }
    }
}
