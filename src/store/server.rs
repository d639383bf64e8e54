//! A private Redis as a child process, for one machine and for tests: behind a unix
//! socket in its own folder, and gone when its parent is. Not for servers of others.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, File},
    io::{self, PipeWriter, Read as _, Seek as _, SeekFrom},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::{
    connect::{ConnectOptions, Connector},
    error::Error,
    url::RedisUrl,
};

mod error;
mod lock;

pub use error::ServerError;

const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
const SUPERVISOR: &str = include_str!("server/supervise.sh");
const SOCKET: &str = "redis.sock";
const PID_FILE: &str = "redis.pid";
const LOG: &str = "redis.log";

/// Longest path of a unix socket that every system takes.
const MAX_SOCKET_PATH_BYTES: usize = 103;
/// A server that loads much data takes a while to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A server that takes longer to stop is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// What an error quotes of the server's output.
const QUOTED_LINES: usize = 5;
const QUOTED_BYTES: u64 = 16 * 1024;

/// How to run the server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The program; none: `redis-server` or `valkey-server` on the PATH.
    pub binary: Option<PathBuf>,
    /// Its folder, made with mode 0700 where it does not exist.
    pub data_dir: PathBuf,
    /// Whether it writes an append-only file, and so has its data when started again.
    pub append_only: bool,
    /// More arguments, such as `--timeout`, `2`; they win.
    pub extra_args: Vec<String>,
}

impl ServerOptions {
    /// A server that keeps its data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { binary: None, data_dir: data_dir.into(), append_only: true, extra_args: Vec::new() }
    }
}

/// A running server. It is told to stop when this is dropped, and when the process dies
/// in any way.
#[derive(Debug)]
pub struct PrivateServer {
    child: Child,
    /// Its closing tells the server to stop.
    alive: PipeWriter,
    socket: PathBuf,
    pid: Pid,
}

impl PrivateServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// See [`ServerError`]; nothing is left running.
    pub async fn start(options: &ServerOptions) -> Result<Self, ServerError> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => find_program(env::var_os("PATH").as_deref()).ok_or(ServerError::NotInstalled)?,
        };
        let dir = make_dir(&options.data_dir)?;
        let socket = dir.join(SOCKET);
        let bytes = socket.as_os_str().as_bytes().len();
        if bytes > MAX_SOCKET_PATH_BYTES {
            return Err(ServerError::PathTooLong { dir, bytes });
        }
        let lock = lock::take(&dir).await?;
        let log_bytes = fs::metadata(dir.join(LOG)).map_or(0, |log| log.len());
        let (mut child, alive) = spawn(&binary, &dir, options, lock).map_err(|source| ServerError::Io {
            what: "run",
            path: binary.clone(),
            source,
        })?;
        let Err(why) = first_answer(&mut child, &socket).await else {
            let pid = read_pid(&dir)?;
            return Ok(Self { child, alive, socket, pid });
        };
        drop(alive);
        let how = end(&mut child, read_pid(&dir).ok()).await;
        let said = said(&mut child, &dir.join(LOG), log_bytes).await;
        Err(match why {
            Some(why) => ServerError::Silent { after_ms: START_TIMEOUT.as_millis(), why, said },
            None => ServerError::Ended { binary, how, said },
        })
    }

    /// Where it is.
    pub fn url(&self) -> RedisUrl {
        RedisUrl::unix(self.socket.clone())
    }

    /// The process of the server.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Resolves when the server has ended by itself, with its exit status.
    pub async fn ended(&mut self) -> String {
        wait(&mut self.child).await
    }

    /// Stops the server, by force when it takes longer than ten seconds, and returns
    /// when it is gone.
    pub async fn stop(self) {
        let Self { mut child, alive, pid, .. } = self;
        drop(alive);
        end(&mut child, Some(pid)).await;
    }
}

