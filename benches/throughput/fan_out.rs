//! New lines to a hundred readers of one relay, which only drain.

use anyhow::{Context as _, ensure};
use bytes::Buf as _;
use logrelay::{
    proto::{self, SubscribeRequest, SubscribeResponse, start::Position, subscribe_response::Event},
    record::{BatchBuilder, Details, Record, SourceKey, Token, Topic},
    store::{Append, Appended},
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tonic::{
    Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder},
    transport::Endpoint,
};
use tonic_prost::{ProstCodec, ProstEncoder};

use crate::{
    bed::Bed,
    proof,
    sample::hundred_bytes,
    table::{Figure, Goal, Round, Unit, rate},
};

const READERS: usize = 100;
const LINES: u64 = 100_000;
const BATCH_LINES: u64 = 2500;
const ROUNDS: usize = 5;
const CHUNK_BYTES: usize = 256 * 1024;
/// As the client library has them.
const WINDOW_BYTES: u32 = 1 << 20;

/// Appends to the drained readers, and plain writes to as many sockets.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let (relay, url) = bed.relay().await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, bytes) = subscribers(bed, &url).await?;
        let peers = sockets(bytes).await?;
        rounds.push(Round { ours, peers });
    }
    relay.end().await?;
    Ok(vec![Figure {
        measure: format!("fan-out of new lines to {READERS} readers that drain, all together"),
        peer: "plain TCP writes of the same bytes to as many loopback sockets",
        unit: Unit::BytesPerSecond,
        goal: Goal::AtLeast(0.5),
        rounds,
    }])
}

/// Bytes a second of all readers, and how many bytes each got.
async fn subscribers(bed: &mut Bed, url: &str) -> anyhow::Result<(f64, u64)> {
    let topic = bed.round().await?;
    let mut writer = Writer::new(bed, &topic).await?;
    writer.append(bed, 0..1).await?;
    let mut streams = Vec::new();
    for _ in 0..READERS {
        streams.push(open(url, &topic).await?);
    }
    let mut readers = JoinSet::new();
    let began = Instant::now();
    for stream in streams {
        readers.spawn(drain(stream));
    }
    for begin in (1..LINES).step_by(usize::try_from(BATCH_LINES)?) {
        writer.append(bed, begin..LINES.min(begin + BATCH_LINES)).await?;
    }
    let (mut all, mut each) = (0, 0);
    while let Some(drained) = readers.join_next().await {
        each = drained??;
        all += each;
    }
    let took = began.elapsed();
    ensure!(each > (LINES - 1) * 100, "only {each} bytes came");
    Ok((rate(all, took), each))
}

/// A stream of messages that stay as they came, after `opened` was heard.
async fn open(url: &str, topic: &str) -> anyhow::Result<Streaming<Raw>> {
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES)
        .max_frame_size(WINDOW_BYTES / 4);
    let mut client = tonic::client::Grpc::new(endpoint.connect().await?);
    client.ready().await?;
    let start = Some(proto::Start { position: Some(Position::Latest(true)) });
    let request = SubscribeRequest { topics: vec![topic.to_owned()], start, ..Default::default() };
    let path = http::uri::PathAndQuery::from_static("/logrelay.v1.LogRelay/Subscribe");
    let response = client.server_streaming(tonic::Request::new(request), path, RawCodec).await?;
    let mut stream = response.into_inner();
    loop {
        let raw = stream.message().await?.context("it ended")?;
        if let Some(Event::CaughtUp(_)) = SubscribeResponse::decode(&raw.0[..])?.event {
            return Ok(stream);
        }
    }
}

/// Drains up to the last line, which is looked at; how many bytes came.
async fn drain(mut stream: Streaming<Raw>) -> anyhow::Result<u64> {
    let (mut bytes, end) = (0, format!(":{LINES}"));
    loop {
        let raw = stream.message().await?.context("it ended")?;
        bytes += raw.0.len() as u64;
        // The cursor stands in the first bytes of a batch; only the last one is decoded.
        let head = &raw.0[..raw.0.len().min(100)];
        if !head.windows(end.len()).any(|window| window == end.as_bytes()) {
            continue;
        }
        let Some(Event::Batch(batch)) = SubscribeResponse::decode(&raw.0[..])?.event else { continue };
        ensure!(batch.base_offset + batch.lines.len() as u64 == LINES, "it ends elsewhere");
        let last = batch.lines.last().context("no line")?;
        proof::is_line(&last.content, &hundred_bytes(LINES - 1))?;
        return Ok(bytes);
    }
}

