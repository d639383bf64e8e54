//! What publishing counts.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use crate::record::SealedBatch;

/// The counters of a [`Publisher`](super::Publisher). Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Lines that Redis confirmed.
    pub lines: Counter,
    /// Bytes of batches that Redis confirmed.
    pub bytes: Counter,
    /// Batches that Redis confirmed.
    pub batches: Counter,
    /// Appends that had succeeded before, and whose reply was lost.
    pub repeated_appends: Counter,
    /// Times that a source had to go on from another place than it believed.
    pub conflicts: Counter,
    /// 1 while Redis answers, 0 during an outage, be it of one node of a cluster.
    pub redis_up: Gauge,
}

impl Metrics {
    /// Counters that are shown in `registry`, named `<prefix>_…`.
    pub fn register(registry: &mut Registry, prefix: &'static str) -> Self {
        let metrics = Self::default();
        metrics.redis_up.set(1);
        let part = registry.sub_registry_with_prefix(prefix);
        part.register("lines", "Lines that Redis confirmed", metrics.lines.clone());
        part.register("bytes", "Bytes of batches that Redis confirmed", metrics.bytes.clone());
        part.register("batches", "Batches that Redis confirmed", metrics.batches.clone());
        part.register(
            "repeated_appends",
            "Appends that had succeeded, and whose reply was lost",
            metrics.repeated_appends.clone(),
        );
        part.register("conflicts", "Sources sent to another place by Redis", metrics.conflicts.clone());
        part.register("redis_up", "Whether Redis answers", metrics.redis_up.clone());
        metrics
    }

    pub(super) fn appended(&self, batch: Option<&SealedBatch>) {
        if let Some(batch) = batch {
            self.lines.inc_by(u64::from(batch.lines));
            self.bytes.inc_by(batch.stored.len() as u64);
            self.batches.inc();
        }
    }
}
