//! Relays that run as processes of their own.
#![allow(dead_code, reason = "every target takes what it needs")]

use crate::{
    process::Process,
    suite::support::{TestRedis, relay::get},
};

/// A running `logrelay serve`.
pub(crate) struct Relay {
    pub(crate) process: Process,
    pub(crate) url: String,
}

impl Relay {
    /// A relay on a free port.
    pub(crate) async fn start(redis: &TestRedis) -> Self {
        Self::with(redis, "--listen 127.0.0.1:0").await
    }

    /// A relay with these arguments, `--listen` among them; returns when it listens.
    pub(crate) async fn with(redis: &TestRedis, words: &str) -> Self {
        Self::over(&redis.url().to_string(), words).await
    }

    /// The same, by the URL of Redis.
    pub(crate) async fn over(redis: &str, words: &str) -> Self {
        let words = format!("serve --redis {redis} {words}");
        let mut process = Process::start(&words);
        let rest = process.until_it_says("serving listen=").await;
        let url = format!("http://{}", rest.split_whitespace().next().unwrap());
        Self { process, url }
    }

    /// What it counts under a name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = get(&self.url, "/metrics").await.1;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}
