//! `logrelay tail --status`: where the sources of this host stand. It asks Redis, so the
//! tailer need not run.

use std::io::{self, Write as _};

use anyhow::bail;
use tracing::warn;

use crate::{
    cli::{
        sources::{Row, printed},
        subscribe::Output,
    },
    record::{Host, SourceStatus, Topic},
    store::Store,
};

/// Prints the sources of a host in one topic, or in all.
///
/// # Errors
/// Where Redis does not answer, or the topic is not there.
pub(super) async fn print(
    store: &Store,
    host: &Host,
    topic: Option<Topic>,
    output: Output,
) -> anyhow::Result<()> {
    let topics = match topic {
        Some(topic) if store.resolve(&topic).await?.is_none() => bail!("there is no topic {topic}"),
        Some(topic) => vec![topic],
        None => store.topics().await?,
    };
    let mut rows = Vec::new();
    for topic in topics {
        let found = SourceStatus::of(store.records(&topic, host).await?);
        rows.extend(found.into_iter().map(|status| Row::of_status(&topic, status)));
    }
    if rows.is_empty() {
        warn!(%host, "there are no sources of this host; --host names another one");
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(printed(&rows, output)?.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
