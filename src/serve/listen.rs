//! Takes connections and speaks HTTP on them: HTTP/2 for gRPC, HTTP/1.1 for the rest.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{either::Either, sync::CancellationToken};
use tonic::transport::server::Connected as _;
use tower::ServiceExt as _;

use super::{Options, tls::Tls};

/// How long to wait after a connection could not be accepted, such as for want of
/// file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Greatest number of calls at once over one connection.
const MAX_STREAMS: u32 = 1000;
/// How long a caller may take for its first byte, and for the head of an HTTP/1.1
/// request.
const HEADER_WAIT: Duration = Duration::from_secs(10);

/// The port and the connections that came through it; they end with it.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    router: axum::Router,
    tls: Option<Tls>,
    builder: Builder<TokioExecutor>,
    room: Arc<Semaphore>,
    connections: JoinSet<()>,
    closing: CancellationToken,
}

impl Door {
    pub(super) fn new(
        listener: TcpListener,
        router: axum::Router,
        tls: Option<Tls>,
        options: &Options,
    ) -> Self {
        let keepalive = Duration::from_millis(options.keepalive_ms.max(1));
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_WAIT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(keepalive)
            .keep_alive_timeout(keepalive)
            .max_concurrent_streams(MAX_STREAMS);
        let room = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        let (connections, closing) = (JoinSet::new(), CancellationToken::new());
        Self { listener, router, tls, builder, room, connections, closing }
    }

    /// Takes connections, for ever. At the greatest number of them, the next ones
    /// wait outside.
    pub(super) async fn serve(&mut self) -> Infallible {
        loop {
            let room = Arc::clone(&self.room);
            let accepted = async {
                let seat = room.acquire_owned().await;
                (self.listener.accept().await, seat)
            };
            tokio::select! {
                (stream, seat) = accepted => match stream {
                    Ok((stream, _)) => {
                        let connection = self.connection(stream);
                        self.connections.spawn(async move {
                            connection.await;
                            drop(seat);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn connection(&self, stream: TcpStream) -> impl Future<Output = ()> + Send + 'static {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps small packets back");
        }
        let (builder, closing, tls) = (self.builder.clone(), self.closing.clone(), self.tls.clone());
        let router = self.router.clone();
        async move {
            tokio::select! {
                spoke = timeout(HEADER_WAIT, stream.readable()) => if !matches!(spoke, Ok(Ok(()))) { return },
                () = closing.cancelled() => return,
            }
            let peer = stream.connect_info();
            let (stream, certificate) = match tls {
                None => (Either::Left(stream), None),
                Some(tls) => match tls.accept(stream).await {
                    Ok((stream, certificate)) => (Either::Right(stream), certificate),
                    Err(error) => {
                        tracing::debug!(?peer, %error, "no handshake of TLS");
                        return;
                    }
                },
            };
            let marked = router.map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer.clone());
                if let Some(certificate) = &certificate {
                    request.extensions_mut().insert(certificate.clone());
                }
                request
            });
            let service = TowerToHyperService::new(marked);
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(error, "a connection ended");
            }
        }
    }

    /// Closes the port and waits for the connections to end what they have begun.
    pub(super) async fn close(mut self) {
        drop(self.listener);
        self.closing.cancel();
        while self.connections.join_next().await.is_some() {}
    }
}
