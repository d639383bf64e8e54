//! How calls are read: as prost does, and what is wrong with bytes that are none is said as of every
//! other field.

use std::marker::PhantomData;

use prost::{DecodeError, Message};
use tonic::{
    Status,
    codec::{DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use super::status::{Violation, invalid};
use crate::proto::codec::Pair;

/// The codec of every call whose answers are written as they are.
pub type RequestCodec<T, U> = Pair<ProstEncoder<T>, RequestDecoder<U>>;

/// Reads requests.
#[derive(Debug, Clone, Copy)]
pub struct RequestDecoder<U>(PhantomData<U>);

impl<U> Default for RequestDecoder<U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<U: Message + Default> Decoder for RequestDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buffer).map(Some).map_err(|error| refused(&error))
    }
}

/// What is wrong with a message. The library names the field from the inside out, before the
/// reason: `Matcher.value: Filter.matchers: SubscribeRequest.filter: …`.
pub(super) fn refused(error: &DecodeError) -> Status {
    let text = error.to_string();
    let mut parts: Vec<_> = text.split(": ").skip(1).collect();
    let is_place = |part: &&str| part.split_once('.').is_some_and(|(_, field)| !field.contains(' '));
    let places = parts.iter().take_while(|part| is_place(part)).count();
    let why = parts.split_off(places).join(": ");
    let fields: Vec<_> = parts.iter().rev().filter_map(|part| Some(part.split_once('.')?.1)).collect();
    let field = if fields.is_empty() { "request".to_owned() } else { fields.join(".") };
    invalid(&[Violation { field, reason: "BAD_REQUEST", why }])
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::proto::SubscribeRequest;

    fn status(bytes: &[u8]) -> Status {
        refused(&SubscribeRequest::decode(bytes).unwrap_err())
    }

    #[test]
    fn the_field_that_cannot_be_read_is_named() {
        let not_utf8 = status(b"\x22\x05\x0a\x03\x12\x01\xff");
        assert_eq!(not_utf8.code(), tonic::Code::InvalidArgument);
        let details = not_utf8.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "BAD_REQUEST");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "filter.matchers.value");
        assert!(not_utf8.message().contains("UTF-8"), "{not_utf8}");
        assert!(status(b"\x0a\x01\xff").message().starts_with("topics: "));
        assert!(status(b"\xff").message().starts_with("request: "));
    }
}
