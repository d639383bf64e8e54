//! ⑤ The relay's door: gRPC, health, reflection and metrics on one port.
//!
//! A [`Service`] listens, hands connections to the routes, and runs the [`Hub`] that
//! its subscriptions read from. When it is told to stop, health says so first, then
//! every subscription gets its `closing`, and only then the port closes.

mod administer;
mod arrival;
pub mod benching;
mod body;
mod bounds;
mod census;
mod codec;
mod connection;
mod cursors;
mod cut;
mod drain;
mod durable;
mod entrance;
mod event;
mod fetch;
mod filter;
mod frame;
mod frames;
mod guard;
mod guest;
mod health;
mod lane;
mod listen;
mod matches;
mod metrics;
mod page;
mod permit;
mod publish;
mod relay;
mod reload;
mod request;
mod retention;
mod sizes;
mod status;
mod subscribe;
mod tls;
mod topic;
mod topics;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    codec::{RequestCodec, RequestDecoder},
    entrance::{AccessOptions, check},
    publish::{BytesDecoder, PublishCodec, PublishOptions},
    reload::Reloader,
    retention::RetentionOptions,
    tls::{ClientCertificates, TlsError, TlsOptions},
};
use self::{
    drain::Drain, durable::Claims, entrance::Entrance, health::Health, listen::Door, metrics::Metrics,
    publish::Publishing, relay::Relay, reload::Reload, retention::Retention, tls::Tls,
};
use crate::{
    files::FileError,
    hub::{self, Hub},
    store::{DurableBounds, MAX_PAYLOAD_BYTES, Store},
};

/// The server side of the contract, with the codec of ours.
mod generated {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    include!(concat!(env!("OUT_DIR"), "/server/logrelay.v1.LogRelay.rs"));
}

/// Where to listen, and what a caller may ask for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Greatest number of connections; more are refused.
    pub max_connections: usize,
    /// Greatest number of connections from one address (IPv6: a /64 network); 0: no bound.
    pub max_connections_per_peer: usize,
    /// Greatest number of subscriptions; more are refused.
    pub max_subscriptions: usize,
    /// Greatest number of streams, subscriptions and publishers, over one connection.
    pub max_streams_per_connection: usize,
    /// Greatest number of subscriptions of one caller, by name; 0: no bound.
    pub max_subscriptions_per_identity: usize,
    /// Greatest number of topics of one subscription.
    pub max_topics: usize,
    /// Greatest number of lines of one batch, where the caller says nothing.
    pub batch_lines: u32,
    /// Greatest number that a caller may ask for.
    pub max_batch_lines: u32,
    /// Greatest size of one batch in bytes, where the caller says nothing.
    pub batch_bytes: u32,
    /// Greatest size that a caller may ask for.
    pub max_batch_bytes: u32,
    /// Greatest size of one message of a caller in bytes.
    pub max_request_bytes: usize,
    /// Greatest size of the headers of a call in bytes.
    pub max_header_bytes: u32,
    /// How long the beginning of a connection, and the head of an HTTP/1.1 request, may take.
    pub header_timeout_ms: u64,
    /// How long the first message of a call may take to come.
    pub request_timeout_ms: u64,
    /// Greatest number of HTTP/2 frames a second that carry nothing (pings, settings, resets)
    /// over one connection, and ten times that at once.
    pub max_control_frames_per_second: u32,
    /// Greatest age of a connection, a tenth more or less: its streams are told to go on
    /// elsewhere; 0: no bound.
    pub max_connection_age_ms: u64,
    /// How long the calls of such a connection may take to end.
    pub connection_grace_ms: u64,
    /// How long a connection may be silent before it is asked whether it lives; after
    /// as long again it counts as dead.
    pub keepalive_ms: u64,
    /// How long unary calls wait for Redis.
    pub redis_wait_ms: u64,
    /// How often health asks Redis, and how long it waits for the answer.
    pub probe_ms: u64,
    /// How long a relay that is told to stop goes on serving, while health says that it does
    /// not: until load balancers have seen it.
    pub drain_notice_ms: u64,
    /// How long stopping may take, with that; at most half of it is for the notice.
    pub drain_ms: u64,
    /// How much of every topic is kept.
    pub retention: RetentionOptions,
    /// How many durable subscriptions there may be, and for how long.
    pub durable: DurableBounds,
    /// What programs may publish.
    pub publish: PublishOptions,
    /// The certificate of the port, and those of clients.
    pub tls: TlsOptions,
    /// Who may come in.
    pub access: AccessOptions,
}

impl Options {
    /// The defaults, at this address.
    pub fn new(listen: SocketAddr) -> Self {
        let bytes = u32::try_from(MAX_PAYLOAD_BYTES).unwrap_or(u32::MAX);
        Self {
            listen,
            max_connections: 10_000,
            max_connections_per_peer: 0,
            max_subscriptions: 10_000,
            max_streams_per_connection: 1000,
            max_subscriptions_per_identity: 0,
            max_topics: 100,
            batch_lines: 8192,
            max_batch_lines: 8192,
            batch_bytes: bytes,
            max_batch_bytes: bytes,
            max_request_bytes: 4 * 1024 * 1024,
            max_header_bytes: 16 * 1024,
            header_timeout_ms: 10_000,
            request_timeout_ms: 10_000,
            max_control_frames_per_second: 1000,
            max_connection_age_ms: 3_600_000,
            connection_grace_ms: 10_000,
            keepalive_ms: 20_000,
            redis_wait_ms: 5000,
            probe_ms: 1000,
            drain_notice_ms: 0,
            drain_ms: 8000,
            retention: RetentionOptions::default(),
            durable: DurableBounds::default(),
            publish: PublishOptions::default(),
            tls: TlsOptions::default(),
            access: AccessOptions::default(),
        }
    }
}

