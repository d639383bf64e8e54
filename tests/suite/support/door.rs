//! A door before a relay or a Redis that does to connections what networks do: it cuts them,
//! slows them, lets them fall silent, and loses answers. It knows no protocol; faults that hit a
//! known request are those of `suite::proxy`.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

const BLOCK_BYTES: usize = 16 * 1024;

/// Passes bytes on; its connections are cut when it is dropped, too.
pub(crate) struct Door {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    to: Mutex<Server>,
    connections: AtomicU64,
    /// Connections up to this one are cut.
    cut: watch::Sender<u64>,
    /// Connections up to this one are open, and nothing goes through them any more.
    silent: watch::Sender<u64>,
    is_shut: AtomicBool,
    delay_ms: AtomicU64,
    answers_to_lose: AtomicU64,
}

#[derive(Clone)]
enum Server {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Door {
    /// A door before a relay.
    pub(crate) async fn before(url: &str) -> Self {
        Self::to(Server::Tcp(address_of(url))).await
    }

    /// A door before a server behind a unix socket.
    pub(crate) async fn before_socket(socket: &Path) -> Self {
        Self::to(Server::Unix(socket.to_owned())).await
    }

    /// A door that leads nowhere yet, for a server that has to know its port.
    pub(crate) async fn alone() -> Self {
        Self::before_socket(Path::new("")).await
    }

    async fn to(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            to: Mutex::new(server),
            connections: AtomicU64::new(0),
            cut: watch::Sender::new(0),
            silent: watch::Sender::new(0),
            is_shut: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            answers_to_lose: AtomicU64::new(0),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&shared)));
        Self { url, shared, _serving: serving }
    }

    /// The port of 127.0.0.1 on which it is.
    pub(crate) fn port(&self) -> u16 {
        address_of(&self.url).port()
    }

    /// Leads new connections to another relay.
    pub(crate) fn lead_to(&self, url: &str) {
        *self.shared.to.lock().unwrap() = Server::Tcp(address_of(url));
    }

    /// Leads new connections to a server behind a unix socket.
    pub(crate) fn lead_to_socket(&self, socket: &Path) {
        *self.shared.to.lock().unwrap() = Server::Unix(socket.to_owned());
    }

    /// Cuts all connections that there are.
    pub(crate) fn cut(&self) {
        self.shared.cut.send_replace(self.shared.connections.load(Ordering::Relaxed));
    }

    /// Cuts all connections, and new ones at once, until it is opened.
    pub(crate) fn shut(&self) {
        self.shared.is_shut.store(true, Ordering::Relaxed);
        self.cut();
    }

    /// Lets nothing through the connections that there are, which stay open, for ever.
    pub(crate) fn silence(&self) {
        self.shared.silent.send_replace(self.shared.connections.load(Ordering::Relaxed));
    }

    /// The same, also for connections that are made until it is opened.
    pub(crate) fn silence_all(&self) {
        self.shared.silent.send_replace(u64::MAX);
    }

    /// Holds up everything for so long, block by block and in both directions.
    pub(crate) fn slow(&self, delay: Duration) {
        self.shared.delay_ms.store(delay.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }

    /// Of the answers to come, so many are lost, and their connections cut.
    pub(crate) fn lose_answers(&self, count: u64) {
        self.shared.answers_to_lose.store(count, Ordering::Relaxed);
    }

    /// Lets everything through from now on; silent connections stay so.
    pub(crate) fn open(&self) {
        self.shared.is_shut.store(false, Ordering::Relaxed);
        self.slow(Duration::ZERO);
        self.lose_answers(0);
        if *self.shared.silent.borrow() == u64::MAX {
            self.silence();
        }
    }
}

fn address_of(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        if !shared.is_shut.load(Ordering::Relaxed) {
            connections.spawn(serve(client, number, Arc::clone(&shared)));
        }
    }
}

async fn serve(client: TcpStream, number: u64, shared: Arc<Shared>) {
    let (mut cut, mut silent) = (shared.cut.subscribe(), shared.silent.subscribe());
    // Not dropped where it is silent: both sides believe in it.
    let mut served = std::pin::pin!(connect(client, &shared));
    let serving = async {
        tokio::select! {
            biased;
            _ = silent.wait_for(|last| number <= *last) => {}
            // An error is the end of one side; dropping both tells the other.
            _ = &mut served => return,
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        _ = cut.wait_for(|last| number <= *last) => {}
        () = serving => {}
    }
}

async fn connect(client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = shared.to.lock().unwrap().clone();
    match server {
        Server::Tcp(address) => {
            let server = TcpStream::connect(address).await?;
            server.set_nodelay(true)?;
            pass(client, server, shared).await
        }
        Server::Unix(path) => pass(client, UnixStream::connect(path).await?, shared).await,
    }
}

/// Until one side ends.
async fn pass(client: TcpStream, server: impl AsyncRead + AsyncWrite, shared: &Shared) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let is_asked = AtomicBool::new(false);
    let asking = async {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            let bytes = from_client.read(&mut block).await?;
            if bytes == 0 {
                return Ok(());
            }
            shared.hold_up().await;
            is_asked.store(true, Ordering::Relaxed);
            to_server.write_all(&block[..bytes]).await?;
        }
    };
    let answering = async {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            let bytes = from_server.read(&mut block).await?;
            if bytes == 0 || (is_asked.swap(false, Ordering::Relaxed) && shared.loses_an_answer()) {
                return Ok(());
            }
            shared.hold_up().await;
            to_client.write_all(&block[..bytes]).await?;
        }
    };
    tokio::select! {
        ended = asking => ended,
        ended = answering => ended,
    }
}

impl Shared {
    async fn hold_up(&self) {
        let delay_ms = self.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            sleep(Duration::from_millis(delay_ms)).await;
        }
    }

    fn loses_an_answer(&self) -> bool {
        let one_less = |count: u64| count.checked_sub(1);
        self.answers_to_lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}
