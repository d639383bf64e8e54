//! The connections for short commands: kept alive while idle, replaced when they
//! break, whoever is or is not asking. Blocking reads have their own.

mod keeper;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bb8::{ManageConnection, RunError};
use bb8_redis::RedisConnectionManager;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, ScriptInvocation, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    connect::{ConnectOptions, Connector},
    durability::Durability,
    error::Error,
    keepalive::{self, Health},
};

/// Connections that the pool opens before anybody asks.
const FIRST_CONNECTIONS: u32 = 2;

/// Connections that are younger are not retired: many callers learn the same thing.
const LEAST_AGE_MS: u64 = 1_000;

/// The pool of connections to one server. Cheap to clone; its tasks end with the
/// last clone.
#[derive(Debug, Clone)]
pub struct Pool {
    connections: bb8::Pool<Manager>,
    connector: Connector,
    state: Arc<State>,
    _keeper: Arc<JoinSet<()>>,
}

/// A connection of the pool, for one caller at a time. A call that is dropped before
/// its answer came takes the connection out of the pool.
#[derive(Debug)]
pub struct Pooled<'a> {
    connection: bb8::PooledConnection<'a, Manager>,
    connector: &'a Connector,
}

/// What a connection runs; it may have to be run again, elsewhere.
#[derive(Clone, Copy)]
pub(super) enum Command<'a> {
    Plain(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
    Durable(&'a ScriptInvocation<'a>, Durability),
}

#[derive(Debug)]
struct State {
    /// Connections opened so far.
    generation: watch::Sender<u64>,
    /// Why the last try to connect failed; none when it worked.
    trouble: watch::Sender<Option<Error>>,
    /// Woken when a connection broke or was dropped.
    lost: Arc<Notify>,
    began: Instant,
    /// Connections that were opened before are replaced, in milliseconds after `began`.
    retired_ms: AtomicU64,
    /// Connections that were not heard since then are replaced, in milliseconds after `began`.
    doubted_ms: AtomicU64,
}

impl State {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn doubt_all(&self) {
        self.doubted_ms.fetch_max(self.now_ms(), Ordering::Relaxed);
        self.lost.notify_one();
    }

    /// Has the connections replaced that were opened more than `ago_ms` ago.
    fn retire(&self, ago_ms: u64) {
        self.retired_ms.fetch_max(self.now_ms().saturating_sub(ago_ms), Ordering::Relaxed);
        self.lost.notify_one();
    }
}

impl Pool {
    /// Begins to open connections, in the background: Redis need not be there yet.
    /// To be called in a tokio runtime.
    pub fn new(connector: Connector, options: &ConnectOptions) -> Self {
        Self::counting(connector, options, watch::Sender::new(0))
    }

    /// The same, for one of several pools whose connections are counted together.
    pub(super) fn counting(
        connector: Connector,
        options: &ConnectOptions,
        generation: watch::Sender<u64>,
    ) -> Self {
        let size = NonZeroU32::new(options.pool_size).unwrap_or(NonZeroU32::MIN).get();
        let state = Arc::new(State {
            generation,
            trouble: watch::Sender::new(None),
            lost: Arc::new(Notify::new()),
            began: Instant::now(),
            retired_ms: AtomicU64::new(0),
            doubted_ms: AtomicU64::new(0),
        });
        let manager = Manager {
            connector: connector.clone(),
            state: Arc::clone(&state),
            keepalive_ms: options.keepalive_ms,
        };
        let connections = bb8::Pool::builder()
            .max_size(size)
            .connection_timeout(Duration::from_millis(options.connect_timeout_ms.max(1)))
            // What breaks is replaced by the keeper; what does not break stays.
            .retry_connection(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .build_unchecked(manager);
        let mut tasks = JoinSet::new();
        let first = FIRST_CONNECTIONS.min(size);
        tasks.spawn(keeper::keep(connections.clone(), connector.clone(), Arc::clone(&state), first));
        Self { connections, connector, state, _keeper: Arc::new(tasks) }
    }

    /// A connection, at once when one is idle. Otherwise it is opened or waited for, no
    /// longer than the connect timeout.
    ///
    /// # Errors
    /// Why no connection could be made: at once when only an operator can help, after
    /// the connect timeout in all other cases.
    pub async fn get(&self) -> Result<Pooled<'_>, Error> {
        let got = tokio::select! {
            biased;
            got = self.connections.get() => got,
            error = self.hopeless() => return Err(error),
        };
        match got {
            Ok(connection) => Ok(Pooled { connection, connector: &self.connector }),
            Err(RunError::User(error)) => Err(error),
            Err(RunError::TimedOut) => {
                let timeout = || Error::Timeout {
                    at: self.connector.at().to_owned(),
                    after_ms: self.connector.connect_timeout_ms(),
                };
                Err(self.state.trouble.borrow().clone().unwrap_or_else(timeout))
            }
        }
    }

