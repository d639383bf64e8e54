//! HTTP/2 by hand: what a well-behaved library would not send, and readers that cost next to
//! nothing. Not here: a whole client.

use std::io;

use logrelay::proto::SubscribeRequest;
use prost::Message;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const MOST: u32 = i32::MAX.cast_unsigned();
const INITIAL_WINDOW_SIZE: u8 = 4;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame as it is sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a connection begins with, whose streams may send so many bytes each before they are
/// allowed more.
pub(crate) fn greeting(window_bytes: u32) -> Vec<u8> {
    let settings = [&[0, INITIAL_WINDOW_SIZE][..], &window_bytes.to_be_bytes()].concat();
    let connection = (MOST - 65_535).to_be_bytes();
    [PREFACE, &frame(SETTINGS, 0, 0, &settings), &frame(WINDOW_UPDATE, 0, 0, &connection)].concat()
}

/// The same, with windows that are never used up.
pub(crate) fn open_greeting() -> Vec<u8> {
    greeting(MOST)
}

/// The head of a subscription, without an end.
pub(crate) fn call(stream: u32) -> Vec<u8> {
    call_of("Subscribe", stream)
}

fn call_of(rpc: &str, stream: u32) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // Indices of the static table, and literals that are not added to the other one.
    let block = [
        &[0x83, 0x86, 0x04][..],
        &text(&format!("/logrelay.v1.LogRelay/{rpc}")),
        &[0x01],
        &text("relay"),
        &[0x0f, 0x10],
        &text("application/grpc"),
        &[0x00],
        &text("te"),
        &text("trailers"),
    ];
    frame(HEADERS, END_HEADERS, stream, &block.concat())
}

/// A whole subscription.
pub(crate) fn subscribe(stream: u32, request: &SubscribeRequest) -> Vec<u8> {
    request_of("Subscribe", stream, request)
}

/// A whole call with one request.
pub(crate) fn request_of(rpc: &str, stream: u32, request: &impl Message) -> Vec<u8> {
    let message = request.encode_to_vec();
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0], &len[..], &message].concat();
    [call_of(rpc, stream), frame(DATA, END_STREAM, stream, &body)].concat()
}

/// The head of a frame that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

/// The first frame of what has come, and what is behind it; none where it is not whole.
pub(crate) fn split(bytes: &[u8]) -> Option<(Head, &[u8], &[u8])> {
    let (&[high, middle, low, kind, flags, ref stream @ ..], rest) =
        bytes.split_first_chunk::<HEAD_BYTES>()?;
    let len = u32::from_be_bytes([0, high, middle, low]) as usize;
    let (payload, rest) = rest.split_at_checked(len)?;
    let stream = u32::from_be_bytes(*stream) & MOST;
    Some((Head { len, kind, flags, stream }, payload, rest))
}

/// A connection on which anything can be sent.
pub(crate) struct Peer {
    stream: TcpStream,
    came: Vec<u8>,
}

impl Peer {
    /// Connects to a relay's URL; nothing is said yet.
    pub(crate) async fn connect(url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, came: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame; none at the end of the connection, however that comes.
    pub(crate) async fn next(&mut self) -> Option<(Head, Vec<u8>)> {
        loop {
            if let Some((head, payload, rest)) = split(&self.came) {
                let (payload, rest) = (payload.to_vec(), rest.to_vec());
                self.came = rest;
                return Some((head, payload));
            }
            match self.stream.read_buf(&mut self.came).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads up to the end of the connection.
    pub(crate) async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }
}
