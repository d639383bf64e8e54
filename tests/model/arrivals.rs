//! What has arrived in the topic.

use std::collections::{HashMap, HashSet};

use logrelay::{
    record::{Offset, Topic},
    store::{Entry, Item, Store},
};

use crate::history::{Name, name_of};

pub(crate) struct Arrivals {
    store: Store,
    topic: Topic,
    next: Offset,
    names: HashSet<Name>,
}

impl Arrivals {
    pub(crate) fn new(store: Store, topic: Topic) -> Self {
        Self { store, topic, next: Offset::ZERO, names: HashSet::new() }
    }

    /// Whether a line has arrived.
    pub(crate) fn has(&self, name: Name) -> bool {
        self.names.contains(&name)
    }

    /// Looks for more; what Redis does not answer now is found the next time.
    pub(crate) async fn look(&mut self) -> Result<(), String> {
        while let Some(entries) = self.page(self.next).await
            && let Some(last) = entries.last()
        {
            self.next = next_after(last)?;
            for entry in entries {
                self.names.extend(names(&read(entry)?)?);
            }
        }
        Ok(())
    }

    /// All that is in the topic, in order; offsets have no hole, nor have the line numbers
    /// of any source.
    pub(crate) async fn all(&self) -> Result<Vec<Name>, String> {
        let (mut next, mut all, mut lines) = (Offset::ZERO, Vec::new(), HashMap::new());
        loop {
            let Some(items) = self.page(next).await else { continue };
            if items.is_empty() {
                return Ok(all);
            }
            for item in items {
                let entry = read(item)?;
                if entry.first != next {
                    return Err(format!("a hole: {} comes after {next}", entry.first));
                }
                next = entry.next();
                all.extend(names(&entry)?);
                let head = entry.batch.head();
                let key = head.source.as_ref().map(|source| source.key.clone()).unwrap_or_default();
                let expected = lines.entry(key.clone()).or_insert(0);
                if head.first_line != *expected {
                    return Err(format!("{key} goes on at line {}, not {expected}", head.first_line));
                }
                *expected += u64::from(entry.batch.lines());
            }
        }
    }

    /// None where Redis did not answer.
    async fn page(&self, from: Offset) -> Option<Vec<Item>> {
        self.store.page(&self.topic, from, 256).await.ok()
    }
}

fn read(item: Item) -> Result<Entry, String> {
    match item {
        Item::Entry(entry) => Ok(entry),
        other => Err(format!("{other:?}")),
    }
}

fn next_after(item: &Item) -> Result<Offset, String> {
    match item {
        Item::Entry(entry) => Ok(entry.next()),
        other => Err(format!("{other:?}")),
    }
}

fn names(entry: &Entry) -> Result<Vec<Name>, String> {
    let lines = (0..entry.batch.lines()).filter_map(|index| entry.batch.line(index));
    let named = lines.map(|line| {
        let text = String::from_utf8_lossy(line.content);
        name_of(&text).ok_or_else(|| format!("{text:?} was never written"))
    });
    named.collect()
}
