//! A Redis of its own for every test, which can be killed, stopped, restarted and
//! replaced by an older copy of itself.
#![allow(dead_code, reason = "every suite takes what it needs")]

pub(crate) mod authority;
pub(crate) mod caller;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod door;
pub(crate) mod http2;
pub(crate) mod relay;
pub(crate) mod sentinel;
pub(crate) mod writer;

use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use logrelay::store::{
    self, ConnectOptions, Connector, Durability, Pool, PrivateServer, RedisUrl, ServerOptions, Store,
};
use redis::{AsyncConnectionConfig, FromRedisValue, RedisResult, aio::MultiplexedConnection};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Longest that a condition may take to come true, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything is written before it is answered, and survives a kill. With `everysec`,
/// Redis puts off writes for up to two seconds while an fsync is under way.
const AT_ONCE: [&str; 2] = ["--appendfsync", "no"];

/// A private Redis with its data in a temporary folder, gone at the end of the test.
pub(crate) struct TestRedis {
    folder: TempDir,
    program: Option<PathBuf>,
    args: Vec<String>,
    port: Option<u16>,
    server: Option<PrivateServer>,
}

impl TestRedis {
    /// A server with an append-only file, behind a unix socket.
    pub(crate) async fn start() -> Self {
        Self::with_args(&[]).await
    }

    /// The same with more arguments, such as `["--timeout", "2"]`.
    pub(crate) async fn with_args(args: &[&str]) -> Self {
        Self::with_program(program(), args).await
    }

    /// The same, of another program than the usual one.
    pub(crate) async fn with_program(program: Option<PathBuf>, args: &[&str]) -> Self {
        let args = [&AT_ONCE, args].concat().iter().map(ToString::to_string).collect();
        let folder = TempDir::new().unwrap();
        let mut redis = Self { folder, program, args, port: None, server: None };
        redis.start_again().await;
        redis
    }

    /// The same on a free TCP port of 127.0.0.1.
    pub(crate) async fn with_port(args: &[&str]) -> Self {
        let port = free_port();
        let text = port.to_string();
        let mut redis = Self::with_args(&[args, &["--bind", "127.0.0.1", "--port", &text]].concat()).await;
        redis.port = Some(port);
        redis
    }

    /// Where it is: the TCP port where it has one, else the socket.
    pub(crate) fn url(&self) -> RedisUrl {
        match self.port {
            Some(port) => format!("redis://127.0.0.1:{port}").parse().unwrap(),
            None => self.server().url(),
        }
    }

