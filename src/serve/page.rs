//! One page of `Fetch` on its way to the wire: batches as they are stored, and the rest.

use super::frame::Frame;
use crate::proto;

/// A `FetchResponse`, its batches not decoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
    pub(super) batches: Vec<Frame>,
    /// Everything else; has no batches.
    pub(super) rest: proto::FetchResponse,
}
