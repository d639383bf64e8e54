//! What the relay's door counts.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::bounds::Bound;

/// Words that this program fixes, and so never many.
type Label = (&'static str, &'static str);

/// The counters of one relay. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    pub(super) connections: Gauge,
    refused: Family<[Label; 1], Counter>,
    cut: Family<[Label; 1], Counter>,
    pub(super) subscriptions: Gauge,
    pub(super) subscribed: Counter,
    pub(super) batches: Counter,
    pub(super) lines: Counter,
    pub(super) bytes: Counter,
    pub(super) publishers: Gauge,
    pub(super) retention_rounds: Counter,
    pub(super) trimmed_lines: Counter,
    pub(super) expired_records: Counter,
    pub(super) lost_lines: Counter,
    unauthenticated: Family<[Label; 1], Counter>,
    reloads: Family<[Label; 2], Counter>,
    pub(super) handshakes_failed: Counter,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let part = registry.sub_registry_with_prefix("logrelay_serve");
        part.register("connections", "Connections that are open", metrics.connections.clone());
        part.register("refused", "Calls and connections over a bound", metrics.refused.clone());
        part.register("cut", "Connections that were cut off", metrics.cut.clone());
        part.register("subscriptions", "Subscriptions that are open", metrics.subscriptions.clone());
        part.register("subscribed", "Subscriptions that were opened", metrics.subscribed.clone());
        part.register("batches", "Batches that were sent", metrics.batches.clone());
        part.register("lines", "Lines that were sent", metrics.lines.clone());
        part.register("bytes", "Size of the batches that were sent", metrics.bytes.clone());
        part.register("publishers", "Streams of programs that publish", metrics.publishers.clone());
        let part = registry.sub_registry_with_prefix("logrelay_retention");
        part.register(
            "rounds",
            "Times that this relay looked for what to trim",
            metrics.retention_rounds.clone(),
        );
        part.register("trimmed_lines", "Lines that this relay trimmed", metrics.trimmed_lines.clone());
        part.register(
            "expired_records",
            "Records of gone sources that it removed",
            metrics.expired_records.clone(),
        );
        part.register(
            "lost_lines",
            "Lines that were evicted from Redis, or removed by hand",
            metrics.lost_lines.clone(),
        );
        let part = registry.sub_registry_with_prefix("logrelay_access");
        part.register("refused", "Requests that did not say who makes them", metrics.unauthenticated.clone());
        part.register("reloads", "Certificates and rules that were read again", metrics.reloads.clone());
        part.register(
            "handshakes_failed",
            "Connections that ended in the handshake of TLS",
            metrics.handshakes_failed.clone(),
        );
        metrics
    }

    /// A caller was over a bound.
    pub(super) fn refused(&self, bound: Bound) {
        self.refused.get_or_create(&[("bound", bound.name())]).inc();
    }

    /// A connection was cut off, by this setting.
    pub(super) fn cut(&self, setting: &'static str) {
        self.cut.get_or_create(&[("setting", setting)]).inc();
    }

    /// A request did not say who makes it.
    pub(super) fn unauthenticated(&self, reason: &'static str) {
        self.unauthenticated.get_or_create(&[("reason", reason)]).inc();
    }

    /// Certificates or rules were read again.
    pub(super) fn reloaded(&self, part: &'static str, applied: bool) {
        let result = if applied { "applied" } else { "refused" };
        self.reloads.get_or_create(&[("part", part), ("result", result)]).inc();
    }
}
