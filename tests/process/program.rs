//! Runs the built program, and gives what it printed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longest that a condition may take to come true, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program with these arguments, and nothing of its environment but the PATH.
pub(crate) fn logrelay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logrelay"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.args(arguments).env_clear().env("PATH", path).stdin(Stdio::null());
    command
}

/// Waits until the condition gives something.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(5));
    }
}

/// A running program, killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    stderr: PathBuf,
}

impl Program {
    /// Starts it with its outputs in two files.
    pub(crate) fn start(mut command: Command, stdout: &Path, stderr: &Path) -> Self {
        let out = File::options().create(true).append(true).open(stdout).unwrap();
        let err = File::create(stderr).unwrap();
        let child = command.stdout(out).stderr(err).spawn().unwrap();
        Self { child, stderr: stderr.to_owned() }
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the end of a program", || self.child.try_wait().unwrap())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `logrelay dev` on a log in a folder of its own.
pub(crate) struct Dev {
    pub(crate) folder: TempDir,
    /// The relay's URL.
    pub(crate) relay: String,
    pub(crate) program: Program,
}

impl Dev {
    /// Follows `app.log`, which exists and is empty.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("app.log"), "").unwrap();
        let (log, data) = (path("app.log"), path("data"));
        let arguments =
            ["dev", log.to_str().unwrap(), "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
        let program = Program::start(logrelay(&arguments), &path("dev.out"), &path("dev.err"));
        let relay = wait_for("the relay", || {
            let said = program.stderr();
            let (_, after) = said.split_once("--relay ")?;
            Some(after.split_whitespace().next()?.to_owned())
        });
        Self { folder, relay, program }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `subscribe app` through its relay.
    pub(crate) fn subscribe(&self, arguments: &[&str]) -> Command {
        logrelay(&[&["subscribe", "app", "--relay", &self.relay], arguments].concat())
    }

    /// Waits until as many lines can be read.
    pub(crate) fn wait_for_lines(&self, lines: usize) {
        wait_for("the lines", || {
            let read = self.subscribe(&["--from", "earliest", "--no-follow"]).output().unwrap();
            (count_lines(&read) >= lines).then_some(())
        });
    }
}

pub(crate) fn count_lines(output: &Output) -> usize {
    output.stdout.iter().filter(|&&byte| byte == b'\n').count()
}
