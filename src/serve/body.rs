//! The bodies of answers with lines: their messages as bytes of HTTP/2. What is large is not
//! copied: all readers of a batch send the same bytes, and a stream that is not read holds none
//! of its own. Not here: requests, which the library reads.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{body::Body as AnyBody, response::Response as HttpResponse};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body, Frame as Part};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Response, Status};

use super::{
    frame::{Frame, not_encoded},
    page::Page,
};
use crate::{
    proto::{self, BATCH_KEY},
    store::{CalledIn, Loan},
};

/// Key of `FetchResponse.batches`.
const BATCHES_KEY: u8 = 1 << 3 | 2;
/// Up to this size bytes are copied, to go out together with those beside them.
const COPIED_BYTES: usize = 4 * 1024;
/// How much is put together before it is handed on.
const TOGETHER_BYTES: usize = 32 * 1024;

/// Messages as they come, and the status behind them. Keeps nothing between two of them.
#[derive(Debug)]
pub(super) struct FrameBody {
    frames: mpsc::Receiver<Result<Frame, Status>>,
    /// What goes out next.
    large: VecDeque<Large>,
    /// What is put together behind it.
    small: BytesMut,
    end: Option<Status>,
    is_over: bool,
}

/// What is not put together with others.
#[derive(Debug)]
enum Large {
    /// Goes out as it is.
    Whole(Bytes),
    /// Goes out bit by bit.
    Lent(Loan),
}

impl FrameBody {
    pub(super) fn new(frames: mpsc::Receiver<Result<Frame, Status>>) -> Self {
        Self { frames, small: BytesMut::new(), large: VecDeque::new(), end: None, is_over: false }
    }

    /// One message, with OK behind it.
    fn of_page(page: Page) -> Result<Self, Status> {
        let mut body = Self { end: Some(Status::ok("")), ..Self::new(mpsc::channel(1).1) };
        let batches: usize = page.batches.iter().map(Frame::message_bytes).sum();
        body.begin(batches + page.rest.encoded_len())?;
        for batch in page.batches {
            body.put(batch, BATCHES_KEY)?;
        }
        page.rest.encode(&mut body.small).map_err(not_encoded)?;
        Ok(body)
    }

    /// Takes a message in.
    fn take(&mut self, frame: Frame) -> Result<(), Status> {
        self.begin(frame.message_bytes())?;
        self.put(frame, BATCH_KEY)
    }

    /// The five bytes by which gRPC begins a message.
    fn begin(&mut self, message_bytes: usize) -> Result<(), Status> {
        let bytes =
            u32::try_from(message_bytes).map_err(|_| Status::internal("a message of more than 4 GiB"))?;
        self.small.put_u8(0);
        self.small.put_u32(bytes);
        Ok(())
    }

    fn put(&mut self, frame: Frame, batch_key: u8) -> Result<(), Status> {
        frame.put_head(batch_key, &mut self.small)?;
        let (parts, lent) = frame.stored();
        for part in parts {
            if part.len() <= COPIED_BYTES {
                self.small.put_slice(&part);
            } else {
                self.put_large(Large::Whole(part));
            }
        }
        lent.map(Large::Lent).into_iter().for_each(|lent| self.put_large(lent));
        Ok(())
    }

    fn put_large(&mut self, part: Large) {
        if !self.small.is_empty() {
            self.large.push_back(Large::Whole(std::mem::take(&mut self.small).freeze()));
        }
        self.large.push_back(part);
    }

    /// The next bytes of what was taken in.
    fn next(&mut self) -> Result<Option<Bytes>, CalledIn> {
        match self.large.pop_front() {
            None if self.small.is_empty() => Ok(None),
            None => Ok(Some(std::mem::take(&mut self.small).freeze())),
            Some(Large::Whole(bytes)) => Ok(Some(bytes)),
            Some(Large::Lent(loan)) => {
                let (bytes, is_last) = loan.take()?;
                if !is_last {
                    self.large.push_front(Large::Lent(loan));
                }
                Ok(Some(bytes))
            }
        }
    }
}

