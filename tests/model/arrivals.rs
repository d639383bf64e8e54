//! What has arrived in the topic.

use std::collections::{HashMap, HashSet};

use logrelay::{
    record::{Offset, Topic},
    store::{Entry, Item, Store},
};

use crate::history::{Arrived, Name, hash_of, name_of};

pub(crate) struct Arrivals {
    store: Store,
    topic: Topic,
    next: Offset,
    names: HashSet<Name>,
    namer: Namer,
}

/// Names lines; a banner when the line after it is there.
#[derive(Default)]
struct Namer {
    /// The banner that came last, by source.
    banners: HashMap<String, u64>,
}

impl Arrivals {
    pub(crate) fn new(store: Store, topic: Topic) -> Self {
        Self { store, topic, next: Offset::ZERO, names: HashSet::new(), namer: Namer::default() }
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
                let named = self.namer.names(&read(entry)?)?;
                self.names.extend(named.into_iter().map(|(name, _)| name));
            }
        }
        Ok(())
    }

    /// All that is in the topic, in order; offsets have no hole, nor have the line numbers
    /// of any source.
    pub(crate) async fn all(&self) -> Result<Vec<Arrived>, String> {
        let (mut next, mut all, mut lines) = (Offset::ZERO, Vec::new(), HashMap::new());
        let mut namer = Namer::default();
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
                all.extend(namer.names(&entry)?);
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

impl Namer {
    fn names(&mut self, entry: &Entry) -> Result<Vec<Arrived>, String> {
        let source = entry.batch.head().source.as_ref().map(|source| source.key.clone()).unwrap_or_default();
        let mut named = Vec::new();
        for line in (0..entry.batch.lines()).filter_map(|index| entry.batch.line(index)) {
            let hash = hash_of(line.content);
            match name_of(line.content)? {
                Some(name @ (log, incarnation, _)) => {
                    let banner = self.banners.remove(&source);
                    named.extend(banner.map(|hash| ((log, incarnation, 0), hash)));
                    named.push((name, hash));
                }
                None if self.banners.insert(source.clone(), hash).is_some() => {
                    return Err(format!("the banner of {source} came again at its second line"));
                }
                None => {}
            }
        }
        Ok(named)
    }
}
