//! What `benches/` needs of the parts inside: no part of the interface.

use std::sync::Arc;

use super::filter::{Filter, Filters};
use crate::{proto, record::StoredBatch};

/// A filter as a subscription has it.
#[derive(Debug)]
pub struct Sieve(Arc<Filter>);

impl Sieve {
    /// None where everything is wanted, or what is asked for is wrong.
    pub fn new(asked: &proto::Filter) -> Option<Self> {
        Filters::default().get(asked).ok()?.map(Self)
    }

    /// How many lines of a batch it leaves.
    pub fn count(&self, batch: &StoredBatch) -> usize {
        self.0.places(batch).len()
    }
}
