//! What every measure stands on: a private Redis, a folder, and the built binary.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use logrelay::store::{self, PrivateServer, ServerOptions, Store};
use redis::{FromRedisValue, IntoConnectionInfo as _, aio::MultiplexedConnection, io::tcp::TcpSettings};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::sample;

/// The longest that one side may take in one round.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);

/// A Redis of our own, empty at the begin of every round.
pub(crate) struct Bed {
    server: PrivateServer,
    connection: MultiplexedConnection,
    /// Where it listens, as it does for tailers and relays of other hosts.
    pub(crate) port: u16,
    pub(crate) store: Store,
    folder: TempDir,
    rounds: usize,
}

impl Bed {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let extra_args = ["--bind", "127.0.0.1", "--port", &port.to_string()].map(str::to_owned).to_vec();
        let options = ServerOptions {
            append_only: false,
            extra_args,
            ..ServerOptions::new(folder.path().join("redis"))
        };
        let server = PrivateServer::start(&options).await?;
        let store = Store::new(store::Options::new(url(port).parse()?))?;
        let connection = connect(port).await?;
        Ok(Self { server, connection, port, store, folder, rounds: 0 })
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    /// Empties Redis; a name for a topic that was never used.
    pub(crate) async fn round(&mut self) -> anyhow::Result<String> {
        self.run::<()>(&["FLUSHALL", "SYNC"]).await?;
        self.rounds += 1;
        Ok(format!("round-{}", self.rounds))
    }

    /// A connection past logrelay, with nobody else on it.
    pub(crate) async fn connection(&self) -> anyhow::Result<MultiplexedConnection> {
        connect(self.port).await
    }

    /// A command past logrelay.
    pub(crate) async fn run<T: FromRedisValue>(&mut self, words: &[&str]) -> anyhow::Result<T> {
        Ok(redis::Cmd::new().arg(words).query_async(&mut self.connection).await?)
    }

    /// The process of Redis.
    pub(crate) fn redis_id(&self) -> anyhow::Result<u32> {
        Ok(self.server.pid().as_raw_nonzero().get().try_into()?)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of lines.
    pub(crate) fn write(
        &self,
        name: &str,
        numbers: Range<u64>,
        line: fn(u64) -> String,
    ) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, sample::text(numbers, line))?;
        Ok(path)
    }

    /// The built `logrelay` with this Redis.
    pub(crate) fn logrelay(&self, command: &str, words: &[&str]) -> anyhow::Result<Process> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_logrelay"));
        process.args([command, "--redis", &url(self.port)]).args(words);
        Process::start(process, &self.path(command))
    }

    /// A tailer of one path or glob.
    pub(crate) fn tailer(&self, topic: &str, path: &Path) -> anyhow::Result<Process> {
        self.logrelay("tail", &["--host", "bench", "--topic", topic, &path.to_string_lossy()])
    }

    /// A relay, and its URL.
    pub(crate) async fn relay(&self) -> anyhow::Result<(Process, String)> {
        let process = self.logrelay("serve", &["--listen", "127.0.0.1:0"])?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(&process.said)?;
            let word = said.split_once("serving listen=").and_then(|(_, rest)| rest.split_once('\n'));
            if let Some((address, _)) = word {
                return Ok((process, format!("http://{}", address.trim())));
            }
            ensure!(Instant::now() < deadline, "the relay does not listen: {said}");
            sleep(POLL).await;
        }
    }

    /// Waits until a list has so many elements.
    pub(crate) async fn until_long(&mut self, key: &str, elements: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let len: u64 = self.run(&["LLEN", key]).await?;
            if len >= elements {
                ensure!(len == elements, "{len} elements came of {elements}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "only {len} elements of {elements} came in {PATIENCE:?}");
            sleep(POLL).await;
        }
    }

    /// Waits until a topic has so many lines.
    pub(crate) async fn until_confirmed(&mut self, topic: &str, lines: u64) -> anyhow::Result<()> {
        let key = format!("logrelay:{{{topic}}}:state");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let next = self.run::<Option<u64>>(&["HGET", &key, "next"]).await?.unwrap_or(0);
            if next >= lines {
                ensure!(next == lines, "{next} lines came of {lines}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "only {next} lines of {lines} came in {PATIENCE:?}");
            sleep(POLL).await;
        }
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

async fn connect(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let tcp = TcpSettings::default().set_nodelay(true);
    let client = redis::Client::open(url(port).into_connection_info()?.set_tcp_settings(tcp))?;
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// A child process, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// The file of its standard error.
    said: PathBuf,
}

impl Process {
    fn start(mut command: Command, said: &Path) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(said)?).kill_on_drop(true);
        Ok(Self { child: command.spawn()?, said: said.to_owned() })
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it has ended by itself, {status}: {}", fs::read_to_string(&self.said)?);
        }
        Ok(self.child.kill().await?)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<f64> {
        let pid = self.id()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(kib.context("no VmRSS")?.trim().parse::<f64>()? * 1024.0)
    }
}

/// Today's date and this machine, in a few words.
pub(crate) fn machine() -> String {
    let first = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or("?").trim_matches([' ', '\t', ':', '=', '"']).to_owned()
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let system = first(&read("/etc/os-release"), "PRETTY_NAME");
    let processor = first(&read("/proc/cpuinfo"), "model name");
    let version = std::process::Command::new("redis-server").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = version.unwrap_or_default();
    let redis = version.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("?");
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    let date = date.unwrap_or_default();
    format!("{date}, {cores} cores ({processor}), {system}, Redis {redis}, load average {load} at the end")
}
