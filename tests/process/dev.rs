//! `logrelay dev` on a log in a folder of its own, and programs that run to their end.

use std::{
    fs::{self, File},
    io::Write as _,
    ops::Range,
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::process::{PATIENCE, Process, command};

/// Runs `logrelay` to its end, with nothing set in its environment.
pub(crate) async fn run(words: &str) -> Output {
    run_with(words, &[]).await
}

/// The same with variables.
pub(crate) async fn run_with(words: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = command(words);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).envs(variables.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).output().await.unwrap()
}

/// Waits until the condition gives something.
pub(crate) async fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A log that is followed and served by one process.
pub(crate) struct Dev {
    folder: TempDir,
    /// The relay's URL.
    pub(crate) relay: String,
    pub(crate) process: Process,
}

impl Dev {
    /// Follows `app.log`, which exists and is empty.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.log"), "").unwrap();
        let at = folder.path().display();
        let mut process =
            Process::start(&format!("dev {at}/app.log --listen 127.0.0.1:0 --data-dir {at}/data"));
        let relay = process.until_it_says("--relay ").await;
        let relay = relay.split_whitespace().next().unwrap().to_owned();
        Self { folder, relay, process }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `subscribe app` through its relay, with more words.
    pub(crate) fn subscribe(&self, words: &str) -> String {
        format!("subscribe app --relay {} {words}", self.relay)
    }

    /// Writes to the log.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut log = File::options().append(true).open(self.path("app.log")).unwrap();
        log.write_all(bytes).unwrap();
    }

    /// Writes lines `line <number>`.
    pub(crate) fn write_lines(&self, lines: Range<usize>) {
        let text: Vec<_> = lines.map(|number| format!("line {number}\n")).collect();
        self.write(text.concat().as_bytes());
    }

    /// Waits until as many lines can be read.
    pub(crate) async fn wait_for_lines(&self, lines: usize) {
        let began = Instant::now();
        loop {
            let read = run(&self.subscribe("--from earliest --no-follow")).await;
            if count_lines(&read.stdout) >= lines {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{lines} lines did not come");
        }
    }
}

pub(crate) fn count_lines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}
