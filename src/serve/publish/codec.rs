//! How the messages of `Publish` are on the wire: a request comes in as its bytes, so that
//! its lines are checked where they are, and never decoded.

use bytes::{Buf as _, Bytes};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use crate::proto;

/// Reads requests as bytes, and writes responses as prost does.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublishCodec;

/// Reads a message as its bytes.
#[derive(Debug, Clone, Copy)]
pub struct BytesDecoder;

impl Codec for PublishCodec {
    type Encode = proto::PublishResponse;
    type Decode = Bytes;
    type Encoder = ProstEncoder<proto::PublishResponse>;
    type Decoder = BytesDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BytesDecoder
    }
}

impl Decoder for BytesDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let len = message.remaining();
        Ok(Some(message.copy_to_bytes(len)))
    }
}
