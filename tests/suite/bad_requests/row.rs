//! A request of any call, as bytes, and what has to become of it.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use prost::Message;
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tonic_types::StatusExt as _;

/// Longest that an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has to become of a request.
#[derive(Debug, Clone)]
enum Outcome {
    Served,
    Refused {
        code: Code,
        reason: &'static str,
        /// The field that is wrong; empty where none is named.
        field: String,
        /// What the reason has to say: the value, and what would be right.
        says: Vec<String>,
    },
}

/// What is tried of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edge {
    /// It is not set, or empty, or has none.
    Nothing,
    /// As long, as large or as many as may be: it is understood.
    Longest,
    /// One more.
    Past,
}

/// A request as bytes, and what has to become of it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) rpc: &'static str,
    what: String,
    pub(super) bytes: Vec<u8>,
    outcome: Outcome,
    /// Which edges of which fields it is of.
    pub(super) edges: Vec<(&'static str, Edge)>,
}

impl Row {
    pub(super) fn served(rpc: &'static str, what: impl Into<String>, request: &impl Message) -> Self {
        let (what, bytes) = (what.into(), request.encode_to_vec());
        Self { rpc, what, bytes, outcome: Outcome::Served, edges: Vec::new() }
    }

    /// A request that is wrong in one field.
    pub(super) fn wrong(
        rpc: &'static str,
        what: impl Into<String>,
        request: &impl Message,
        reason: &'static str,
        field: impl Into<String>,
    ) -> Self {
        Self::of_bytes(rpc, what, request.encode_to_vec(), reason, field)
    }

    /// Bytes that are wrong in one field.
    pub(super) fn of_bytes(
        rpc: &'static str,
        what: impl Into<String>,
        bytes: Vec<u8>,
        reason: &'static str,
        field: impl Into<String>,
    ) -> Self {
        let (what, field, says) = (what.into(), field.into(), Vec::new());
        let outcome = Outcome::Refused { code: Code::InvalidArgument, reason, field, says };
        Self { rpc, what, bytes, outcome, edges: Vec::new() }
    }

    /// The same request, refused for what is no matter of a field.
    pub(super) fn refused(self, code: Code, reason: &'static str) -> Self {
        let (field, says) = (String::new(), Vec::new());
        Self { outcome: Outcome::Refused { code, reason, field, says }, ..self }
    }

    /// Says so in these words, among others.
    pub(super) fn says(mut self, words: &[&str]) -> Self {
        let Outcome::Refused { says, .. } = &mut self.outcome else { panic!("{} is served", self.what) };
        says.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// It is of nothing in this field.
    pub(super) fn nothing(self, path: &'static str) -> Self {
        self.edge(path, Edge::Nothing)
    }

    /// It has the longest, largest or most that may be in this field.
    pub(super) fn longest(self, path: &'static str) -> Self {
        self.edge(path, Edge::Longest)
    }

    /// It has one more than may be in this field, and says so in these words.
    pub(super) fn past(self, path: &'static str, words: &[&str]) -> Self {
        self.edge(path, Edge::Past).says(words)
    }

    fn edge(mut self, path: &'static str, edge: Edge) -> Self {
        self.edges.push((path, edge));
        self
    }

    /// # Panics
    /// Where something else becomes of it.
    pub(super) async fn check(&self, channel: &Channel) {
        if let Some(why) = self.failure(channel).await {
            panic!("{why}");
        }
    }

    /// What became of it, where that is not what has to.
    async fn failure(&self, channel: &Channel) -> Option<String> {
        let Self { rpc, what, bytes, outcome, .. } = self;
        let answer = timeout(PATIENCE, answer(channel, rpc, bytes.clone())).await;
        let found = match (answer, outcome) {
            (Err(_), _) => "no answer".to_owned(),
            (Ok(Ok(())), Outcome::Served) => return None,
            (Ok(Err(status)), Outcome::Refused { code, reason, field, says }) => {
                let details = status.get_error_details();
                let info = details.error_info().map(|info| (info.reason.as_str(), info.domain.as_str()));
                let violations = details.bad_request().map(|bad| bad.field_violations.as_slice());
                let first = violations.and_then(|all| all.first());
                let why = first.map_or(status.message(), |first| first.description.as_str());
                let is_it = status.code() == *code
                    && info == Some((*reason, "logrelay.v1"))
                    && first.map_or("", |first| first.field.as_str()) == field
                    && !why.is_empty()
                    && status.message().contains(why)
                    && says.iter().all(|word| why.contains(word));
                if is_it {
                    return None;
                }
                format!("{:?}, {info:?}: {:?}", status.code(), status.message())
            }
            (Ok(answer), _) => format!("{answer:?}"),
        };
        Some(format!("{rpc}, {what}: {found} instead of {outcome:?}"))
    }
}

/// Checks all of a table, one after the other.
pub(super) async fn check_all(rows: &[Row], channel: &Channel) {
    let mut failures = Vec::new();
    for row in rows {
        failures.extend(row.failure(channel).await);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The status with which a call ends.
pub(super) async fn answer(channel: &Channel, rpc: &str, bytes: Vec<u8>) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = format!("/logrelay.v1.LogRelay/{rpc}").parse().unwrap();
    // On the wire, one answer is a stream of one.
    let mut stream = grpc.server_streaming(Request::new(bytes), path, RawCodec).await?.into_inner();
    while stream.message().await?.is_some() {}
    Ok(())
}

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
