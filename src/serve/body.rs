//! The body of a subscription's answer: its messages as bytes of HTTP/2. What is large is not
//! copied: all readers of a batch send the same bytes, and a stream that is not read holds none
//! of its own. Not here: requests, which the library reads.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{body::Body as AnyBody, response::Response as HttpResponse};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body, Frame as Part};
use tokio::sync::mpsc;
use tonic::{Response, Status};

use super::frame::Frame;
use crate::proto;

/// Key of `SubscribeResponse.batch`, length-delimited.
const BATCH_KEY: u8 = 2 << 3 | 2;
/// Up to this size bytes are copied, to go out together with those beside them.
const COPIED_BYTES: usize = 4 * 1024;
/// How much is put together before it is handed on.
const TOGETHER_BYTES: usize = 32 * 1024;

/// Messages as they come, and the status behind them. Keeps nothing between two of them.
#[derive(Debug)]
pub(super) struct FrameBody {
    frames: mpsc::Receiver<Result<Frame, Status>>,
    /// What is put together.
    small: BytesMut,
    /// What goes out behind it, as it is.
    large: VecDeque<Bytes>,
    end: Option<Status>,
    is_over: bool,
}

impl FrameBody {
    pub(super) fn new(frames: mpsc::Receiver<Result<Frame, Status>>) -> Self {
        Self { frames, small: BytesMut::new(), large: VecDeque::new(), end: None, is_over: false }
    }

    /// Takes a message in, behind the five bytes by which gRPC begins one.
    fn take(&mut self, frame: Frame) -> Result<(), Status> {
        let bytes = u32::try_from(frame.message_bytes())
            .map_err(|_| Status::internal("a message of more than 4 GiB"))?;
        self.small.put_u8(0);
        self.small.put_u32(bytes);
        frame.put_head(BATCH_KEY, &mut self.small)?;
        for part in frame.stored() {
            if self.large.is_empty() && part.len() <= COPIED_BYTES {
                self.small.put_slice(&part);
            } else if !part.is_empty() {
                self.large.push_back(part);
            }
        }
        Ok(())
    }

    /// The next bytes of what was taken in.
    fn next(&mut self) -> Option<Bytes> {
        if self.small.is_empty() {
            return self.large.pop_front();
        }
        Some(std::mem::take(&mut self.small).freeze())
    }
}

impl Body for FrameBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Part<Bytes>, Infallible>>> {
        while self.end.is_none() && self.large.is_empty() && self.small.len() < TOGETHER_BYTES {
            self.end = match self.frames.poll_recv(context) {
                Poll::Ready(Some(frame)) => frame.and_then(|frame| self.take(frame)).err(),
                Poll::Ready(None) => Some(Status::ok("")),
                Poll::Pending => break,
            };
        }
        if let Some(bytes) = self.next() {
            return Poll::Ready(Some(Ok(Part::data(bytes))));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let Some(end) = &self.end else { return Poll::Pending };
        let trailers = trailers(end);
        self.is_over = true;
        Poll::Ready(Some(Ok(Part::trailers(trailers))))
    }
}

fn trailers(end: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Err(status) = end.add_header(&mut trailers) {
        tracing::debug!(%status, "a status cannot be sent as it is");
    }
    trailers
}

/// The body on its way around the library, which would copy what it encodes.
#[derive(Debug, Clone)]
struct Carried(Arc<Mutex<Option<FrameBody>>>);

/// What the library sends of its own: nothing.
pub(super) type Nothing = tokio_stream::Empty<Result<proto::SubscribeResponse, Status>>;

/// The answer with these messages, to be completed by [`complete`].
pub(super) fn answer(frames: mpsc::Receiver<Result<Frame, Status>>) -> Response<Nothing> {
    let mut response = Response::new(tokio_stream::empty());
    response.extensions_mut().insert(Carried(Arc::new(Mutex::new(Some(FrameBody::new(frames))))));
    response
}

/// Gives an answer its body, where it carries one.
pub(super) async fn complete(mut response: HttpResponse) -> HttpResponse {
    let carried = response.extensions_mut().remove::<Carried>();
    let body = carried.and_then(|Carried(body)| body.lock().unwrap_or_else(PoisonError::into_inner).take());
    match body {
        Some(body) => response.map(|_| AnyBody::new(body)),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use prost::Message as _;
    use tonic::Code;

    use super::*;
    use crate::serve::frame::Parts;

    fn batch(stored: &Bytes) -> Frame {
        let prefix = proto::Batch { topic: "app".to_owned(), ..Default::default() }.encode_to_vec();
        Frame::Batch(Box::new(Parts { prefix: prefix.into(), stored: stored.clone(), lines: Bytes::new() }))
    }

    /// A batch with one line of so many bytes, as it is stored.
    fn stored(bytes: usize) -> Bytes {
        let line = proto::Line { content: vec![b'x'; bytes].into(), ..Default::default() };
        proto::Batch { lines: vec![line], ..Default::default() }.encode_to_vec().into()
    }

    async fn parts(frames: Vec<Result<Frame, Status>>) -> (Vec<Bytes>, HeaderMap) {
        let (sender, receiver) = mpsc::channel(10);
        for frame in frames {
            sender.try_send(frame).unwrap();
        }
        drop(sender);
        let (mut data, mut body) = (Vec::new(), FrameBody::new(receiver));
        loop {
            let part = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
            match part.into_data() {
                Ok(bytes) => data.push(bytes),
                Err(part) => {
                    assert!(poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.is_none());
                    return (data, part.into_trailers().unwrap());
                }
            }
        }
    }

    fn messages(data: &[Bytes]) -> Vec<proto::SubscribeResponse> {
        let bytes = Bytes::from(data.concat());
        let (mut rest, mut messages) = (&bytes[..], Vec::new());
        while let [0, a, b, c, d, behind @ ..] = rest {
            let (message, behind) = behind.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
            messages.push(proto::SubscribeResponse::decode(message).unwrap());
            rest = behind;
        }
        assert_eq!(rest, b"");
        messages
    }

    #[tokio::test]
    async fn small_messages_go_out_together_and_a_large_one_as_it_is() {
        use proto::subscribe_response::Event;
        let (small, large) = (stored(10), stored(100_000));
        let event = || Frame::event(Event::Heartbeat(proto::Heartbeat::default()));
        let frames = vec![Ok(batch(&small)), Ok(event()), Ok(batch(&large)), Ok(batch(&small)), Ok(event())];
        let (data, trailers) = parts(frames).await;
        assert_eq!(data.len(), 3);
        assert_eq!(data[1].as_ptr(), large.as_ptr(), "it was copied");
        let lines = messages(&data).into_iter().map(|message| match message.event.unwrap() {
            Event::Batch(batch) => batch.lines[0].content.len(),
            _ => 0,
        });
        assert_eq!(lines.collect::<Vec<_>>(), [10, 0, 100_000, 10, 0]);
        assert_eq!(trailers["grpc-status"], "0");
    }

    #[tokio::test]
    async fn a_status_comes_behind_what_was_said_before_it() {
        let end = Status::new(Code::OutOfRange, "gone");
        let (data, trailers) = parts(vec![Ok(batch(&stored(1))), Err(end)]).await;
        assert_eq!(messages(&data).len(), 1);
        assert!(trailers["grpc-status"] == "11" && trailers["grpc-message"] == "gone");
    }
}
