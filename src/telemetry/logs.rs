//! Logs on standard error, which they share with bars of progress.

use std::{
    io::{self, IsTerminal as _, Write},
    str::FromStr,
};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt::MakeWriter};

/// What the logs look like.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged: `error`, `warn`, `info`, `debug`, `trace` or `off` for logrelay (and warnings
/// of its libraries), or a list of `target=level` as `tracing-subscriber` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

/// A text that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "log level {text:?} is none of error, warn, info, debug, trace, off, and no list of target=level: {why}"
)]
pub struct LogLevelError {
    text: String,
    why: String,
}

impl LogLevel {
    fn filter(&self) -> Result<EnvFilter, ParseError> {
        let Self(text) = self;
        match text.as_str() {
            "off" => EnvFilter::builder().parse("off"),
            level if level.contains(['=', ',']) => EnvFilter::builder().parse(level),
            level => EnvFilter::builder().parse(format!("warn,logrelay={level}")),
        }
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(text: &str) -> Result<Self, LogLevelError> {
        let error = |why: String| LogLevelError { text: text.to_owned(), why };
        let one_word = !text.contains(['=', ',']);
        if one_word && !["error", "warn", "info", "debug", "trace", "off"].contains(&text) {
            return Err(error("it is one word".to_owned()));
        }
        let level = Self(text.to_owned());
        level.filter().map_err(|parse_error| error(parse_error.to_string()))?;
        Ok(level)
    }
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Standard error, shared by log lines and bars of progress.
#[derive(Debug, Clone)]
pub struct Terminal(MultiProgress);

impl Terminal {
    /// Standard error; bars are drawn only where it is a terminal.
    pub fn stderr() -> Self {
        Self(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
    }

    /// Whether somebody looks.
    pub fn is_watched() -> bool {
        io::stderr().is_terminal()
    }

    /// Where bars are added.
    pub fn bars(&self) -> &MultiProgress {
        &self.0
    }
}

/// Writes whole log lines between two drawings of the bars.
#[derive(Debug)]
pub struct BetweenBars(MultiProgress);

impl Write for BetweenBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = BetweenBars;

    fn make_writer(&'a self) -> BetweenBars {
        BetweenBars(self.0.clone())
    }
}

/// Changes how much is logged, while logging goes on.
pub struct Logs(Option<Box<dyn Fn(EnvFilter) + Send + Sync>>);

impl Logs {
    /// Logs so much from now on.
    pub fn set_level(&self, level: &LogLevel) {
        if let (Some(set), Ok(filter)) = (&self.0, level.filter()) {
            set(filter);
        }
    }
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Logs").field(&self.0.is_some()).finish()
    }
}

/// Starts logging. Where something else logs in this process already, that stays.
pub fn start_logs(level: &LogLevel, format: LogFormat, terminal: &Terminal) -> Logs {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(level.filter().unwrap_or_default())
        .with_writer(terminal.clone())
        .with_ansi(Terminal::is_watched())
        // A closed standard error is no reason to panic.
        .log_internal_errors(false);
    // A filter can be replaced for as long as the process logs: the answer is always yes.
    let (started, set): (_, Box<dyn Fn(EnvFilter) + Send + Sync>) = match format {
        LogFormat::Text => {
            let builder = builder.with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |filter| drop(handle.reload(filter))))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |filter| drop(handle.reload(filter))))
        }
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
        return Logs(None);
    }
    Logs(Some(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_or_lists_and_nothing_else() {
        for good in ["info", "off", "trace", "logrelay=debug", "warn,logrelay::client=trace"] {
            assert!(good.parse::<LogLevel>().is_ok(), "{good}");
        }
        for wrong in ["", "verbose", "INFO!", "logrelay=loud"] {
            assert!(wrong.parse::<LogLevel>().is_err(), "{wrong}");
        }
    }
}
