//! What the hub counts.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use crate::store::Memory;

/// The counters of one hub.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) topics: Gauge,
    pub(super) windows_bytes: Gauge,
    pub(super) entries: Counter,
    pub(super) lost_lines: Counter,
    pub(super) pages: Counter,
    pub(super) page_bytes: Counter,
    pub(super) outages: Counter,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry, memory: &Memory) -> Self {
        let all = Self::default();
        let hub = registry.sub_registry_with_prefix("logrelay_hub");
        hub.register("topics", "Topics that are followed", all.topics.clone());
        hub.register("windows_bytes", "Size of all windows", all.windows_bytes.clone());
        hub.register("batches_bytes", "Size of all batches that are held", memory.held_bytes().clone());
        hub.register(
            "called_in",
            "Streams that took nothing of a large line while others waited for memory",
            memory.called_in().clone(),
        );
        hub.register("entries", "Entries that were read into windows", all.entries.clone());
        hub.register("lost_lines", "Lines that could not be read from Redis", all.lost_lines.clone());
        hub.register("pages", "Pages that readers read for themselves", all.pages.clone());
        hub.register("page_bytes", "Stored size of those pages", all.page_bytes.clone());
        hub.register("outages", "Times that Redis could not be read", all.outages.clone());
        all
    }
}
