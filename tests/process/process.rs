//! The built binary as a child process, with what it says on standard error in a file.
#![allow(dead_code, reason = "every target takes what it needs")]

use std::{
    fs::File,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

/// Longest that something may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// A running `logrelay`, killed when it is dropped.
pub(crate) struct Process {
    words: String,
    child: Child,
    folder: TempDir,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

/// `logrelay` with arguments that have no blanks in them: `command("topics --redis …")`.
pub(crate) fn command(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logrelay"));
    command.args(words.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

impl Process {
    /// Runs `logrelay` with these arguments, its standard output thrown away.
    pub(crate) fn start(words: &str) -> Self {
        Self::spawn(words, command(words))
    }

    /// The same, its standard output added to a file.
    pub(crate) fn printing_to(words: &str, output: File) -> Self {
        let mut command = command(words);
        command.stdout(output);
        Self::spawn(words, command)
    }

    /// Runs a command; `name` is how it is called where it fails.
    pub(crate) fn spawn(name: &str, mut command: Command) -> Self {
        let folder = TempDir::new().unwrap();
        let stderr = File::create(folder.path().join("stderr")).unwrap();
        let child = command.stderr(stderr).kill_on_drop(true).spawn().unwrap();
        Self { words: name.to_owned(), child, folder }
    }

    /// What it has said so far.
    pub(crate) fn stderr(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("stderr")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its standard output, when it is a pipe.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// Its standard input, when it is a pipe.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        let id = self.child.id().expect("it has ended");
        Pid::from_raw(id.cast_signed()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it is gone, however that came.
    pub(crate) async fn status(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it goes on and on")).unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = self.status().await;
        Ended { code: status.code(), stderr: self.stderr() }
    }

    /// Waits until it has said this, and returns the rest of that line.
    pub(crate) async fn until_it_says(&mut self, words: &str) -> String {
        let found = async {
            loop {
                let ended = self.child.try_wait().unwrap();
                // Only whole lines: the last one may still be written.
                if let Some((_, rest)) = self.stderr().split_once(words)
                    && let Some((line, _)) = rest.split_once('\n')
                {
                    return line.to_owned();
                }
                assert!(ended.is_none(), "it ended without saying {words:?}");
                sleep(POLL).await;
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("it did not say {words:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("logrelay {}\n{}", self.words, self.stderr());
        }
    }
}
