//! The tailer under test: a task of this process, or the built binary.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::Stdio,
    time::Duration,
};

use logrelay::{
    publish::{self, Publisher},
    record::Topic,
    tail::{
        Handle, Input, Limits, Options, Service, TopicRule,
        discover::Patterns,
        input::{JoinRule, Multiline},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    action::Plan,
    troubled::{CONNECT_TIMEOUT_MS, RESPONSE_TIMEOUT_MS, Troubled, patiently},
};

/// Which tailer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Task,
    Process,
}

/// A running tailer.
pub(crate) enum Tailer {
    Task { task: JoinHandle<bool>, shutdown: CancellationToken, handle: Handle },
    Process(Child),
}

/// What it is told.
pub(crate) struct Job<'a> {
    /// In it are the logs, in [`LOGS_FOLDER`], and what a process needs.
    pub(crate) folder: &'a Path,
    pub(crate) server: &'a Troubled,
    pub(crate) prefix: &'a str,
    pub(crate) topic: &'a Topic,
    pub(crate) plan: &'a Plan,
    /// How often what is followed was replaced.
    pub(crate) replaced: usize,
}

pub(crate) const LOGS_FOLDER: &str = "logs";

/// By how much a process is slower than a task to begin.
const PROCESS_DELAY: u32 = 5;
const POLL_INTERVAL_MS: u64 = 20;
const AUDIT_INTERVAL_MS: u64 = 100;
/// Far more than the writer takes for a group.
const GROUP_TIMEOUT_MS: u64 = 100;
const RETRY_CAP_MS: u64 = 100;
/// The least that the binary takes.
const MIN_BUFFER_BYTES: u32 = 65_536;

impl Tailer {
    pub(crate) fn start(kind: Kind, job: &Job<'_>) -> Self {
        match kind {
            Kind::Task => Self::start_task(job),
            Kind::Process => Self::start_process(job),
        }
    }

    fn start_task(job: &Job<'_>) -> Self {
        let options = Options {
            poll_interval_ms: POLL_INTERVAL_MS,
            linger_ms: job.plan.linger_ms,
            rest_after_ms: job.plan.rest_after_ms,
            max_open_files: job.plan.max_open_files,
            ..Options::new("host".parse().unwrap(), vec![job.input()])
        };
        let publishing = publish::Options {
            audit_interval_ms: AUDIT_INTERVAL_MS,
            retry_cap_ms: RETRY_CAP_MS,
            budget_bytes: job.plan.budget_bytes,
            ..Default::default()
        };
        let store = job.server.store(job.prefix);
        let publisher = Publisher::new(store, publishing, publish::Metrics::default());
        let shutdown = CancellationToken::new();
        let service = Service::new(options, publisher);
        let handle = service.handle();
        #[expect(clippy::disallowed_methods, reason = "the handle is kept and aborted")]
        let task = tokio::spawn(service.run(shutdown.clone()));
        Self::Task { task, shutdown, handle }
    }

    fn start_process(job: &Job<'_>) -> Self {
        let config = job.folder.join("logrelay.toml");
        fs::write(&config, job.config()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_logrelay"));
        command.arg("tail").arg("--config").arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).env("NO_COLOR", "1").kill_on_drop(true);
        if std::env::var_os("LOGRELAY_MODEL_LOG").is_none() {
            let path = job.folder.join("stderr");
            command.stderr(File::options().append(true).create(true).open(path).unwrap());
        }
        Self::Process(command.spawn().unwrap())
    }

    /// Lets it follow the same files by another glob. A process does that when it starts.
    pub(crate) fn replace(&self, job: &Job<'_>) {
        if let Self::Task { handle, .. } = self {
            handle.replace(vec![job.input()], Limits::default());
        }
    }

    /// Ends it at whatever it is doing.
    pub(crate) async fn kill(self, after: Duration) {
        match self {
            Self::Task { task, .. } => {
                if !after.is_zero() {
                    sleep(after).await;
                }
                task.abort();
                drop(task.await);
            }
            Self::Process(mut child) => {
                // It takes its time until it has begun.
                sleep(after * PROCESS_DELAY).await;
                child.kill().await.unwrap();
            }
        }
    }

    /// Lets it append what it has read.
    pub(crate) async fn stop(self) -> Result<(), String> {
        let is_in_order = match self {
            Self::Task { task, shutdown, .. } => {
                shutdown.cancel();
                patiently("the tailer stops", task).await?.map_err(|error| error.to_string())?
            }
            Self::Process(mut child) => {
                let id = child.id().ok_or("the tailer had ended by itself")?;
                kill_process(Pid::from_raw(id.cast_signed()).unwrap(), Signal::TERM).unwrap();
                let status = patiently("the tailer stops", child.wait()).await?.unwrap();
                // It may not have come to where it listens to signals.
                status.success() || status.signal() == Some(Signal::TERM.as_raw())
            }
        };
        // Redis is away for a part of the time only.
        if is_in_order { Ok(()) } else { Err("the tailer did not stop in order".to_owned()) }
    }
}

impl Job<'_> {
    fn globs(&self) -> Vec<String> {
        let logs = self.folder.join(LOGS_FOLDER);
        let globs: &[&str] = match (self.plan.inside, self.replaced.is_multiple_of(2)) {
            (true, true) => &["*.log*", "old/*.log*"],
            (true, false) => &["old/*.log*", "*.log", "*.log[.]*"],
            (false, true) => &["*.log"],
            (false, false) => &["web.log", "[!w]*.log"],
        };
        globs.iter().map(|glob| logs.join(glob).display().to_string()).collect()
    }

    fn input(&self) -> Input {
        let patterns = Patterns::parse(&self.globs()).unwrap();
        let mut input = Input::new(patterns, TopicRule::Fixed(self.topic.clone()));
        input.lines.multiline = self.plan.has_groups.then_some(Multiline {
            rule: JoinRule::Indented,
            max_lines: 500,
            max_bytes: 1 << 20,
            timeout_ms: GROUP_TIMEOUT_MS,
        });
        input
    }

    fn config(&self) -> String {
        let Self { server, prefix, topic, plan, .. } = self;
        let multiline = format!("[inputs.multiline]\nindented = true\ntimeout_ms = {GROUP_TIMEOUT_MS}");
        let multiline = if plan.has_groups { &multiline } else { "" };
        let buffer_bytes = plan.budget_bytes.max(MIN_BUFFER_BYTES);
        format!(
            r#"
            redis = "{url}"
            prefix = "{prefix}"
            log_level = "info"
            redis_connect_timeout_ms = {CONNECT_TIMEOUT_MS}
            redis_response_timeout_ms = {RESPONSE_TIMEOUT_MS}
            [tail]
            host = "host"
            poll_interval_ms = {POLL_INTERVAL_MS}
            linger_ms = {linger_ms}
            buffer_bytes = {buffer_bytes}
            max_open_files = {max_open_files}
            audit_interval_ms = {AUDIT_INTERVAL_MS}
            retry_max_ms = {RETRY_CAP_MS}
            [[inputs]]
            paths = {paths:?}
            topic = "{topic}"
            {multiline}
            "#,
            url = server.url(),
            linger_ms = plan.linger_ms,
            max_open_files = plan.max_open_files,
            paths = self.globs(),
        )
    }
}
