//! `logrelay topics retention`.

use super::Relays;
use crate::{client, proto::Retention, record::Topic};

/// Which topic, and how much of it is to be kept; without that, how much is.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topic
    topic: Topic,
    /// Greatest age of a line, in milliseconds; 0: no bound
    #[arg(long, value_name = "MS")]
    age_ms: Option<u64>,
    /// Greatest stored size, in bytes; 0: no bound
    #[arg(long, value_name = "BYTES")]
    bytes: Option<u64>,
    /// Keep as much as the relays do by default
    #[arg(long, conflicts_with_all = ["age_ms", "bytes"])]
    default: bool,
}

/// Sets what is to be set; a line of how much is kept then.
pub(super) async fn run(arguments: Arguments, relays: &Relays) -> anyhow::Result<String> {
    let Arguments { topic, age_ms, bytes, default } = arguments;
    let found = client::get_topic(&relays.relays, &topic, 1, relays.timeout_ms).await?;
    let before = found.topic.and_then(|topic| topic.retention).unwrap_or_default();
    let after = if default {
        Retention::default()
    } else {
        Retention { max_age_ms: age_ms.or(before.max_age_ms), max_bytes: bytes.or(before.max_bytes) }
    };
    if default || age_ms.is_some() || bytes.is_some() {
        client::set_retention(&relays.relays, &topic, after, relays.timeout_ms).await?;
    }
    Ok(format!(
        "{topic}: {}, {}\n",
        told("age", after.max_age_ms, "ms"),
        told("size", after.max_bytes, "bytes")
    ))
}

fn told(what: &str, bound: Option<u64>, unit: &str) -> String {
    match bound {
        None => format!("{what} by default"),
        Some(0) => format!("{what} without bound"),
        Some(bound) => format!("{what} at most {bound} {unit}"),
    }
}