    /// The number of connections opened so far: who has to look again at what Redis
    /// knows does so whenever it grows.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.state.generation.subscribe()
    }

    /// Has idle connections replaced: another one was silent for too long, and what cut
    /// it off may have cut off all. Each would cost its next caller as much time.
    pub(super) fn doubt_all(&self) {
        self.state.doubt_all();
    }

    /// Has all connections replaced, but for the youngest: the server is not the one
    /// that is wanted.
    pub(super) fn retire_all(&self) {
        self.state.retire(LEAST_AGE_MS);
    }

    /// Whether a connection that was opened at that time is to be replaced, as those of the
    /// pool are.
    pub(super) fn has_retired(&self, opened: Instant) -> bool {
        let retired = Duration::from_millis(self.state.retired_ms.load(Ordering::Relaxed));
        opened < self.state.began + retired
    }

    /// What opens its connections.
    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Where the server is, without user or password.
    pub fn at(&self) -> &str {
        self.connector.at()
    }

    /// Resolves once there is no connection, and waiting for one does not help.
    async fn hopeless(&self) -> Error {
        let mut trouble = self.state.trouble.subscribe();
        loop {
            if trouble.changed().await.is_err() {
                return std::future::pending().await;
            }
            let error = trouble.borrow_and_update().clone();
            if let Some(error) = error.filter(Error::needs_an_operator)
                && self.connections.state().connections == 0
            {
                return error;
            }
        }
    }
}

impl Pooled<'_> {
    /// Runs a command of either kind.
    ///
    /// # Errors
    /// As Redis or the connection says.
    pub(super) async fn run<T: FromRedisValue>(&mut self, command: Command<'_>) -> Result<T, Error> {
        match command {
            Command::Plain(command) => self.query(command).await,
            Command::Script(script) => self.invoke(script).await,
            Command::Durable(script, durability) => {
                let answer = self.invoke_durably(script, durability).await?;
                let read = T::from_redis_value(answer).map_err(RedisError::from);
                read.map_err(|error| self.connector.error(&error))
            }
        }
    }

    /// Where its server is.
    pub(super) fn at(&self) -> &str {
        self.connector.at()
    }

    /// How long a command may wait on purpose, so that its answer comes in time.
    pub(super) fn patience_ms(&self) -> u64 {
        self.connector.response_timeout_ms() / 2
    }

    /// Runs one command.
    ///
    /// # Errors
    /// As Redis or the connection says.
    pub async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Error> {
        self.connection.health.sent();
        let answer = command.query_async(&mut self.connection.redis).await;
        self.settle(answer)
    }

    /// Runs commands with one question and one answer; each has a result of its own.
    ///
    /// # Errors
    /// As the connection says, or Redis where it refuses all of them.
    pub async fn query_all<T: FromRedisValue>(
        &mut self,
        commands: &mut Pipeline,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        self.connection.health.sent();
        let answers = commands.ignore_errors().query_async(&mut self.connection.redis).await;
        let answers: Vec<Result<T, RedisError>> = self.settle(answers)?;
        Ok(answers.into_iter().map(|answer| answer.map_err(|error| self.connector.error(&error))).collect())
    }

    /// Runs a script by its hash, and uploads it first where Redis does not have it.
    ///
    /// # Errors
    /// As Redis or the connection says.
    pub async fn invoke<T: FromRedisValue>(&mut self, script: &ScriptInvocation<'_>) -> Result<T, Error> {
        self.connection.health.sent();
        let answer = script.invoke_async(&mut self.connection.redis).await;
        self.settle(answer)
    }

    fn settle<T>(&self, answer: Result<T, RedisError>) -> Result<T, Error> {
        let health = &self.connection.health;
        if answer.as_ref().is_err_and(RedisError::is_timeout) {
            self.connection.state.doubt_all();
        }
        let is_cut_off = |error: &RedisError| error.is_io_error() || error.is_unrecoverable_error();
        // After a timeout the answer may still come, and belong to nobody.
        let mut is_broken = answer.as_ref().is_err_and(is_cut_off);
        let answer = answer.map_err(|error| self.connector.error(&error));
        is_broken |= answer.as_ref().is_err_and(Error::ends_the_connection);
        if is_broken {
            health.mark_broken();
        } else {
            health.answered();
        }
        answer
    }
}