impl Body for FrameBody {
    type Data = Bytes;
    /// After which the stream is reset: a message that has begun cannot be completed.
    type Error = CalledIn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Part<Bytes>, CalledIn>>> {
        while self.end.is_none() && self.large.is_empty() && self.small.len() < TOGETHER_BYTES {
            self.end = match self.frames.poll_recv(context) {
                Poll::Ready(Some(frame)) => frame.and_then(|frame| self.take(frame)).err(),
                Poll::Ready(None) => Some(Status::ok("")),
                Poll::Pending => break,
            };
        }
        match self.next() {
            Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Part::data(bytes)))),
            Ok(None) => {}
            Err(error) => return Poll::Ready(Some(Err(error))),
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
    carried(tokio_stream::empty(), FrameBody::new(frames))
}

/// The answer with this page, to be completed by [`complete`].
///
/// # Errors
/// `INTERNAL` of one that is larger than a message may be.
pub(super) fn page(page: Page) -> Result<Response<proto::FetchResponse>, Status> {
    Ok(carried(proto::FetchResponse::default(), FrameBody::of_page(page)?))
}

fn carried<T>(nothing: T, body: FrameBody) -> Response<T> {
    let mut response = Response::new(nothing);
    response.extensions_mut().insert(Carried(Arc::new(Mutex::new(Some(body)))));
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

    use tonic::Code;

    use super::*;
    use crate::{serve::frame::Parts, store::Memory};

    fn batch(stored: &Bytes) -> Frame {
        let prefix = proto::Batch { topic: "app".to_owned(), ..Default::default() }.encode_to_vec();
        Frame::Batch(Box::new(Parts {
            prefix: prefix.into(),
            stored: stored.clone(),
            lines: Bytes::new(),
            lent: None,
        }))
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

    #[tokio::test]
    async fn a_page_is_one_message_of_its_batches_and_the_rest_in_their_order() {
        let batches = [10, 100_000, 20, 30, 200_000].map(|bytes| batch(&stored(bytes))).to_vec();
        let rest = proto::FetchResponse { next_cursor: "here".to_owned(), ..Default::default() };
        let mut body = FrameBody::of_page(Page { batches, rest }).unwrap();
        let mut bytes = Vec::new();
        while let Some(part) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            bytes.extend(part.unwrap().into_data().unwrap_or_default());
        }
        let page = proto::FetchResponse::decode(&bytes[5..]).unwrap();
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 5);
        let lines: Vec<_> = page.batches.iter().map(|batch| batch.lines[0].content.len()).collect();
        assert_eq!((lines, page.next_cursor.as_str()), (vec![10, 100_000, 20, 30, 200_000], "here"));
    }

    #[tokio::test]
    async fn a_loan_goes_out_bit_by_bit_and_ends_the_body_when_it_is_called_in() {
        let memory = Memory::default();
        let lent = |bytes: usize| {
            let mut frame = batch(&stored(bytes));
            frame.lend(memory.reserve(bytes, true).unwrap()).unwrap();
            frame
        };
        let (data, _) = parts(vec![Ok(lent(40_000)), Ok(batch(&stored(10)))]).await;
        assert!(data.iter().all(|bytes| bytes.len() <= 32_000), "{data:?}");
        let sizes: Vec<_> = messages(&data).iter().map(proto::SubscribeResponse::encoded_len).collect();
        assert!(sizes.len() == 2 && sizes[0] > 40_000, "{sizes:?}");
        // Another one of which nothing is taken has the body end with an error.
        let Frame::Batch(parts) = lent(40_000) else { panic!("no batch") };
        let loan = parts.lent.clone().unwrap();
        let mut body = FrameBody::new(mpsc::channel(1).1);
        body.take(Frame::Batch(parts)).unwrap();
        while !loan.take().unwrap().1 {}
        poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
        let end = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap();
        assert_eq!(end.unwrap_err(), CalledIn);
    }
}