/// A message as it came.
struct Raw(bytes::Bytes);

#[derive(Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = SubscribeRequest;
    type Decode = Raw;
    type Encoder = ProstEncoder<SubscribeRequest>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<SubscribeRequest, SubscribeResponse>::default().encoder()
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for RawCodec {
    type Item = Raw;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Raw>, Status> {
        let len = buffer.remaining();
        Ok(Some(Raw(buffer.copy_to_bytes(len))))
    }
}

/// Bytes a second of all sockets, each of which gets `bytes`.
async fn sockets(bytes: u64) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut pairs = Vec::new();
    for _ in 0..READERS {
        let reader = TcpStream::connect(listener.local_addr()?).await?;
        pairs.push((listener.accept().await?.0, reader));
    }
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for (mut writer, mut reader) in pairs {
        tasks.spawn(async move {
            let chunk = vec![b'x'; CHUNK_BYTES];
            let mut left = usize::try_from(bytes)?;
            while left > 0 {
                let len = left.min(CHUNK_BYTES);
                left -= len;
                // The last byte of all is another one.
                let last = usize::from(left == 0);
                writer.write_all(&chunk[..len - last]).await?;
                writer.write_all(&b"\n"[..last]).await?;
            }
            anyhow::Ok(0)
        });
        tasks.spawn(async move {
            let (mut buffer, mut count, mut last) = (vec![0; CHUNK_BYTES], 0, 0);
            while let len @ 1.. = reader.read(&mut buffer).await? {
                (count, last) = (count + len as u64, buffer[len - 1]);
            }
            ensure!(count == bytes && last == b'\n', "{count} bytes of {bytes} came");
            Ok(count)
        });
    }
    let mut all = 0;
    while let Some(count) = tasks.join_next().await {
        all += count??;
    }
    Ok(rate(all, began.elapsed()))
}

/// A source that appends without files.
pub(crate) struct Writer {
    topic: Topic,
    source: SourceKey,
    record: Record,
}

impl Writer {
    pub(crate) async fn new(bed: &Bed, topic: &str) -> anyhow::Result<Self> {
        let topic: Topic = topic.parse()?;
        let source = bed.store.new_source(&topic, &"bench".parse()?).await?;
        let record = Record { token: Token::random(), position: 0, details: Details::default() };
        let append = Append { source: &source, believed: None, record: &record, batch: None, before: None };
        let appended = bed.store.append(&topic, &append).await?;
        ensure!(matches!(appended, Appended::Stored { .. }), "{appended:?}");
        Ok(Self { topic, source, record })
    }

    /// Appends the lines with these numbers as one batch.
    pub(crate) async fn append(&mut self, bed: &Bed, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        let lines: Vec<_> = numbers.map(|number| hundred_bytes(number).into_bytes()).collect();
        self.append_lines(bed, &lines).await
    }

    /// Appends these lines as one batch.
    pub(crate) async fn append_lines(&mut self, bed: &Bed, lines: &[Vec<u8>]) -> anyhow::Result<()> {
        let source = proto::Source { key: self.source.to_string(), ..Default::default() };
        let mut builder = BatchBuilder::new(&source, self.record.position, self.record.details.next_line);
        for line in lines {
            builder.push(line, 0);
        }
        let batch = builder.seal(self.record.position + 1).context("no lines")?;
        let details = Details { next_line: batch.next_line, ..self.record.details.clone() };
        let record = Record { token: Token::random(), position: batch.end_position, details };
        let believed = Some(&self.record);
        let append =
            Append { source: &self.source, believed, record: &record, batch: Some(&batch), before: None };
        let appended = bed.store.append(&self.topic, &append).await?;
        ensure!(matches!(appended, Appended::Stored { .. }), "{appended:?}");
        self.record = record;
        Ok(())
    }
}