/// How bb8 makes and judges connections.
#[derive(Debug)]
struct Manager {
    connector: Connector,
    state: Arc<State>,
    keepalive_ms: u64,
}

/// What bb8 keeps.
#[derive(Debug)]
struct Connection {
    redis: MultiplexedConnection,
    health: Arc<Health>,
    state: Arc<State>,
    opened_ms: u64,
    _keepalive: JoinSet<()>,
}

impl Connection {
    fn is_fit(&self) -> bool {
        let retired_ms = self.state.retired_ms.load(Ordering::Relaxed);
        let doubted = Duration::from_millis(self.state.doubted_ms.load(Ordering::Relaxed));
        self.health.is_fit()
            && self.opened_ms >= retired_ms
            && self.health.heard_since(self.state.began + doubted)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.lost.notify_one();
    }
}

impl Manager {
    async fn open(&self) -> Result<Connection, Error> {
        let opened_ms = self.state.now_ms();
        let health = Arc::new(Health::new(Arc::clone(&self.state.lost)));
        let watched = Arc::clone(&health);
        let mut redis = self.connector.open_watched("pool", move || watched.mark_broken()).await?;
        let interval = keepalive::interval(self.keepalive_ms, server_timeout_s(&mut redis).await);
        // It is given the connection to test, and opens none.
        let pinger =
            RedisConnectionManager::new("redis://localhost").map_err(|error| self.connector.error(&error))?;
        let mut keepalive = JoinSet::new();
        keepalive.spawn(keepalive::keep_alive(Arc::clone(&health), redis.clone(), pinger, interval));
        Ok(Connection { redis, health, state: Arc::clone(&self.state), opened_ms, _keepalive: keepalive })
    }
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        let opened = self.open().await;
        self.state.trouble.send_replace(opened.as_ref().err().cloned());
        if opened.is_ok() {
            self.state.generation.send_modify(|generation| *generation += 1);
        }
        opened
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Error> {
        if connection.is_fit() {
            return Ok(());
        }
        Err(Error::Unreachable { at: self.connector.at().to_owned(), why: "the connection broke".to_owned() })
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_fit()
    }
}

/// The seconds after which the server closes an idle connection; 0 where it never does
/// or does not say.
async fn server_timeout_s(redis: &mut MultiplexedConnection) -> u64 {
    let answer: Result<(String, u64), _> =
        redis::cmd("CONFIG").arg("GET").arg("timeout").query_async(redis).await;
    answer.map_or(0, |(_, seconds)| seconds)
}
