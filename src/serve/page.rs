//! One page of `Fetch` on its way to the wire: batches as they are stored, and the rest.

use bytes::BufMut as _;
use prost::Message as _;
use tonic::{
    Status,
    codec::{EncodeBuf, Encoder},
};

use super::{
    codec::{Pair, RequestDecoder},
    frame::{Frame, not_encoded},
};
use crate::proto;

/// Key of `FetchResponse.batches`, length-delimited.
const BATCHES_KEY: u8 = 1 << 3 | 2;

/// A `FetchResponse`, its batches not decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub(super) batches: Vec<Frame>,
    /// Everything else; has no batches.
    pub(super) rest: proto::FetchResponse,
}

/// Writes [`Page`]s, and reads requests as every call does.
pub type PageCodec = Pair<PageEncoder, RequestDecoder<proto::FetchRequest>>;

/// Writes [`Page`]s.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageEncoder;

impl Encoder for PageEncoder {
    type Item = Page;
    type Error = Status;

    fn encode(&mut self, page: Page, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        for batch in page.batches {
            buffer.reserve(batch.message_bytes());
            batch.put_head(BATCHES_KEY, buffer)?;
            batch.stored().iter().for_each(|part| buffer.put_slice(part));
        }
        page.rest.encode(buffer).map_err(not_encoded)
    }
}
