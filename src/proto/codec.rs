//! How a call is written and read: an encoder and a decoder, paired. And how the client library
//! reads messages: as prost does, but that all lines of a message share its bytes.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, Encoder},
};
use tonic_prost::ProstEncoder;

/// Writes with one, reads with the other.
#[derive(Debug, Clone, Copy)]
pub struct Pair<E, D>(PhantomData<(E, D)>);

/// Writes `T`, reads `U`.
pub type SharedCodec<T, U> = Pair<ProstEncoder<T>, SharedDecoder<U>>;

/// Reads messages whose lines share their bytes.
#[derive(Debug, Clone, Copy)]
pub struct SharedDecoder<U>(PhantomData<U>);

impl<E, D> Default for Pair<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<U> Default for SharedDecoder<U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Codec for Pair<E, D>
where
    E: Encoder<Error = Status> + Default + Send + 'static,
    E::Item: Send + 'static,
    D: Decoder<Error = Status> + Default + Send + 'static,
    D::Item: Send + 'static,
{
    type Encode = E::Item;
    type Decode = D::Item;
    type Encoder = E;
    type Decoder = D;

    fn encoder(&mut self) -> E {
        E::default()
    }

    fn decoder(&mut self) -> D {
        D::default()
    }
}

impl<U: Message + Default> Decoder for SharedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // All of it at once, without a copy: a line that is taken out of bytes which cannot grow
        // any more costs half as much.
        let message = buffer.copy_to_bytes(buffer.remaining());
        U::decode(message).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
