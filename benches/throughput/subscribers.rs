//! Five thousand subscribers of one relay, as streams over few connections and as a connection
//! each: whether every line comes to each, how late, and what they take of the relay's memory.
//!
//! The readers are HTTP/2 by hand, in this process: they look at the line and nothing else, so
//! that it is the relay that is measured.

use std::{fs, ops::Range, time::Duration};

use anyhow::{Context as _, bail, ensure};
use logrelay::proto::{SubscribeRequest, SubscribeResponse, subscribe_response::Event};
use prost::Message as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    bed::{Bed, Process},
    delay::{delay, stamp},
    fan_out::Writer,
    http2,
    table::{Figure, Goal, Round, Unit, sorted},
};

/// One way to have five thousand subscribers.
struct Crowd {
    connections: u32,
    /// Of each connection.
    streams: u32,
    lines_per_s: u32,
    seconds: u32,
}

const STREAMS: Crowd = Crowd { connections: 50, streams: 100, lines_per_s: 50, seconds: 20 };
const CONNECTIONS: Crowd = Crowd { connections: 5000, streams: 1, lines_per_s: 5, seconds: 20 };

const MOST_STREAM_BYTES: f64 = 16.0 * 1024.0;
const MOST_CONNECTION_BYTES: f64 = 64.0 * 1024.0;
const MOST_DELAY_S: f64 = 0.1;
/// What a relay has to do with those who came is done.
const SETTLED: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 16 * 1024;
/// Of a line, with when it was made at its begin and its number at its end.
const STAMP_BYTES: usize = 100;
const NUMBER_BYTES: usize = 20;
/// What a message with lines begins with.
const BATCH_KEY: u8 = 2 << 3 | 2;

/// Memory and delays of both crowds.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    raise_open_files()?;
    let (streams, late) = STREAMS.measure(bed).await.context("streams")?;
    let (connections, later) = CONNECTIONS.measure(bed).await.context("connections")?;
    let figure = |crowd: &Crowd, what: &str, unit, ours, most| Figure {
        measure: format!(
            "{what}: {} subscribers over {} connections, {} lines/s to each",
            crowd.connections * crowd.streams,
            crowd.connections,
            crowd.lines_per_s
        ),
        peer: "a bound",
        unit,
        goal: Goal::AtMost(1.0),
        rounds: vec![Round { ours, peers: most }],
    };
    Ok(vec![
        figure(&STREAMS, "memory of a relay for each stream", Unit::Bytes, streams, MOST_STREAM_BYTES),
        figure(&STREAMS, "delay from append to reader, p99", Unit::Seconds, late, MOST_DELAY_S),
        figure(
            &CONNECTIONS,
            "memory of a relay for each connection with its stream",
            Unit::Bytes,
            connections,
            MOST_CONNECTION_BYTES,
        ),
        figure(&CONNECTIONS, "delay from append to reader, p99", Unit::Seconds, later, MOST_DELAY_S),
    ])
}

impl Crowd {
    fn subscribers(&self) -> u32 {
        self.connections * self.streams
    }

    /// Bytes of the relay for each subscriber while lines flow, and the 99th of a hundred delays
    /// in seconds.
    async fn measure(&self, bed: &mut Bed) -> anyhow::Result<(f64, f64)> {
        let topic = bed.round().await?;
        let mut writer = Writer::new(bed, &topic).await?;
        let (relay, url) = bed.relay().await?;
        let began = Instant::now();
        writer.append_lines(bed, &[line(began, 0)]).await?;
        let lines = u64::from(self.lines_per_s * self.seconds);
        let (opened, mut all_opened) = mpsc::channel(1);
        let mut readers = Readers::new();
        let first = Reader { streams: 1, lines: 1..lines + 1, began, opened: opened.clone() };
        readers.spawn(first.read(connect(&url).await?, topic.clone()));
        Self::until_open(1, &mut all_opened, &mut readers).await?;
        let before = proportional_bytes(&relay)?;
        for _ in 0..self.connections {
            let stream = connect(&url).await?;
            let reader = Reader { streams: self.streams, lines: 1..lines + 1, began, opened: opened.clone() };
            readers.spawn(reader.read(stream, topic.clone()));
        }
        Self::until_open(self.connections, &mut all_opened, &mut readers).await?;
        sleep(SETTLED).await;
        let mut ticks = interval(Duration::from_secs(1) / self.lines_per_s);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1..=lines {
            ticks.tick().await;
            writer.append_lines(bed, &[line(began, number)]).await?;
        }
        let mut delays = Vec::new();
        let all = async {
            while let Some(read) = readers.join_next().await {
                delays.append(&mut read??);
            }
            anyhow::Ok(())
        };
        let memory = proportional_bytes(&relay)?;
        tokio::time::timeout(PATIENCE, all).await.context("lines are missing")??;
        relay.end().await?;
        ensure!(delays.len() as u64 == lines * u64::from(self.subscribers() + 1), "{} delays", delays.len());
        let delays = sorted(delays.into_iter());
        Ok(((memory - before) / f64::from(self.subscribers()), delays[delays.len() * 99 / 100]))
    }

    /// Waits until so many connections have all their streams.
    async fn until_open(
        connections: u32,
        opened: &mut mpsc::Receiver<()>,
        readers: &mut Readers,
    ) -> anyhow::Result<()> {
        for _ in 0..connections {
            tokio::select! {
                opened = opened.recv() => opened.context("all readers ended")?,
                Some(ended) = readers.join_next() => bail!("a reader ended early: {:?}", ended?.err()),
            }
        }
        Ok(())
    }
}

/// The tasks that read, and the delays that each has seen.
type Readers = JoinSet<anyhow::Result<Vec<f64>>>;