/// The first of [`PROGRAMS`] that can be run from one of the folders of `path`.
fn find_program(path: Option<&OsStr>) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(path?).collect();
    let programs = PROGRAMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    programs.into_iter().find(|program| {
        fs::metadata(program).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// Makes the folder where it does not exist, and returns its absolute path.
fn make_dir(dir: &Path) -> Result<PathBuf, ServerError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.and_then(|()| dir.canonicalize()).map_err(|source| ServerError::Io {
        what: "make the data folder",
        path: dir.to_owned(),
        source,
    })
}

fn spawn(binary: &Path, dir: &Path, options: &ServerOptions, lock: File) -> io::Result<(Child, PipeWriter)> {
    let (stdin, alive) = io::pipe()?;
    let append_only = if options.append_only { "yes" } else { "no" };
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", SUPERVISOR, "logrelay-redis"])
        .arg(binary)
        .arg("--dir")
        .arg(dir)
        .arg("--logfile")
        .arg(dir.join(LOG))
        .arg("--pidfile")
        .arg(dir.join(PID_FILE))
        .arg("--unixsocket")
        .arg(dir.join(SOCKET))
        .args(["--unixsocketperm", "700", "--port", "0", "--daemonize", "no", "--save", ""])
        .args(["--appendonly", append_only, "--maxmemory-policy", "noeviction"])
        .args(&options.extra_args)
        .stdin(stdin)
        .stdout(lock)
        .stderr(Stdio::piped())
        // Ctrl-C in the terminal is for the parent, which stops the server last.
        .process_group(0);
    Ok((Command::from(command).spawn()?, alive))
}

/// Waits until the server answers; the error is none when it ended.
async fn first_answer(child: &mut Child, socket: &Path) -> Result<(), Option<Error>> {
    let connector = Connector::new(&ConnectOptions::new(RedisUrl::unix(socket.to_owned())))?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let why = match ping(&connector).await {
            Ok(()) => return Ok(()),
            // It wants a password: it is there.
            Err(why) if why.needs_an_operator() => return Ok(()),
            Err(why) => why,
        };
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => sleep(POLL).await,
            Ok(None) => return Err(Some(why)),
            Ok(Some(_)) | Err(_) => return Err(None),
        }
    }
}

async fn ping(connector: &Connector) -> Result<(), Error> {
    let mut connection = connector.open("start").await?;
    let answer: Result<(), _> = redis::cmd("PING").query_async(&mut connection).await;
    answer.map_err(|error| connector.error(&error))
}

fn read_pid(dir: &Path) -> Result<Pid, ServerError> {
    let path = dir.join(PID_FILE);
    let pid = fs::read_to_string(&path).and_then(|text| {
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "there is no pid in it"))
    });
    pid.map_err(|source| ServerError::Io { what: "read", path, source })
}

/// Waits for the end of a server that was told to stop, and returns its exit status.
async fn end(child: &mut Child, pid: Option<Pid>) -> String {
    if let Ok(how) = timeout(STOP_TIMEOUT, wait(child)).await {
        return how;
    }
    let killed = match pid {
        // Its supervisor sees it go, and follows.
        Some(pid) => kill_process(pid, Signal::KILL).map_err(io::Error::from),
        None => child.start_kill(),
    };
    if let Err(error) = killed {
        tracing::debug!(%error, "cannot kill the private redis");
    }
    wait(child).await
}

async fn wait(child: &mut Child) -> String {
    child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// The last lines on standard error and in what was added to the log.
async fn said(child: &mut Child, log: &Path, log_bytes: u64) -> String {
    let mut bytes = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // What cannot be read is left out: this only explains another error.
        drop(timeout(POLL, stderr.take(QUOTED_BYTES).read_to_end(&mut bytes)).await);
    }
    if let Ok(mut log) = File::open(log)
        && log.seek(SeekFrom::Start(log_bytes)).is_ok()
    {
        drop(log.take(QUOTED_BYTES).read_to_end(&mut bytes));
    }
    let text = String::from_utf8_lossy(&bytes);
    // A warning of redis about the machine is never why it ended.
    let told = |line: &&str| !line.trim().is_empty() && !line.contains("WARNING");
    let lines: Vec<&str> = text.lines().filter(told).collect();
    lines.iter().skip(lines.len().saturating_sub(QUOTED_LINES)).flat_map(|line| ["\n  ", line]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_only_where_it_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = |folder: &Path| env::join_paths([Path::new("/nowhere"), folder]).unwrap();
        let program = folder.path().join("valkey-server");
        fs::write(&program, "").unwrap();
        assert_eq!(find_program(Some(&path(folder.path()))), None);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_program(Some(&path(folder.path()))), Some(program));
        assert_eq!(find_program(None), None);
    }
}