impl Options {
    /// How long health says that the relay stops before it does.
    fn notice(&self) -> Duration {
        let most = self.drain_ms / 2;
        if self.drain_notice_ms > most {
            tracing::warn!(
                drain_notice_ms = self.drain_notice_ms,
                most,
                "the notice is cut to what is left for it"
            );
        }
        Duration::from_millis(self.drain_notice_ms.min(most))
    }
}

/// Why a relay cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {at}: {source}{}", hint(.source))]
    Listen {
        /// The address.
        at: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Others could read everything, which was not asked for in plain words.
    #[error(
        "{at} can be reached from other machines, and nothing says who may read there: give --access-file \
         (tokens) or --tls-client-ca (certificates of clients), or say by --insecure-public that \
         everybody may read, write and delete everything"
    )]
    Exposed {
        /// The address.
        at: SocketAddr,
    },
    /// Rules and none at once.
    #[error(
        "--access-file and --insecure-public contradict each other: the one says who may come in, the other everybody"
    )]
    Contradiction,
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file of rules cannot be used.
    #[error(transparent)]
    Rules(#[from] FileError),
    /// The contract compiled into the program is not readable, which is a mistake in it.
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The hub ended.
    #[error(transparent)]
    Hub(#[from] hub::Error),
}

impl Error {
    /// Whether the options have to be others.
    pub fn is_misuse(&self) -> bool {
        matches!(self, Self::Exposed { .. } | Self::Contradiction | Self::Tls(_) | Self::Rules(_))
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another program has the port; choose another one with --listen)",
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need a privilege)",
        _ => "",
    }
}

/// A relay that listens already.
#[derive(Debug)]
pub struct Service {
    options: Options,
    listener: TcpListener,
    local_addr: SocketAddr,
    router: axum::Router,
    health: Health,
    hub: Hub,
    drain: Drain,
    retention: Retention,
    publishing: Publishing,
    tls: Option<Tls>,
    reload: Reload,
    metrics: Metrics,
    claims: Claims,
}

impl Service {
    /// Takes the port. `registry` is what `/metrics` shows.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn bind(
        options: Options,
        store: Store,
        hub: Hub,
        mut registry: Registry,
    ) -> Result<Self, Error> {
        let metrics = Metrics::register(&mut registry);
        let Entrance { tls, guard, reload } = Entrance::load(&options, metrics.clone(), &mut registry)?;
        let at = options.listen;
        let listener = listen::bind(at).map_err(|source| Error::Listen { at, source })?;
        let local_addr = listener.local_addr().map_err(|source| Error::Listen { at, source })?;
        let drain = Drain::new();
        let retention = Retention::new(store.clone(), options.retention.clone(), metrics.clone());
        let publishing = Publishing::new(
            options.publish.clone(),
            options.redis_wait_ms,
            store.clone(),
            crate::publish::Metrics::register(&mut registry, "logrelay_serve_publish"),
            metrics.clone(),
        );
        let claims = Claims::new(store.clone(), options.durable, metrics.clone());
        let relay = Relay::new(
            options.clone(),
            store.clone(),
            hub.handle(),
            metrics.clone(),
            drain.clone(),
            publishing.clone(),
            claims.clone(),
        );
        let (health, health_routes) = Health::new(store, hub.handle(), options.probe_ms).await;
        let router = relay::routes(relay, health_routes, guard, Arc::new(registry))?;
        let router = sizes::within(router, &options, &metrics);
        Ok(Self {
            options,
            listener,
            local_addr,
            router,
            health,
            hub,
            drain,
            retention,
            publishing,
            tls,
            reload,
            metrics,
            claims,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where it can be asked, as a client is told it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.local_addr)
    }

    /// Reads certificates and rules again when it is asked to.
    pub fn reloader(&self) -> Reloader {
        self.reload.handle()
    }

    /// Serves until `shutdown`, and then stops within the time that the options give.
    ///
    /// # Errors
    /// [`Error`] when a part of it died.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { options, listener, router, tls, health, hub, drain, metrics, .. } = self;
        let Self { retention, publishing, reload, claims, .. } = self;
        tracing::info!(listen = %self.local_addr, "serving");
        let hub_stop = CancellationToken::new();
        let _stops_the_hub = hub_stop.clone().drop_guard();
        let mut hub = std::pin::pin!(hub.run(hub_stop.clone()));
        let mut door = Door::new(listener, router, tls, &options, drain.clone(), metrics);
        tokio::select! {
            () = shutdown.cancelled() => {}
            ended = &mut hub => return Ok(ended?),
            never = door.serve() => match never {},
            never = health.watch() => match never {},
            never = retention.run() => match never {},
            never = claims.run() => match never {},
            never = reload.run() => match never {},
            never = publishing.audit() => match never {},
        }
        tracing::info!(within_ms = options.drain_ms, "stopping");
        // Subscriptions still read from the hub, and callers still knock, until all
        // were told to go.
        let stop = async {
            health.stop().await;
            tokio::select! {
                () = sleep(options.notice()) => {}
                never = door.serve() => match never {},
            }
            drain.begin();
            tokio::select! {
                () = drain.ended() => {}
                never = door.serve() => match never {},
            }
            door.close().await;
        };
        let within = Duration::from_millis(options.drain_ms);
        tokio::select! {
            ended = &mut hub => return Ok(ended?),
            stopped = timeout(within, stop) => {
                if stopped.is_err() {
                    tracing::warn!(within_ms = options.drain_ms, "some callers were cut off");
                }
            }
        }
        hub_stop.cancel();
        Ok(hub.await?)
    }
}