/// A connection and what it shall get.
pub(crate) struct Reader {
    pub(crate) streams: u32,
    /// The offsets that come, to each stream.
    pub(crate) lines: Range<u64>,
    pub(crate) began: Instant,
    /// Told when all streams are open.
    pub(crate) opened: mpsc::Sender<()>,
}

/// What came over one stream.
struct Stream {
    /// A message that has not come to its end.
    partial: Vec<u8>,
    is_open: bool,
    next: u64,
}

impl Reader {
    /// Reads until every stream has every line; the delays of all of them.
    pub(crate) async fn read(self, mut connection: TcpStream, topic: String) -> anyhow::Result<Vec<f64>> {
        let request = SubscribeRequest { topics: vec![topic], ..SubscribeRequest::default() };
        let mut said = http2::open_greeting();
        for number in 0..self.streams {
            said.extend(http2::subscribe(2 * number + 1, &request));
        }
        connection.write_all(&said).await?;
        let fresh = || Stream { partial: Vec::new(), is_open: false, next: self.lines.start };
        let mut streams: Vec<_> = (0..self.streams).map(|_| fresh()).collect();
        let (mut delays, mut came) = (Vec::new(), Vec::with_capacity(BUFFER_BYTES));
        let (mut open, mut ended) = (0, 0);
        while ended < self.streams {
            ensure!(connection.read_buf(&mut came).await? > 0, "the connection ended");
            let mut rest = &came[..];
            while let Some((head, payload, behind)) = http2::split(rest) {
                rest = behind;
                match head.kind {
                    http2::DATA => {
                        let stream = &mut streams[head.stream as usize / 2];
                        let was = (stream.is_open, stream.next);
                        stream.take(payload, self.began, &mut delays)?;
                        open += u32::from(stream.is_open && !was.0);
                        ended += u32::from(stream.next == self.lines.end && was.1 < self.lines.end);
                        if !was.0 && open == self.streams {
                            self.opened.send(()).await?;
                        }
                    }
                    http2::PING | http2::SETTINGS if head.flags & http2::ACK == 0 => {
                        let payload = if head.kind == http2::PING { payload } else { &[] };
                        connection.write_all(&http2::frame(head.kind, http2::ACK, 0, payload)).await?;
                    }
                    http2::HEADERS => {
                        ensure!(head.flags & http2::END_STREAM == 0, "stream {} ended", head.stream);
                    }
                    _ => {}
                }
            }
            let taken = came.len() - rest.len();
            came.drain(..taken);
        }
        Ok(delays)
    }
}

impl Stream {
    /// Takes a piece of what was sent.
    fn take(&mut self, piece: &[u8], began: Instant, delays: &mut Vec<f64>) -> anyhow::Result<()> {
        if self.partial.is_empty() {
            let rest = self.messages(piece, began, delays)?;
            self.partial.extend_from_slice(rest);
            return Ok(());
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(piece);
        let rest = self.messages(&partial, began, delays)?.len();
        partial.drain(..partial.len() - rest);
        self.partial = partial;
        Ok(())
    }

    /// Takes whole messages; what is behind them.
    fn messages<'a>(
        &mut self,
        mut bytes: &'a [u8],
        began: Instant,
        delays: &mut Vec<f64>,
    ) -> anyhow::Result<&'a [u8]> {
        while let Some(([_, len @ ..], rest)) = bytes.split_first_chunk::<5>() {
            let Some((message, behind)) = rest.split_at_checked(u32::from_be_bytes(*len) as usize) else {
                break;
            };
            bytes = behind;
            self.message(message, began, delays)?;
        }
        Ok(bytes)
    }

    fn message(&mut self, message: &[u8], began: Instant, delays: &mut Vec<f64>) -> anyhow::Result<()> {
        // The content stands at the end of a batch of one line, and tells its number.
        if message.first() == Some(&BATCH_KEY)
            && let Some(line) = message.len().checked_sub(STAMP_BYTES)
            && number(&message[line..]) == Some(self.next)
        {
            delays.push(delay(began, &message[line..])?);
            self.next += 1;
            return Ok(());
        }
        match SubscribeResponse::decode(message)?.event {
            Some(Event::CaughtUp(_)) => self.is_open = true,
            Some(Event::Opened(_) | Event::Heartbeat(_)) => {}
            // Lines that came together.
            Some(Event::Batch(batch)) => {
                for line in &batch.lines {
                    ensure!(number(&line.content) == Some(self.next), "{} was due", self.next);
                    delays.push(delay(began, &line.content)?);
                    self.next += 1;
                }
            }
            other => bail!("{other:?}"),
        }
        Ok(())
    }
}

/// A line that tells when it was made, and its number.
pub(crate) fn line(began: Instant, number: u64) -> Vec<u8> {
    let mut line = stamp(began);
    line[STAMP_BYTES - NUMBER_BYTES..].copy_from_slice(format!("{number:0>NUMBER_BYTES$}").as_bytes());
    line
}

pub(crate) fn number(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.last_chunk::<NUMBER_BYTES>()?).ok()?.parse().ok()
}

pub(crate) async fn connect(url: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(url.strip_prefix("http://").context("no URL")?).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The memory that a process has for itself, and its part of what it shares.
fn proportional_bytes(process: &Process) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.id()?))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
    Ok(kib.context("no Pss")?.trim().parse::<f64>()? * 1024.0)
}

/// Five thousand connections are more files than a process may have open at first.
fn raise_open_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = u64::from(CONNECTIONS.connections) + 500;
    ensure!(limit.maximum.is_none_or(|limit| limit >= most), "only {limit:?} files may be open");
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}
