//! The bounds that a caller can reach, by the names of their settings, and how that is said.

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
        }
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
        }
    }

    /// `RESOURCE_EXHAUSTED`, with the name of the bound and its value. It is counted.
    pub(super) fn reached(self, most: usize, metrics: &Metrics) -> Status {
        metrics.refused(self);
        let name = self.name();
        let message = format!("{}, which is its bound {name}", self.what(most));
        let metadata = [(name, most.to_string())];
        status::with_reason(Code::ResourceExhausted, self.reason(), message, &metadata)
    }
}
