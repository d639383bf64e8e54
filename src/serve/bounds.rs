//! The bounds that a caller can reach, by the names of their settings, and how that is said.

use std::sync::Arc;

use tonic::{Code, Status};

use super::{metrics::Metrics, status};

/// A bound of the relay's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Connections,
    ConnectionsPerPeer,
    Subscriptions,
    StreamsPerConnection,
    SubscriptionsPerIdentity,
    Publishers,
    RequestBytes,
    HeaderBytes,
    RequestTime,
    Topics,
    Producers,
    DurableSubscriptions,
    Held,
}

impl Bound {
    /// The setting.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "max_connections",
            Self::ConnectionsPerPeer => "max_connections_per_peer",
            Self::Subscriptions => "max_subscriptions",
            Self::StreamsPerConnection => "max_streams_per_connection",
            Self::SubscriptionsPerIdentity => "max_subscriptions_per_identity",
            Self::Publishers => "max_publishers",
            Self::RequestBytes => "max_request_bytes",
            Self::HeaderBytes => "max_header_bytes",
            Self::RequestTime => "request_timeout_ms",
            Self::Topics => "max_topics",
            Self::Producers => "max_producers",
            Self::DurableSubscriptions => "max_durable_subscriptions",
            Self::Held => "held_bytes",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Connections | Self::ConnectionsPerPeer => "TOO_MANY_CONNECTIONS",
            Self::StreamsPerConnection => "TOO_MANY_STREAMS",
            Self::Subscriptions | Self::SubscriptionsPerIdentity => "TOO_MANY_SUBSCRIPTIONS",
            Self::Publishers => "TOO_MANY_PUBLISHERS",
            Self::RequestBytes => "REQUEST_TOO_LARGE",
            Self::HeaderBytes => "HEADERS_TOO_LARGE",
            Self::RequestTime => "NO_REQUEST",
            Self::Topics => "TOO_MANY_TOPICS",
            Self::Producers => "TOO_MANY_PRODUCERS",
            Self::DurableSubscriptions => "TOO_MANY_DURABLE_SUBSCRIPTIONS",
            Self::Held => "TOO_MUCH_HELD",
        }
    }

    fn code(self) -> Code {
        if self == Self::RequestTime { Code::DeadlineExceeded } else { Code::ResourceExhausted }
    }

    fn what(self, most: usize) -> String {
        match self {
            Self::Connections => format!("this relay has {most} connections"),
            Self::ConnectionsPerPeer => format!("this address has {most} connections"),
            Self::Subscriptions => format!("this relay has {most} subscriptions"),
            Self::StreamsPerConnection => format!("this connection has {most} streams"),
            Self::SubscriptionsPerIdentity => format!("this caller has {most} subscriptions"),
            Self::Publishers => format!("this relay has {most} publishers"),
            Self::RequestBytes => format!("the request is larger than {most} bytes"),
            Self::HeaderBytes => format!("the headers are larger than {most} bytes"),
            Self::RequestTime => format!("the request did not come within {most} ms"),
            Self::Topics => format!("a subscription has {most} topics at most"),
            Self::Producers => format!("the topic has {most} producers"),
            Self::DurableSubscriptions => format!("the topic has {most} durable subscriptions"),
            Self::Held => format!("callers that do not read have {most} bytes"),
        }
    }

    /// `RESOURCE_EXHAUSTED`, or `DEADLINE_EXCEEDED` of a time, with the name of the bound and its
    /// value. It is counted.
    pub(super) fn reached(self, most: usize, metrics: &Metrics) -> Status {
        let message = format!("{}, which is its bound {}", self.what(most), self.name());
        self.refused(most, message, &[], metrics)
    }

    /// The same in words of its own, with what else a program may want to know of it.
    pub(super) fn refused(
        self,
        most: usize,
        message: String,
        more: &[(&str, String)],
        metrics: &Metrics,
    ) -> Status {
        metrics.refused(self);
        let metadata = [&[(self.name(), most.to_string())], more].concat();
        status::with_reason(self.code(), self.reason(), message, &metadata)
    }
}

/// How many topics a subscription may have. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct TopicBound {
    most: usize,
    metrics: Arc<Metrics>,
}

impl TopicBound {
    pub(super) fn new(most: usize, metrics: Metrics) -> Self {
        Self { most, metrics: Arc::new(metrics) }
    }

    /// Whether so many are not too many.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`.
    pub(super) fn check(&self, found: usize) -> Result<(), Status> {
        if found <= self.most {
            return Ok(());
        }
        let message = format!(
            "{found} topics are more than a subscription may have: the bound max_topics is {}",
            self.most
        );
        Err(Bound::Topics.refused(self.most, message, &[], &self.metrics))
    }
}
