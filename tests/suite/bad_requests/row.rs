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
        field: &'static str,
    },
}

/// A request as bytes, and what has to become of it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    rpc: &'static str,
    what: String,
    pub(super) bytes: Vec<u8>,
    outcome: Outcome,
}

impl Row {
    pub(super) fn served(rpc: &'static str, what: impl Into<String>, request: &impl Message) -> Self {
        Self { rpc, what: what.into(), bytes: request.encode_to_vec(), outcome: Outcome::Served }
    }

    /// A request that is wrong in one field.
    pub(super) fn wrong(
        rpc: &'static str,
        what: impl Into<String>,
        request: &impl Message,
        reason: &'static str,
        field: &'static str,
    ) -> Self {
        let outcome = Outcome::Refused { code: Code::InvalidArgument, reason, field };
        Self { outcome, ..Self::served(rpc, what, request) }
    }

    /// The same request, refused for what is no matter of a field.
    pub(super) fn refused(self, code: Code, reason: &'static str) -> Self {
        Self { outcome: Outcome::Refused { code, reason, field: "" }, ..self }
    }

    /// A request with more bytes, which are no message.
    pub(super) fn no_message(
        rpc: &'static str,
        request: &impl Message,
        more: &[u8],
        field: &'static str,
    ) -> Self {
        let mut row = Self::wrong(rpc, format!("{more:02x?}"), request, "BAD_REQUEST", field);
        row.bytes.extend_from_slice(more);
        row
    }

    pub(super) async fn check(&self, channel: &Channel) {
        let Self { rpc, what, bytes, outcome } = self;
        let what = format!("{rpc}, {what}");
        let answer = timeout(PATIENCE, answer(channel, rpc, bytes.clone())).await;
        match (answer.unwrap_or_else(|_| panic!("{what}: no answer")), outcome) {
            (Ok(()), Outcome::Served) => {}
            (Err(status), Outcome::Refused { code, reason, field }) => {
                let details = status.get_error_details();
                let info = details.error_info().unwrap_or_else(|| panic!("{what}: {status:?}"));
                let found = (status.code(), info.reason.as_str(), info.domain.as_str());
                assert_eq!(found, (*code, *reason, "logrelay.v1"), "{what}: {status:?}");
                let violations = details.bad_request().map(|bad| bad.field_violations.as_slice());
                let named = violations.and_then(|all| all.first()).map_or("", |first| first.field.as_str());
                assert_eq!(named, *field, "{what}: {status:?}");
            }
            (answer, _) => panic!("{what}: {answer:?} instead of {outcome:?}"),
        }
    }
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
