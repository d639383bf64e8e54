//! How long the first message of a call may take to come. Until it is there, a call has a place
//! and does nothing with it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body as AnyBody;
use bytes::Bytes;
use hyper::body::{Body, Frame as Part, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

/// What gRPC begins a message with: whether it is packed, and its length.
const HEAD_BYTES: usize = 5;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A request's body that ends with a status where its first message does not come in time.
pub(super) struct Timely<L> {
    body: AnyBody,
    /// None when the message is there.
    waiting: Option<Waiting<L>>,
}

struct Waiting<L> {
    message: FirstMessage,
    until: Instant,
    /// Set up only where something has to be waited for.
    sleep: Option<Pin<Box<Sleep>>>,
    late: L,
}

/// What has come of the first message.
#[derive(Debug, Default)]
struct FirstMessage {
    head: [u8; HEAD_BYTES],
    seen: usize,
}

impl FirstMessage {
    /// Takes what has come; whether that is all of it.
    fn take(&mut self, bytes: &[u8]) -> bool {
        for (place, byte) in self.head.iter_mut().skip(self.seen).zip(bytes) {
            *place = *byte;
        }
        self.seen = self.seen.saturating_add(bytes.len());
        let [_, length @ ..] = self.head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        self.seen >= HEAD_BYTES && self.seen - HEAD_BYTES >= length
    }
}

/// The body, to be read within `wait`; `late` makes the status of one that is not.
pub(super) fn timely(
    body: AnyBody,
    wait: Duration,
    late: impl Fn() -> Status + Send + Unpin + 'static,
) -> AnyBody {
    let message = FirstMessage::default();
    let waiting = Waiting { message, until: Instant::now() + wait, sleep: None, late };
    AnyBody::new(Timely { body, waiting: Some(waiting) })
}

impl<L: Fn() -> Status + Unpin> Body for Timely<L> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Part<Bytes>, Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(context);
        let Some(waiting) = &mut this.waiting else {
            return polled.map(|part| part.map(|part| part.map_err(Into::into)));
        };
        let Poll::Ready(part) = polled else {
            let sleep = waiting.sleep.get_or_insert_with(|| Box::pin(sleep_until(waiting.until)));
            ready!(sleep.as_mut().poll(context));
            let status = (waiting.late)();
            this.waiting = None;
            return Poll::Ready(Some(Err(status.into())));
        };
        let bytes = part.as_ref().and_then(|part| part.as_ref().ok()?.data_ref());
        if bytes.is_some_and(|bytes| waiting.message.take(bytes)) {
            this.waiting = None;
        }
        Poll::Ready(part.map(|part| part.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_is_there_with_its_last_byte_however_it_is_cut(
            length in 0..300_usize, pieces in 1..40_usize,
        ) {
            let head = u32::try_from(length).unwrap().to_be_bytes();
            let bytes = [&[0], &head[..], &vec![7; length]].concat();
            let mut message = FirstMessage::default();
            let mut seen = 0;
            for piece in bytes.chunks(pieces) {
                seen += piece.len();
                prop_assert_eq!(message.take(piece), seen == bytes.len());
            }
        }
    }
}