    /// The unix socket behind which it is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// The TCP port of a server that was started with one.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap()
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions::new(self.url())
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(&self.options()).unwrap()
    }

    pub(crate) fn pool(&self) -> Pool {
        Pool::new(self.connector(), &self.options())
    }

    pub(crate) fn store(&self) -> Store {
        self.store_with(Durability::default())
    }

    pub(crate) fn store_with(&self, durability: Durability) -> Store {
        let options = store::Options { connect: self.options(), ..store::Options::new(self.url()) };
        Store::new(store::Options { durability, ..options }).unwrap()
    }

    /// A connection that is none of logrelay's.
    pub(crate) async fn control(&self) -> Control {
        self.connect().await.unwrap()
    }

    /// The same; none where nobody answers.
    pub(crate) async fn try_control(&self) -> Option<Control> {
        self.connect().await.ok()
    }

    async fn connect(&self) -> RedisResult<Control> {
        let client = redis::Client::open(format!("redis+unix://{}", self.socket().display()))?;
        // A busy machine is no reason to fail.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        Ok(Control(client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    /// Whether it says that it is a master.
    pub(crate) async fn is_master(&self) -> bool {
        self.replication().await.contains("role:master")
    }

    /// What it says of its part in replication; nothing where it does not answer, as who changes
    /// its role closes all connections to it.
    pub(crate) async fn replication(&self) -> String {
        let Some(mut control) = self.try_control().await else { return String::new() };
        let asked = redis::cmd("INFO").arg("replication").query_async(&mut control.0).await;
        asked.unwrap_or_default()
    }

    /// Whether it is a replica that has what its master has now.
    pub(crate) async fn follows(&self, master: &Self) -> bool {
        let offset = |info: &str| -> Option<u64> {
            info.lines().find_map(|line| line.strip_prefix("master_repl_offset:")?.trim().parse().ok())
        };
        let has = offset(&master.replication().await);
        let info = self.replication().await;
        info.contains("master_link_status:up") && has.is_some() && offset(&info) >= has
    }

    pub(crate) fn pid(&self) -> Pid {
        self.server().pid()
    }

    /// Stops answering, with all connections open.
    pub(crate) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    pub(crate) fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
        self.stop().await;
    }

    /// Stops it in good order.
    pub(crate) async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    /// Starts it on the data that it left.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let options = ServerOptions {
            binary: self.program.clone(),
            extra_args: self.args.clone(),
            ..ServerOptions::new(self.folder.path())
        };
        self.server = Some(PrivateServer::start(&options).await.unwrap());
    }

    /// A copy of what it would have after a crash now.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = TempDir::new().unwrap();
        copy_dir(&self.append_only_dir(), copy.path()).unwrap();
        copy
    }

    /// Kills it and puts a server with the data of an earlier [`TestRedis::copy`] at the
    /// same place, as after a failover that lost the last writes.
    pub(crate) async fn replace_with(&mut self, copy: &TempDir) {
        self.kill().await;
        fs::remove_dir_all(self.append_only_dir()).unwrap();
        copy_dir(copy.path(), &self.append_only_dir()).unwrap();
        self.start_again().await;
    }

    fn append_only_dir(&self) -> PathBuf {
        self.folder.path().join("appendonlydir")
    }

    fn server(&self) -> &PrivateServer {
        self.server.as_ref().expect("the server was stopped")
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        // A frozen server does not hear that it should stop.
        if let Some(server) = &self.server {
            kill_process(server.pid(), Signal::KILL).ok();
        }
    }
}

/// Commands past logrelay.
#[derive(Clone)]
pub(crate) struct Control(MultiplexedConnection);

impl Control {
    /// Runs a command given as words: `run("CLIENT KILL TYPE normal")`.
    pub(crate) async fn run<T: FromRedisValue>(&mut self, words: &str) -> T {
        let mut command = redis::Cmd::new();
        command.arg(words.split_whitespace().collect::<Vec<_>>());
        command.query_async(&mut self.0).await.unwrap()
    }

    /// Runs a command whose answer does not matter, but that it is no error.
    pub(crate) async fn send(&mut self, command: &redis::Cmd) {
        command.query_async::<redis::Value>(&mut self.0).await.unwrap();
    }

    /// The same, whatever the answer is.
    pub(crate) async fn attempt(&mut self, command: &redis::Cmd) -> redis::RedisResult<redis::Value> {
        command.query_async(&mut self.0).await
    }

    /// How many connections of this user are open.
    pub(crate) async fn connections_of(&mut self, user: &str) -> usize {
        let list: String = self.run("CLIENT LIST").await;
        list.matches(&format!(" user={user} ")).count()
    }

    /// How often Redis has answered with an error of this code.
    pub(crate) async fn errors(&mut self, code: &str) -> u64 {
        let stats: String = self.run("INFO errorstats").await;
        let prefix = format!("errorstat_{code}:count=");
        let count = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        count.map_or(0, |count| count.trim().parse().unwrap())
    }

    /// The ids of the connections named `name`, in the order in which they were opened.
    pub(crate) async fn ids(&mut self, name: &str) -> Vec<u64> {
        let list: String = self.run("CLIENT LIST").await;
        let field = |line: &str, key: &str| {
            line.split(' ').find_map(|pair| pair.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        let named = list.lines().filter(|line| field(line, "name=") == name);
        let mut ids: Vec<u64> = named.map(|line| field(line, "id=").parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    /// How often Redis has run `command` (in lower case).
    pub(crate) async fn calls(&mut self, command: &str) -> u64 {
        let stats: String = self.run("INFO commandstats").await;
        let prefix = format!("cmdstat_{command}:calls=");
        let count = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        count.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }
}

/// The server that the tests run, where it is not the one on the PATH: another version, or Valkey.
pub(crate) fn program() -> Option<PathBuf> {
    std::env::var_os("LOGRELAY_TEST_REDIS_SERVER").map(PathBuf::from)
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "in {PATIENCE:?} it did not come true that {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A TCP port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
