//! A TCP proxy before a Redis, which loses what the test wants it to lose. It looks at
//! requests one at a time, so every fault hits a known one.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use logrelay::store::RedisUrl;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes through, and so does its answer.
    Pass,
    /// The connection ends before it reaches the server.
    CutBefore,
    /// The server carries it out; then the connection ends, without its answer.
    CutAfter,
    /// It goes through after this time, also when its client has given up meanwhile.
    Late(Duration),
    /// It does not reach the server; this is its answer.
    Answer(&'static str),
    /// The server carries it out; from then on the connection is silent and stays open.
    Silence,
}

/// Decides the fate of a request by its bytes.
type Judge = Box<dyn FnMut(&[u8]) -> Fate + Send>;

struct Shared {
    server: Mutex<SocketAddr>,
    judge: Mutex<Judge>,
    requests: AtomicU64,
    faults: AtomicU64,
    connections: AtomicU64,
    /// Connections up to this one are open, and nothing goes through them any more.
    muted: watch::Sender<u64>,
}

/// The proxy; its tasks end with it.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    at: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A proxy to a Redis on this port of 127.0.0.1 that lets all through.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: Mutex::new(SocketAddr::from(([127, 0, 0, 1], port))),
            judge: Mutex::new(Box::new(|_| Fate::Pass)),
            requests: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            muted: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, at, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> RedisUrl {
        format!("redis://{}", self.at).parse().unwrap()
    }

    /// Decides by this from now on.
    pub(crate) fn judge(&self, judge: impl FnMut(&[u8]) -> Fate + Send + 'static) {
        *self.shared.judge.lock().unwrap() = Box::new(judge);
    }

    /// Lets all through from now on.
    pub(crate) fn pass(&self) {
        self.judge(|_| Fate::Pass);
    }

    /// Leads new connections to a Redis on another port.
    pub(crate) fn lead_to(&self, port: u16) {
        self.shared.server.lock().unwrap().set_port(port);
    }

    /// Drops silently what is sent on the connections that there are now, for ever.
    pub(crate) fn mute(&self) {
        self.shared.muted.send_replace(self.connections());
    }

    /// The same, also for connections that are made until the next [`Proxy::mute`].
    pub(crate) fn mute_all(&self) {
        self.shared.muted.send_replace(u64::MAX);
    }

    /// Requests seen so far.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Requests so far that did not simply pass.
    pub(crate) fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }

    /// Connections opened so far, also those that were refused.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

/// A judge that gives appends of lines one of `fates`, each append with this
/// probability, and lets all else pass. The seed is printed with a failing test.
pub(crate) fn some_appends(seed: u64, probability: f64, fates: &'static [Fate]) -> impl FnMut(&[u8]) -> Fate {
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    move |request| {
        if is_append(request) && rng.f64() < probability {
            fates[rng.usize(..fates.len())]
        } else {
            Fate::Pass
        }
    }
}

/// A judge that gives each `nth` append this fate, and lets all else pass.
pub(crate) fn each_nth_append(nth: u64, fate: Fate) -> impl FnMut(&[u8]) -> Fate {
    let mut appends = 0;
    move |request| {
        appends += u64::from(is_append(request));
        if is_append(request) && appends % nth == 0 { fate } else { Fate::Pass }
    }
}

/// Whether a request runs the append script: alone among the scripts it has arguments
/// of which one is the name of the payload's field.
pub(crate) fn is_append(request: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(request, needle).is_some();
    has(b"EVALSHA") && (has(b"\r\n$1\r\nb\r\n") || has(b"\r\n$1\r\nz\r\n"))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let mut muted = shared.muted.subscribe();
            // Not dropped where it is muted: both sides believe in it.
            let mut served = std::pin::pin!(serve(client, &shared));
            tokio::select! {
                biased;
                _ = muted.wait_for(|last| number <= *last) => {}
                // An error is the end of one side; dropping both tells the other.
                _ = &mut served => return,
            }
            std::future::pending::<()>().await;
        });
    }
}

/// One request after the other; the client does not pipeline more than it waits for.
async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = *shared.server.lock().unwrap();
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.into_split();
    let (mut from_client, mut from_server) = (BufReader::new(from_client), BufReader::new(from_server));
    loop {
        let request = tokio::select! {
            request = message(&mut from_client) => request?,
            // A push, or the end.
            unasked = message(&mut from_server) => {
                to_client.write_all(&unasked?).await?;
                continue;
            }
        };
        shared.requests.fetch_add(1, Ordering::Relaxed);
        let fate = (shared.judge.lock().unwrap())(&request);
        if fate != Fate::Pass {
            shared.faults.fetch_add(1, Ordering::Relaxed);
        }
        match fate {
            Fate::CutBefore => return Ok(()),
            Fate::Late(delay) => sleep(delay).await,
            Fate::Answer(answer) => {
                to_client.write_all(answer.as_bytes()).await?;
                continue;
            }
            Fate::Pass | Fate::CutAfter | Fate::Silence => {}
        }
        to_server.write_all(&request).await?;
        let answer = message(&mut from_server).await?;
        match fate {
            Fate::CutAfter => return Ok(()),
            Fate::Silence => return std::future::pending().await,
            Fate::Pass | Fate::CutBefore | Fate::Late(_) | Fate::Answer(_) => {
                to_client.write_all(&answer).await?;
            }
        }
    }
}

/// Reads one whole value of the protocol (RESP 2 and 3), as it is on the wire.
async fn message(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut values = 1;
    while values > 0 {
        let begin = bytes.len();
        if from.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        values -= 1;
        let head = std::str::from_utf8(&bytes[begin..]).unwrap_or_default().trim_end().to_owned();
        let number = head.get(1..).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0).max(0);
        match head.as_bytes().first() {
            Some(b'*' | b'~' | b'>') => values += number,
            Some(b'%') => values += 2 * number,
            Some(b'$' | b'=' | b'!') if !head.ends_with("-1") => {
                let body = u64::try_from(number).unwrap() + 2;
                from.take(body).read_to_end(&mut bytes).await?;
            }
            _ => {}
        }
    }
    Ok(bytes)
}
