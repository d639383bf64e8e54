//! How the messages of `Publish` are on the wire: a request comes in as its bytes, so that
//! its lines are checked where they are, and never decoded.

use bytes::{Buf as _, Bytes};
use tonic::{
    Status,
    codec::{DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use crate::proto::{self, codec::Pair};

/// Reads requests as bytes, and writes responses as prost does.
pub type PublishCodec = Pair<ProstEncoder<proto::PublishResponse>, BytesDecoder>;

/// Reads a message as its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct BytesDecoder;

impl Decoder for BytesDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let len = message.remaining();
        Ok(Some(message.copy_to_bytes(len)))
    }
}
