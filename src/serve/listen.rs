//! Takes connections: as many as there is room for, and says so to the next ones.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::Extensions;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::server::Connected as _};

use super::{
    Options,
    bounds::Bound,
    census::{Census, Seat},
    connection::Manner,
    drain::Drain,
    guest::Guest,
    metrics::Metrics,
    sizes,
    tls::Tls,
};

/// How long to wait after a connection could not be accepted, such as for want of
/// file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How many connections may wait to be accepted, as far as the system allows it: a relay that
/// comes back is asked by all at once.
const BACKLOG: u32 = 4096;
/// How many connections may be told at once that there is no room for them; more are closed
/// without a word. And how long telling one may take.
const REFUSALS: usize = 64;
const REFUSAL_WAIT: Duration = Duration::from_secs(5);

/// Takes a port. One of all addresses, `[::]`, is for IPv4 too.
pub(super) fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = match at {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if at.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// The port and the connections that came through it; they end with it.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    router: axum::Router,
    tls: Option<Tls>,
    manner: Manner,
    max_connections: usize,
    room: Arc<Semaphore>,
    peers: Census<IpAddr>,
    max_per_peer: usize,
    refusals: Arc<Semaphore>,
    max_streams: usize,
    drain: Drain,
    metrics: Metrics,
    connections: JoinSet<()>,
    closing: CancellationToken,
}

/// What a connection holds while it is there.
type Place = (OwnedSemaphorePermit, Seat<IpAddr>);

impl Door {
    pub(super) fn new(
        listener: TcpListener,
        router: axum::Router,
        tls: Option<Tls>,
        options: &Options,
        drain: Drain,
        metrics: Metrics,
    ) -> Self {
        let max_connections = options.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            listener,
            router,
            tls,
            manner: Manner::new(options, metrics.clone()),
            max_connections,
            room: Arc::new(Semaphore::new(max_connections)),
            peers: Census::new(options.max_connections_per_peer),
            max_per_peer: options.max_connections_per_peer,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            max_streams: options.max_streams_per_connection,
            drain,
            metrics,
            connections: JoinSet::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Takes connections, for ever.
    pub(super) async fn serve(&mut self) -> Infallible {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => self.take(stream, from.ip()),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn take(&mut self, stream: TcpStream, from: IpAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps small packets back");
        }
        match self.place(from) {
            Ok(place) => {
                let (router, closing) = (self.router.clone(), self.closing.clone());
                let connection = self.connection(stream, router, closing);
                let metrics = self.metrics.clone();
                self.connections.spawn(async move {
                    metrics.connections.inc();
                    connection.await;
                    metrics.connections.dec();
                    drop(place);
                });
            }
            Err(status) => {
                let Ok(room) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
                let told = self.closing.child_token();
                let router = sizes::always(status, told.clone());
                let connection = self.connection(stream, router, told);
                self.connections.spawn(async move {
                    timeout(REFUSAL_WAIT, connection).await.ok();
                    drop(room);
                });
            }
        }
    }

    /// Room for a connection from there.
    fn place(&self, from: IpAddr) -> Result<Place, Status> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return Err(Bound::Connections.reached(self.max_connections, &self.metrics));
        };
        let Some(seat) = self.peers.seat(network(from)) else {
            return Err(Bound::ConnectionsPerPeer.reached(self.max_per_peer, &self.metrics));
        };
        Ok((room, seat))
    }

    fn connection(
        &self,
        stream: TcpStream,
        router: axum::Router,
        closing: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let guest = Guest::new(self.max_streams, &self.drain);
        let (manner, tls) = (self.manner.clone(), self.tls.clone());
        let mut about = Extensions::new();
        about.insert(stream.connect_info());
        async move {
            let Some(tls) = tls else { return manner.serve(stream, about, router, guest, closing).await };
            let shaken = tokio::select! {
                shaken = Box::pin(tls.accept(stream)) => shaken,
                () = closing.cancelled() => return,
            };
            match shaken {
                Ok((stream, certificate)) => {
                    certificate.map(|certificate| about.insert(certificate));
                    Box::pin(manner.serve(stream, about, router, guest, closing)).await;
                }
                Err(error) => tracing::debug!(%error, "a handshake of TLS failed"),
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

/// Who counts as one: an IPv4 address, or the /64 network of an IPv6 address, of which a
/// single host has all addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_and_the_addresses_of_one_are_not() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
