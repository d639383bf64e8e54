//! One connection, from its first byte to its end: HTTP/2 for gRPC, HTTP/1.1 for the rest.

use std::{future::pending, sync::Arc, time::Duration};

use http::Extensions;
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    Options,
    frames::{Seen, Watched},
    guest::Guest,
    metrics::Metrics,
};

/// Calls at once over one connection, beside the streams that it may have: one too many has to
/// be told so, and must not wait in silence for HTTP/2 to allow it.
const OTHER_STREAMS: u32 = 100;
/// How much more of headers is read than is allowed, to say by name what is too much.
const HEADERS_READ: u32 = 2;
/// What a caller may send before it is read: of one stream, and of all streams of a connection. One
/// publisher that has to wait leaves room for the other calls of its connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// What a stream may hand to a connection that does not send it.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// HTTP/1.1 has no smaller buffer.
const LEAST_HEADER_BUFFER_BYTES: usize = 8192;

/// How connections are served. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    builder: Builder<TokioExecutor>,
    header_wait: Duration,
    age: Option<Duration>,
    grace: Duration,
    control_frames_per_second: u32,
    metrics: Metrics,
}

impl Manner {
    pub(super) fn new(options: &Options, metrics: Metrics) -> Self {
        let ms = |ms: u64| Duration::from_millis(ms.max(1));
        let (keepalive, header_wait) = (ms(options.keepalive_ms), ms(options.header_timeout_ms));
        let most = u32::try_from(options.max_streams_per_connection).unwrap_or(u32::MAX);
        let header_bytes = options.max_header_bytes;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(header_wait)
            .max_buf_size((header_bytes as usize).max(LEAST_HEADER_BUFFER_BYTES));
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(keepalive)
            .keep_alive_timeout(keepalive)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(header_bytes.saturating_mul(HEADERS_READ))
            .max_concurrent_streams(most.saturating_add(OTHER_STREAMS));
        Self {
            builder,
            header_wait,
            age: (options.max_connection_age_ms > 0).then(|| ms(options.max_connection_age_ms)),
            grace: ms(options.connection_grace_ms),
            control_frames_per_second: options.max_control_frames_per_second,
            metrics,
        }
    }

    /// Serves one connection until it ends: by itself, by its age, or as `closing` wants it,
    /// which waits for the calls that it has. `about` goes into every call.
    pub(super) async fn serve<S>(
        self,
        stream: S,
        about: Extensions,
        router: axum::Router,
        guest: Guest,
        closing: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let seen = Arc::new(Seen::default());
        let stream = Watched::new(stream, self.control_frames_per_second, Arc::clone(&seen), guest.clone());
        let of_call = guest.clone();
        let marked = router.map_request(move |mut request: Request<Incoming>| {
            let extensions = request.extensions_mut();
            extensions.extend(about.clone());
            extensions.insert(of_call.clone());
            request
        });
        let service = TowerToHyperService::new(marked);
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = self.silent(&seen) => return self.metrics.cut("header_timeout_ms"),
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = self.old_age() => {
                guest.begin_to_leave();
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = sleep(self.grace) => return self.metrics.cut("connection_grace_ms"),
                }
            }
        };
        if seen.is_flood() {
            self.metrics.cut("max_control_frames_per_second");
        }
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended");
        }
    }

    /// Ends when a peer has not said in time what it speaks.
    async fn silent(&self, seen: &Seen) {
        sleep(self.header_wait).await;
        if seen.is_greeted() {
            pending::<()>().await;
        }
    }

    /// Ends at the greatest age of a connection: a tenth sooner or later, so that those that
    /// came together do not go together.
    async fn old_age(&self) {
        match self.age {
            Some(age) => sleep(age.mul_f64(0.9 + 0.2 * fastrand::f64())).await,
            None => pending().await,
        }
    }
}
