//! What a running tailer follows: the inputs of its file or its command line, and those in
//! Redis, as they change.

use std::{collections::HashSet, time::Duration};

use tokio::{
    signal::unix::Signal,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};

use super::{config_file::ConfigFile, pushed::Pushed};
use crate::{
    config::{ConfigError, Effective, File, Input, PathGlob, Settings, Whose},
    tail::{self, Handle, Limits},
    telemetry::Logs,
};

/// How often the configuration file is looked at.
const POLL: Duration = Duration::from_secs(1);

/// How long the first answer of Redis is waited for before anything is followed.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// Where inputs come from.
#[derive(Debug)]
pub(super) struct Origins {
    /// Those of the file, or of the command line.
    pub(super) local: Vec<Input>,
    /// Whether they are those of the file, and change with it.
    pub(super) are_of_file: bool,
    /// The file, where there is one.
    pub(super) file: Option<ConfigFile>,
    /// Those in Redis, where they are wanted.
    pub(super) pushed: Option<Pushed>,
}

/// Applies changes for as long as it runs.
#[derive(Debug)]
pub(super) struct Changes {
    origins: Origins,
    /// What wins over the file.
    flags: Settings,
    /// How the tailer was started; what can change while it runs is that of now.
    running: Effective,
    logs: Logs,
    hangups: Signal,
    following: Vec<Input>,
    /// Those of all inputs together that are in force.
    limits: Limits,
    /// Inputs that were said to be hidden by one of their name.
    hidden: HashSet<String>,
}

impl Changes {
    pub(super) fn new(
        origins: Origins,
        flags: Settings,
        running: Effective,
        logs: Logs,
        hangups: Signal,
    ) -> Self {
        let limits = running.tail.limits;
        Self { limits, origins, flags, running, logs, hangups, following: Vec::new(), hidden: HashSet::new() }
    }

    /// What is to be followed at first: with what Redis has, if it says so soon.
    pub(super) async fn first_inputs(&mut self) -> Vec<tail::Input> {
        if let Some(pushed) = &mut self.origins.pushed
            && timeout(FIRST_ANSWER, pushed.next()).await.is_err()
        {
            warn!("redis does not say which inputs it has: they are followed when it does");
        }
        self.following = self.merged();
        self.for_tailer()
    }

    /// Applies what changes, and never ends.
    pub(super) async fn run(mut self, handle: Handle) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Origins { file, pushed, .. } = &mut self.origins;
            let text = tokio::select! {
                _ = poll.tick() => match file {
                    Some(file) => file.look().await.map(str::to_owned),
                    None => None,
                },
                Some(()) = self.hangups.recv() => if let Some(file) = file {
                    file.read_again().await.map(str::to_owned)
                } else {
                    warn!("SIGHUP changes nothing: there is no --config to be read again");
                    None
                },
                () = next(pushed) => None,
            };
            if let Some(text) = text {
                self.take_over(&text);
            }
            self.follow(&handle);
        }
    }

    /// Takes over what the file says now, all of it or nothing.
    fn take_over(&mut self, text: &str) {
        let Some(file) = &self.origins.file else { return };
        let path = file.path().to_owned();
        let read = || -> Result<(File, Effective), ConfigError> {
            let file = File::parse(&path, text, Whose::Ours)?;
            let effective = Effective::new(&self.flags.clone().over(&file), &file.inputs)?;
            Ok((file, effective))
        };
        let (file, effective) = match read() {
            Ok(read) => read,
            Err(error) => {
                warn!(%error, "the configuration is refused, and stays as it was");
                return;
            }
        };
        if self.origins.are_of_file {
            if file.inputs.is_empty() && self.origins.pushed.is_none() {
                let path = path.display();
                warn!(%path, "the configuration is refused, and stays as it was: nothing would be followed");
                return;
            }
            self.origins.local = file.inputs;
        }
        let needs_restart = differing(&self.running, &effective);
        if needs_restart.is_empty() {
            info!(path = %path.display(), "the configuration was read again");
        } else {
            let settings = needs_restart.join(", ");
            warn!(path = %path.display(), settings, "the configuration was read again; a restart is needed for some of it");
        }
        self.running.tail.limits = effective.tail.limits;
        if self.running.log_level != effective.log_level {
            self.logs.set_level(&effective.log_level);
            self.running.log_level = effective.log_level;
        }
    }

    /// Has the tailer follow what is to be followed now.
    fn follow(&mut self, handle: &Handle) {
        let merged = self.merged();
        let limits = self.running.tail.limits;
        if merged == self.following && limits == self.limits {
            return;
        }
        let (before, now) = (self.following.len(), merged.len());
        let new = merged.iter().filter(|input| !self.following.contains(input)).map(called);
        let gone = self.following.iter().filter(|input| !merged.contains(input)).map(called);
        let (new, gone) = (new.collect::<Vec<_>>().join(", "), gone.collect::<Vec<_>>().join(", "));
        info!(before, now, new, gone, "following other inputs");
        self.following = merged;
        self.limits = limits;
        handle.replace(self.for_tailer(), limits);
    }

    fn for_tailer(&self) -> Vec<tail::Input> {
        let max_line_bytes = self.running.tail.max_line_bytes;
        self.following.iter().map(|input| input.for_tailer(max_line_bytes)).collect()
    }

    /// The inputs of all origins; of those with one name the first.
    fn merged(&mut self) -> Vec<Input> {
        let Origins { local, pushed, .. } = &self.origins;
        let mut names = HashSet::new();
        let mut hidden = HashSet::new();
        let mut merged = local.clone();
        names.extend(local.iter().filter_map(|input| input.name().map(str::to_owned)));
        for input in pushed.iter().flat_map(Pushed::inputs) {
            let name = input.name().unwrap_or_default().to_owned();
            if names.insert(name.clone()) {
                merged.push(input.clone());
            } else {
                hidden.insert(name);
            }
        }
        for name in hidden.difference(&self.hidden) {
            warn!(name, "an input in redis is not followed: one of its name comes before it");
        }
        self.hidden = hidden;
        merged
    }
}

async fn next(pushed: &mut Option<Pushed>) {
    match pushed {
        Some(pushed) => pushed.next().await,
        None => std::future::pending().await,
    }
}

/// Settings that are not what the tailer was started with, and cannot change while it runs.
fn differing(running: &Effective, wanted: &Effective) -> Vec<String> {
    let pairs = running.shown().into_iter().zip(wanted.shown());
    let at_once = ["log_level", "lines_per_second", "bytes_per_second"];
    let differ = pairs.filter(|(running, wanted)| running != wanted && !at_once.contains(&running.1));
    differ.map(|((section, key, _), _)| format!("{section}{key}")).collect()
}

/// What an input is called in logs: its name, or its paths.
fn called(input: &Input) -> String {
    let paths = || input.keys.paths.iter().flatten().map(PathGlob::as_str).collect::<Vec<_>>().join(" ");
    input.name().map_or_else(paths, str::to_owned)
}
