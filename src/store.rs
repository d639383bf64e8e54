//! ③ The only room that speaks Redis.
//!
//! A [`Store`] appends batches and reads them back; what it keeps, and under which
//! keys, is in `keys`. The two scripts, `append.lua` and `resolve.lua`, share
//! `timeline.lua`, which decides when a new epoch begins. Short commands go through
//! a `pool`; blocking reads have connections of their own (`blocking`). Whom to
//! ask is decided by node, so that several nodes can stand behind one URL.

mod administer;
mod advice;
mod append;
mod blocking;
mod claims;
mod connect;
mod cursors;
mod entry;
mod error;
mod inputs;
mod keepalive;
mod keys;
mod pool;
mod read;
mod records;
mod reply;
mod resolve;
mod script;
mod sentinel;
mod server;
mod tls;
mod topics;
mod trim;
mod url;

use tokio::sync::watch;

use self::keys::Keys;
pub use self::{
    administer::{Deleted, OwnRetention},
    append::{Append, Appended},
    blocking::{BlockingConnection, LIVENESS_MARGIN_MS},
    claims::{ClaimChange, Claimed, Holder},
    connect::{ConnectOptions, Connector},
    cursors::{Commit, Committed, CursorClaim, DurableBounds, Held},
    entry::{Entry, Item, MAX_PAYLOAD_BYTES},
    error::Error,
    inputs::{MAX_INPUT_BYTES, MAX_INPUTS, StoredInput},
    pool::{Pool, Pooled},
    reply::{KeyEntries, RawEntry},
    resolve::Resolved,
    server::{PrivateServer, ServerError, ServerOptions},
    tls::TlsFiles,
    trim::Trimmed,
    url::{RedisUrl, UrlError},
};

/// Where Redis is, how to reach it, and what the keys begin with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The connection.
    pub connect: ConnectOptions,
    /// What every key begins with; `logrelay` by default.
    pub prefix: String,
}

impl Options {
    /// The defaults, for this server.
    pub fn new(url: RedisUrl) -> Self {
        Self { connect: ConnectOptions::new(url), prefix: "logrelay".to_owned() }
    }
}

/// A Redis node among those behind one URL. Topics of one node can be read by one
/// blocking connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

/// The topics in Redis. Cheap to clone; the clones share their connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    connector: Connector,
    keys: Keys,
}

impl Store {
    /// A store that connects when it is first used, and again whenever it has to.
    /// Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Tls`] when the files for TLS cannot be used.
    pub fn new(options: Options) -> Result<Self, Error> {
        let connector = Connector::new(&options.connect)?;
        let pool = Pool::new(connector.clone(), &options.connect);
        Ok(Self { pool, connector, keys: Keys::new(options.prefix) })
    }

    /// Where Redis is, without user and password: for messages.
    pub fn address(&self) -> &str {
        self.connector.at()
    }

    /// Increases with every connection that was made: whatever was known of the
    /// server before may be wrong since.
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.pool.generation()
    }

    /// The node that holds a topic.
    pub fn node_of(&self, _topic: &crate::record::Topic) -> NodeId {
        NodeId(0)
    }

    /// A connection for blocking reads of the topics of one node.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made.
    pub async fn blocking(&self, _node: NodeId) -> Result<BlockingConnection, Error> {
        BlockingConnection::open(&self.connector).await
    }

    /// Whether another connection is to be opened in its place: the server of this one may
    /// not be the master any more.
    pub fn is_outdated(&self, connection: &BlockingConnection) -> bool {
        self.pool.has_retired(connection.opened())
    }

    /// Ends the blocking read of that connection now, as if its time had passed.
    ///
    /// # Errors
    /// [`Error`] when the server did not answer.
    pub async fn unblock(&self, _node: NodeId, connection: i64) -> Result<(), Error> {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(connection);
        self.pool.get().await?.query::<i64>(&command).await.map(drop)
    }

    /// Asks the server for something that it has to look up: an answer means that
    /// it serves.
    ///
    /// # Errors
    /// [`Error`] when it does not answer, or answers that it cannot.
    pub async fn probe(&self) -> Result<(), Error> {
        let mut command = redis::cmd("EXISTS");
        command.arg(self.keys.topics());
        self.pool.get().await?.query::<i64>(&command).await.map(drop)
    }

    fn corrupt(&self, key: &str, why: impl std::fmt::Display) -> Error {
        Error::Corrupt { at: self.address().to_owned(), why: format!("{key}: {why}") }
    }
}
