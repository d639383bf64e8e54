//! Opens one connection to Redis, with the settings that every connection has.
//! Keeps none.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, PushInfo, PushKind, RedisError,
    aio::{MultiplexedConnection, SendError},
};
use tokio::time::sleep;

use super::{
    error::Error,
    sentinel::Sentinels,
    tls::TlsFiles,
    url::{Endpoint, Place, RedisUrl},
};

/// Silence on a TCP connection after which the kernel probes the peer, and the time
/// between probes.
pub(super) const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// Time between two questions to the Sentinels whether the master is still the same.
const MASTER_INTERVAL: Duration = Duration::from_secs(1);

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Where it is.
    pub url: RedisUrl,
    /// What TLS needs, where the URL has TLS.
    pub tls: TlsFiles,
    /// Longest time to open a connection, and to wait for a free one of the pool. 5000.
    pub connect_timeout_ms: u64,
    /// Longest time to wait for the answer to a command that does not block. 5000.
    pub response_timeout_ms: u64,
    /// Most connections of the pool; it opens two and then what is used at once. 16.
    pub pool_size: u32,
    /// A pooled connection is tested by PING when it was silent for this long, or for
    /// a third of the server's own `timeout` where that is shorter. 10,000.
    pub keepalive_ms: u64,
}

impl ConnectOptions {
    /// The defaults, for the server at `url`.
    pub fn new(url: RedisUrl) -> Self {
        Self {
            url,
            tls: TlsFiles::default(),
            connect_timeout_ms: 5_000,
            response_timeout_ms: 5_000,
            pool_size: 16,
            keepalive_ms: 10_000,
        }
    }
}

/// Opens connections to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    options: Arc<ConnectOptions>,
    target: Target,
    at: String,
}

/// Whom to connect to.
#[derive(Debug, Clone)]
enum Target {
    Server(Endpoint),
    Master(Arc<Sentinels>),
}

impl Connector {
    /// A connector to the server of `options`, of a cluster to its first node; nothing is
    /// opened yet.
    ///
    /// # Errors
    /// [`Error::Tls`], when the files for TLS cannot be used.
    pub fn new(options: &ConnectOptions) -> Result<Self, Error> {
        options.tls.check(&options.url)?;
        let target = match options.url.place.clone() {
            Place::One(endpoint) => Target::Server(endpoint),
            Place::Sentinel { servers, master } => Target::Master(Arc::new(Sentinels::new(servers, master))),
            Place::Cluster(nodes) => return Ok(Self::to(options, nodes[0].clone())),
        };
        Ok(Self { at: options.url.address(), options: Arc::new(options.clone()), target })
    }

    /// A connector to one node of a cluster.
    pub(super) fn to(options: &ConnectOptions, node: Endpoint) -> Self {
        Self { at: node.to_string(), options: Arc::new(options.clone()), target: Target::Server(node) }
    }

    /// The host of the one server that it connects to; empty where there is none.
    pub(super) fn host(&self) -> &str {
        match &self.target {
            Target::Server(Endpoint::Tcp { host, .. }) => host,
            Target::Server(Endpoint::Unix(_)) | Target::Master(_) => "",
        }
    }

    /// Where the server is, without user or password.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Resolves when the Sentinels name another master than `known`, and puts that there.
    pub(super) async fn master_moved(&self, known: &mut Option<Endpoint>) {
        let Target::Master(sentinels) = &self.target else { return std::future::pending().await };
        loop {
            sleep(MASTER_INTERVAL).await;
            match sentinels.ask(&self.options).await {
                Ok(master) if known.as_ref() == Some(&master) => {}
                Ok(master) => {
                    if known.replace(master).is_some() {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "no Sentinel says who the master is"),
            }
        }
    }

    pub(super) fn response_timeout_ms(&self) -> u64 {
        self.options.response_timeout_ms
    }

    pub(super) fn connect_timeout_ms(&self) -> u64 {
        self.options.connect_timeout_ms
    }

    /// Opens a connection that Redis lists as `logrelay-<role>`.
    pub(super) async fn open(&self, role: &str) -> Result<MultiplexedConnection, Error> {
        self.open_with(role, self.config()).await
    }

    /// The same; `on_disconnect` is called, from the connection's own task, once the
    /// connection has ended.
    pub(super) async fn open_watched(
        &self,
        role: &str,
        on_disconnect: impl Fn() + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, Error> {
        let on_push = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                on_disconnect();
            }
            Ok::<(), SendError>(())
        };
        self.open_with(role, self.config().set_push_sender(on_push)).await
    }

    /// The error of a command on one of these connections.
    pub(super) fn error(&self, error: &RedisError) -> Error {
        Error::of(&self.at, self.options.response_timeout_ms, error)
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_millis(self.options.connect_timeout_ms)))
            .set_response_timeout(Some(Duration::from_millis(self.options.response_timeout_ms)))
    }

    async fn open_with(
        &self,
        role: &str,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Error> {
        let sentinels = match &self.target {
            Target::Server(endpoint) => return self.connect(endpoint, role, config).await,
            Target::Master(sentinels) => sentinels,
        };
        let master = sentinels.ask(&self.options).await?;
        let opened = match self.connect(&master, role, config).await {
            Ok(connection) => self.if_master(connection).await,
            Err(error) => Err(error),
        };
        opened.inspect_err(|_| sentinels.doubt())
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        role: &str,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Error> {
        let no_connection = |error| Error::of(&self.at, self.options.connect_timeout_ms, &error);
        let info = self.options.url.connection_info(endpoint).map_err(no_connection)?;
        let client = client(&self.options, info)?;
        let mut connection =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(no_connection)?;
        let name = format!("logrelay-{role}");
        let named: Result<(), RedisError> =
            redis::cmd("CLIENT").arg("SETNAME").arg(name).query_async(&mut connection).await;
        match named {
            // A user without the right to do this can do all the rest.
            Err(error) if error.code().is_none() => Err(self.error(&error)),
            _ => Ok(connection),
        }
    }

    /// The connection, where it leads to a master: Sentinels may be behind.
    async fn if_master(&self, mut connection: MultiplexedConnection) -> Result<MultiplexedConnection, Error> {
        let info: Result<String, _> =
            redis::cmd("INFO").arg("replication").query_async(&mut connection).await;
        let info = info.map_err(|error| self.error(&error))?;
        match info.lines().find_map(|line| line.strip_prefix("role:")) {
            Some("master") => Ok(connection),
            role => Err(Error::NotMaster { at: self.at.clone(), role: role.unwrap_or_default().to_owned() }),
        }
    }
}

/// A client of one server.
pub(super) fn client(options: &ConnectOptions, info: ConnectionInfo) -> Result<Client, Error> {
    let client = if options.url.is_tls() {
        Client::build_with_tls(info, options.tls.read()?)
    } else {
        Client::open(info)
    };
    client.map_err(|error| Error::of(&options.url.address(), options.connect_timeout_ms, &error))
}
