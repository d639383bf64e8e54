//! How each side proves that it carried everything: by its number of lines and its last one.

use anyhow::{Context as _, ensure};
use logrelay::{
    record::{Offset, Topic},
    store::{Item, Store},
};

/// Asserts what the last line of a topic is.
pub(crate) async fn last_line_is(
    store: &Store,
    topic: &str,
    lines: u64,
    expected: &str,
) -> anyhow::Result<()> {
    let topic: Topic = topic.parse()?;
    let page = store.page(&topic, Offset::new(lines - 1)?, 2).await?;
    let [Item::Entry(entry)] = page.as_slice() else { anyhow::bail!("no last entry: {page:?}") };
    ensure!(entry.next().get() == lines, "it ends at {}", entry.next());
    let line = entry.batch.line(entry.batch.lines() - 1).context("no last line")?;
    is_line(line.content, expected)
}

/// Asserts what a line is.
pub(crate) fn is_line(found: &[u8], expected: &str) -> anyhow::Result<()> {
    ensure!(found == expected.as_bytes(), "{:?} instead of {expected:?}", String::from_utf8_lossy(found));
    Ok(())
}
