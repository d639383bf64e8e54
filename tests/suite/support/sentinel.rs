//! A master, a replica and three Sentinels that watch them.

use std::{fs, process::Stdio, time::Duration};

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use super::{TestRedis, door::Door, eventually, free_port, program};

pub(crate) const MASTER_NAME: &str = "mymaster";

/// A replica that asks for all lines gets them at once.
const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];
/// A silent connection between servers is replaced soon.
pub(crate) const SOON: [&str; 4] = ["--repl-ping-replica-period", "1", "--repl-timeout", "5"];

/// After so long without an answer a Sentinel takes a server for gone.
pub(crate) const DOWN_AFTER_MS: u64 = 1000;

/// Two servers of which one is the master, as three Sentinels decide.
pub(crate) struct Watched {
    pub(crate) master: TestRedis,
    pub(crate) replica: TestRedis,
    sentinels: Vec<Sentinel>,
}

/// One Sentinel; it ends with this.
struct Sentinel {
    port: u16,
    _folder: TempDir,
    process: Child,
}

impl Watched {
    /// Starts them, and waits until all know of each other.
    pub(crate) async fn start() -> Self {
        Self::with(&[], "").await
    }

    /// With more arguments for the servers, and more lines in the configuration of the Sentinels.
    pub(crate) async fn with(args: &[&str], config: &str) -> Self {
        let master = TestRedis::with_port(&[&AT_ONCE, args].concat()).await;
        let replica = TestRedis::with_port(&[&AT_ONCE, args].concat()).await;
        let port = master.port();
        Self::watch(master, replica, port, config).await
    }

    /// Where everybody, also they themselves, goes through a door before each of the two.
    pub(crate) async fn behind(doors: &[Door]) -> Self {
        let mut servers = Vec::new();
        for door in &doors[..2] {
            let port = door.port().to_string();
            let announce = ["--replica-announce-ip", "127.0.0.1", "--replica-announce-port", &port];
            let redis = TestRedis::with_args(&[&AT_ONCE[..], &SOON, &announce].concat()).await;
            door.lead_to_socket(&redis.socket());
            servers.push(redis);
        }
        let (replica, master) = (servers.pop().unwrap(), servers.pop().unwrap());
        Self::watch(master, replica, doors[0].port(), "").await
    }

    async fn watch(master: TestRedis, replica: TestRedis, port: u16, config: &str) -> Self {
        // Not as an argument: who was promoted follows nobody when it is started again.
        replica.control().await.run::<()>(&format!("REPLICAOF 127.0.0.1 {port}")).await;
        eventually("the link is up", async || replica.follows(&master).await).await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Sentinel::start(port, config).await);
        }
        let watched = Self { master, replica, sentinels };
        watched.until_ready().await;
        watched
    }

    /// The Sentinels, as `host:port,…`.
    pub(crate) fn servers(&self) -> String {
        let servers: Vec<_> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        servers.join(",")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://{}/{MASTER_NAME}", self.servers())
    }

    /// The port of the master, where all Sentinels agree on it, have heard from it within this time
    /// and so are not about to change it.
    pub(crate) async fn master_port(&self, heard_within: Duration) -> Option<u16> {
        let mut ports = Vec::new();
        for sentinel in &self.sentinels {
            let state = sentinel.state().await.ok()?;
            let number = |name| -> Option<u64> {
                state.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            };
            let heard = Duration::from_millis(number("last-ok-ping-reply")?);
            let is_calm = state.contains("flags=master ") && heard < heard_within;
            ports.push(number("port").filter(|_| is_calm)?);
        }
        let agreed = ports.iter().all(|port| *port == ports[0]).then(|| ports[0]);
        agreed.and_then(|port| port.try_into().ok())
    }

    async fn until_ready(&self) {
        eventually("the Sentinels know of all", async || {
            for sentinel in &self.sentinels {
                let Ok(state) = sentinel.state().await else { return false };
                if !["num-slaves=1", "num-other-sentinels=2", "flags=master"]
                    .iter()
                    .all(|word| state.contains(word))
                {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Has the Sentinels make the other one the master, with both alive.
    pub(crate) async fn fail_over(&self) {
        eventually("a Sentinel agrees", async || {
            let Ok(mut connection) = self.sentinels[0].connect().await else { return false };
            let mut command = redis::cmd("SENTINEL");
            command.arg("FAILOVER").arg(MASTER_NAME);
            command.query_async::<()>(&mut connection).await.is_ok()
        })
        .await;
    }
}

impl Sentinel {
    async fn start(master: u16, config: &str) -> Self {
        loop {
            let mut sentinel = Self::try_start(master, config);
            // Another test may have taken the port: then it ends, and the next one has another.
            while sentinel.process.try_wait().unwrap().is_none() {
                if sentinel.connect().await.is_ok() {
                    return sentinel;
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn try_start(master: u16, config: &str) -> Self {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {dir}\nsentinel monitor {MASTER_NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {MASTER_NAME} 3000\n{config}\n",
            dir = folder.path().display(),
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program().unwrap_or_else(|| "redis-server".into()));
        command.arg(&file).arg("--sentinel").stdout(Stdio::null()).kill_on_drop(true);
        Self { port, _folder: folder, process: command.spawn().unwrap() }
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        client.get_multiplexed_async_connection().await
    }

    /// What it knows of the master, as `name=value` words.
    async fn state(&self) -> redis::RedisResult<String> {
        let mut command = redis::cmd("SENTINEL");
        let fields: Vec<(String, String)> =
            command.arg("MASTER").arg(MASTER_NAME).query_async(&mut self.connect().await?).await?;
        Ok(fields.into_iter().map(|(name, value)| name + "=" + &value + " ").collect())
    }
}
