//! Metrics for Prometheus: as text, and on a port of their own where nothing else serves them.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The form that [`metrics_text`] has, as HTTP calls it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why metrics are not served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}: {error}")]
pub struct MetricsError {
    address: SocketAddr,
    error: io::Error,
}

/// A port on which nothing but `GET /metrics` is served.
#[derive(Debug)]
pub struct MetricsListener {
    address: SocketAddr,
    listener: TcpListener,
}

impl MetricsListener {
    /// Takes the port, so that one in use is noticed before anything else starts.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub async fn bind(address: SocketAddr) -> Result<Self, MetricsError> {
        let failed = |error| MetricsError { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self { address: listener.local_addr().map_err(failed)?, listener })
    }

    /// The address, with the port that was given where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the registry until `shutdown`.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub async fn serve(
        self,
        registry: Arc<Registry>,
        shutdown: CancellationToken,
    ) -> Result<(), MetricsError> {
        let Self { address, listener } = self;
        let answer =
            move || async move { ([(CONTENT_TYPE, OPENMETRICS)], metrics_text(&registry)).into_response() };
        let router = Router::new().route("/metrics", get(answer));
        let serving = axum::serve(listener, router);
        tokio::select! {
            served = serving.into_future() => served.map_err(|error| MetricsError { address, error }),
            () = shutdown.cancelled() => Ok(()),
        }
    }
}

/// Every metric of the registry, in the text format of `OpenMetrics`.
pub fn metrics_text(registry: &Registry) -> String {
    let mut text = String::new();
    if let Err(error) = encode(&mut text, registry) {
        tracing::error!(%error, "cannot write metrics");
    }
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        task::JoinSet,
    };

    use super::*;

    #[tokio::test]
    async fn metrics_are_served_until_the_shutdown_and_a_taken_port_is_named() {
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        registry.register("logrelay_lines", "Lines", counter.clone());
        counter.inc_by(7);
        let listener = MetricsListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        let taken = MetricsListener::bind(address).await.unwrap_err().to_string();
        assert!(taken.contains(&address.to_string()) && taken.contains("in use"), "{taken}");

        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.serve(Arc::new(registry), shutdown.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("logrelay_lines_total 7"), "{text}");
        shutdown.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}
