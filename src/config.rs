//! The settings of all parts: flag over environment over file over default.
//!
//! One file serves every command. Defaults are those of the parts themselves.

mod central;
mod file;
mod flags;
mod input;
mod keys;
mod reading;
mod settings;
mod value;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

pub use self::{
    central::{input_from_redis, inputs_to_push},
    file::File,
    flags::PathOptions,
    input::{Input, Mistake, Whose},
    keys::{InputKeys, InputName, Key, MultilineKeys},
    settings::{General, Redis, Serve, Tail},
    value::{
        RedisText,
        lists::{Label, Labels},
        patterns::{ExcludeGlob, LinePattern, PathGlob, PathPattern},
    },
};
pub use crate::files::{FileError, Problem};
use crate::{
    hub, publish,
    record::Host,
    serve,
    store::{self, RedisUrl, UrlError},
    tail,
    telemetry::{LogFormat, LogLevel},
};

/// How long a stop may take where nothing else is said.
pub const DEFAULT_SHUTDOWN_TIMEOUT_MS: u64 = 10_000;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7171);
const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379";

/// What was set by flags and variables, or in a file.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What every command takes.
    pub general: General,
    /// Where Redis is.
    pub redis: Redis,
    /// The tailer.
    pub tail: Tail,
    /// The relay.
    pub serve: Serve,
}

/// The options of every part, complete.
#[derive(Debug, Clone)]
pub struct Effective {
    /// How much is logged.
    pub log_level: LogLevel,
    /// What logs look like.
    pub log_format: LogFormat,
    /// How long a stop may take.
    pub shutdown_timeout_ms: u64,
    /// Where Redis is.
    pub redis: store::Options,
    /// The tailer.
    pub tail: tail::Options,
    /// Whether the tailer follows inputs that are kept in Redis.
    pub inputs_from_redis: bool,
    /// The groups of this host: whose inputs in Redis it follows besides its own.
    pub groups: Vec<Host>,
    /// How the tailer appends.
    pub publish: publish::Options,
    /// Where the tailer serves its metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// The relay.
    pub serve: serve::Options,
    /// How the relay reads.
    pub hub: hub::Options,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// Flags for paths are wrong.
    #[error("{}", .0.join("\n"))]
    Flags(Vec<String>),
    /// Something else than inputs was to be pushed, or is kept as one.
    #[error("{0}")]
    Push(String),
    /// The URL of Redis is none.
    #[error(transparent)]
    Redis(#[from] UrlError),
    /// The braces of a topic's keys have to be the first ones.
    #[error(
        "prefix {0:?} has a brace in it: braces are for the topic's name, by which a cluster keeps the keys of a \
         topic together"
    )]
    Prefix(String),
    /// The password cannot be read.
    #[error("redis password file {}: {error}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is no name for this host.
    #[error("this machine's host name {name:?} cannot name a source ({why}): give one with --host")]
    Host {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What the file says; nothing where there is none.
///
/// # Errors
/// [`ConfigError::File`].
pub fn load(path: Option<&Path>) -> Result<File, ConfigError> {
    Ok(path.map(File::read).transpose()?.unwrap_or_default())
}

impl Settings {
    /// These settings, and where one is not set, that of the file.
    #[must_use]
    pub fn over(self, file: &File) -> Self {
        Self {
            general: self.general.or(file.general.clone()),
            redis: self.redis.or(file.redis.clone()),
            tail: self.tail.or(file.tail.clone()),
            serve: self.serve.or(file.serve.clone()),
        }
    }
}

impl Effective {
    /// Fills in the defaults.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(settings: &Settings, inputs: &[Input]) -> Result<Self, ConfigError> {
        let host = match &settings.tail.host {
            Some(host) => host.clone(),
            None => host_name()?,
        };
        let mut effective = Self {
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            shutdown_timeout_ms: DEFAULT_SHUTDOWN_TIMEOUT_MS,
            redis: store::Options::new(redis_url(&settings.redis)?),
            tail: tail::Options::new(host, Vec::new()),
            inputs_from_redis: false,
            groups: Vec::new(),
            publish: publish::Options::default(),
            metrics_listen: None,
            serve: serve::Options::new(DEFAULT_LISTEN),
            hub: hub::Options::default(),
        };
        settings.general.apply(&mut effective);
        settings.redis.apply(&mut effective);
        settings.tail.apply(&mut effective);
        settings.serve.apply(&mut effective);
        if effective.redis.prefix.contains(['{', '}']) {
            return Err(ConfigError::Prefix(effective.redis.prefix));
        }
        let max_line_bytes = effective.tail.max_line_bytes;
        effective.tail.inputs = inputs.iter().map(|input| input.for_tailer(max_line_bytes)).collect();
        // The process ends at the timeout: what the parts do then has to fit into it.
        effective.tail.stop_timeout_ms = effective.shutdown_timeout_ms / 10 * 8;
        effective.serve.drain_ms = effective.tail.stop_timeout_ms;
        Ok(effective)
    }

    /// Every setting with its section (as `tail.`) and its value, in the order of the reference.
    pub fn shown(&self) -> Vec<(&'static str, &'static str, String)> {
        let top = |(key, value)| ("", key, value);
        let url = ("", "redis", self.redis.connect.url.to_string());
        let mut shown: Vec<_> = General::shown(self).into_iter().map(top).collect();
        shown.push(url);
        shown.extend(Redis::shown(self).into_iter().map(top));
        shown.extend(Tail::shown(self).into_iter().map(|(key, value)| ("tail.", key, value)));
        shown.extend(Serve::shown(self).into_iter().map(|(key, value)| ("serve.", key, value)));
        shown
    }
}

fn host_name() -> Result<Host, ConfigError> {
    let error = |name: String, why: String| ConfigError::Host { name, why };
    let name = hostname::get().map_err(|why| error(String::new(), why.to_string()))?;
    let name = name.to_string_lossy().into_owned();
    name.parse().map_err(|why: crate::record::SourceNameError| error(name, why.to_string()))
}

fn redis_url(redis: &Redis) -> Result<RedisUrl, ConfigError> {
    let url = match &redis.redis {
        Some(text) => text.url()?,
        None => DEFAULT_REDIS.parse()?,
    };
    let Some(path) = &redis.redis_password_file else { return Ok(url) };
    let read = fs::read_to_string(path);
    let text = read.map_err(|error| ConfigError::PasswordFile { path: path.clone(), error })?;
    Ok(url.with_password(text.lines().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests;
