//! How the client library writes and reads messages: as prost does, but that all lines of a
//! message share its bytes.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

/// Writes `T`, reads `U`.
#[derive(Debug, Clone, Copy)]
pub struct SharedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SharedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SharedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = SharedCodec<(), U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        SharedCodec::default()
    }
}

impl<T, U: Message + Default> Decoder for SharedCodec<T, U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // All of it at once, without a copy: a line that is taken out of bytes which cannot grow
        // any more costs half as much.
        let message = buffer.copy_to_bytes(buffer.remaining());
        U::decode(message).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
