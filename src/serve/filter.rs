//! Which lines a subscription wants: compiled once, and shared with their results by all
//! subscriptions that ask for the same.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use globset::GlobSet;
use prost::Message as _;

use self::{matcher::Matcher, recent::Recent, selected::Selected};
use super::status::Violation;
use crate::{proto, record::StoredBatch, store::Entry};

mod matcher;
mod parse;
mod recent;
pub(super) mod selected;
#[cfg(test)]
mod tests;

/// Conditions that all have to hold.
pub(super) struct Filter {
    matchers: Vec<Matcher>,
    hosts: Option<GlobSet>,
    paths: Option<GlobSet>,
    labels: BTreeMap<String, String>,
    /// What was selected of the last entries: readers at the tail ask for the same.
    recent: Recent,
}

impl Filter {
    /// What is wanted of an entry; none where that is everything.
    pub(super) fn select(&self, entry: &Arc<Entry>) -> Option<Arc<Selected>> {
        let batch = &entry.batch;
        let select = || Selected::of(entry, self.places(batch));
        if entry.memory().is_short() {
            self.recent.forget();
            return select().map(Arc::new);
        }
        self.recent.get_or_insert(entry, select)
    }

    /// The places of the lines that are wanted.
    pub(super) fn places(&self, batch: &StoredBatch) -> Vec<u32> {
        if !self.wants_source(batch) {
            return Vec::new();
        }
        let wants = |index: &u32| self.wants_content(batch, *index) && self.wants_labels(batch, *index);
        match self.matchers.iter().find(|matcher| matcher.can_search()) {
            Some(matcher) => matcher.lines(batch).filter(wants).collect(),
            None => (0..batch.lines()).filter(wants).collect(),
        }
    }

    fn wants_content(&self, batch: &StoredBatch, index: u32) -> bool {
        let Some(line) = batch.line(index) else { return false };
        self.matchers.iter().all(|matcher| matcher.wants(line.content))
    }

    fn wants_source(&self, batch: &StoredBatch) -> bool {
        let source = batch.head().source.as_ref();
        let of = |globs: &Option<GlobSet>, text: fn(&proto::Source) -> &str| match globs {
            None => true,
            Some(globs) => source.is_some_and(|source| globs.is_match(text(source))),
        };
        of(&self.hosts, |source| &source.host) && of(&self.paths, |source| &source.path)
    }

    fn wants_labels(&self, batch: &StoredBatch, index: u32) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let own = batch.decoded_line(index).map(|line| line.labels).unwrap_or_default();
        let of_source = batch.head().source.as_ref().map(|source| &source.labels);
        let value = |name: &String| own.get(name).or_else(|| of_source?.get(name));
        self.labels.iter().all(|(name, wanted)| value(name) == Some(wanted))
    }
}

impl fmt::Debug for Filter {
    /// Without its patterns: they may be secrets of who reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("matchers", &self.matchers.len()).finish_non_exhaustive()
    }
}

/// All filters that somebody uses, by what was asked for.
#[derive(Debug, Default)]
pub(super) struct Filters {
    used: Mutex<HashMap<Vec<u8>, Weak<Filter>>>,
}

impl Filters {
    /// The filter for a request; none where everything is wanted.
    ///
    /// # Errors
    /// What is wrong with it, field by field.
    pub(super) fn get(&self, asked: &proto::Filter) -> Result<Option<Arc<Filter>>, Vec<Violation>> {
        if *asked == proto::Filter::default() {
            return Ok(None);
        }
        parse::check_sizes(asked)?;
        let key = asked.encode_to_vec();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = used.get(&key).and_then(Weak::upgrade) {
            return Ok(Some(filter));
        }
        drop(used);
        let filter = Arc::new(parse::compile(asked)?);
        used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, filter| filter.strong_count() > 0);
        used.insert(key, Arc::downgrade(&filter));
        Ok(Some(filter))
    }
}
