//! Looks at the heads of the HTTP/2 frames that a peer sends, before they are handled: those
//! that carry nothing cost it little, and us an answer or a look at our streams. One that
//! floods us with them is cut off, so that others do not feel it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guest::Guest;

/// What a connection begins with that speaks HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
/// A peer that was quiet may send what is allowed in so many seconds at once, such as the end
/// of all its streams.
const BURST_S: u32 = 10;

/// Less than this is not written before the other streams of the connection, where it has any, had
/// their turn: what is told to all of them goes out together, and not a packet each.
const WORTH_WRITING_BYTES: usize = 8 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// There were too many frames that carry nothing.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} control frames a second")]
struct Flood(u32);

/// Reads the heads of frames. Pure.
#[derive(Debug)]
struct Frames {
    place: Place,
    per_second: u32,
    credit: u32,
    since: Instant,
}

/// Where in the bytes it is.
#[derive(Debug)]
enum Place {
    Preface {
        seen: usize,
    },
    Head {
        head: [u8; HEAD_BYTES],
        seen: usize,
    },
    Payload {
        left: usize,
    },
    /// It is no HTTP/2.
    Unknown,
}

impl Place {
    const HEAD: Self = Self::Head { head: [0; HEAD_BYTES], seen: 0 };
}

impl Frames {
    fn new(per_second: u32, now: Instant) -> Self {
        let credit = per_second.saturating_mul(BURST_S);
        Self { place: Place::Preface { seen: 0 }, per_second, credit, since: now }
    }

    /// Whether it is known what is spoken.
    fn is_greeted(&self) -> bool {
        !matches!(self.place, Place::Preface { .. })
    }

    /// Takes what has come.
    fn take(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let taken = match &mut self.place {
                Place::Unknown => return Ok(()),
                Place::Preface { seen } => {
                    let due = &PREFACE[*seen..];
                    let taken = due.len().min(bytes.len());
                    *seen += taken;
                    if bytes[..taken] != due[..taken] {
                        self.place = Place::Unknown;
                    } else if taken == due.len() {
                        self.place = Place::HEAD;
                    }
                    taken
                }
                Place::Head { head, seen } => {
                    let taken = (HEAD_BYTES - *seen).min(bytes.len());
                    head[*seen..*seen + taken].copy_from_slice(&bytes[..taken]);
                    *seen += taken;
                    if *seen == HEAD_BYTES {
                        let [a, b, c, kind, ..] = *head;
                        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                        self.place = if len == 0 { Place::HEAD } else { Place::Payload { left: len } };
                        self.count(kind, len, now)?;
                    }
                    taken
                }
                Place::Payload { left } => {
                    let taken = (*left).min(bytes.len());
                    *left -= taken;
                    if *left == 0 {
                        self.place = Place::HEAD;
                    }
                    taken
                }
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn count(&mut self, kind: u8, len: usize, now: Instant) -> Result<(), Flood> {
        let carries_something = match kind {
            DATA => len > 0,
            // Windows grow with what we send; the others have bounds of their own.
            HEADERS | GOAWAY | WINDOW_UPDATE | CONTINUATION => true,
            _ => false,
        };
        if carries_something {
            return Ok(());
        }
        if self.credit == 0 {
            let earned = now.duration_since(self.since).as_secs_f64() * f64::from(self.per_second);
            let most = f64::from(self.per_second.saturating_mul(BURST_S));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is between 0 and a u32"
            )]
            let earned = earned.min(most) as u32;
            if earned == 0 {
                return Err(Flood(self.per_second));
            }
            self.credit = earned;
            self.since = now;
        }
        self.credit -= 1;
        Ok(())
    }
}

/// What was seen of a peer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    greeted: AtomicBool,
    flooded: AtomicBool,
}

impl Seen {
    /// Whether it has said what it speaks.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// Whether it was cut off for a flood.
    pub(super) fn is_flood(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }
}

/// A stream whose frames are looked at.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    frames: Frames,
    seen: Arc<Seen>,
    guest: Guest,
    /// Whether others had their turn since what was written last.
    has_waited: bool,
}

impl<S> Watched<S> {
    /// Allows so many control frames a second. Of the guest, its number of streams is asked.
    pub(super) fn new(stream: S, per_second: u32, seen: Arc<Seen>, guest: Guest) -> Self {
        Self { stream, frames: Frames::new(per_second, Instant::now()), seen, guest, has_waited: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let was_greeted = self.frames.is_greeted();
        let taken = self.frames.take(&buffer.filled()[before..], Instant::now());
        if !was_greeted && self.frames.is_greeted() {
            self.seen.greeted.store(true, Ordering::Relaxed);
        }
        if taken.is_err() {
            self.seen.flooded.store(true, Ordering::Relaxed);
        }
        Poll::Ready(taken.map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.has_waited && bytes.len() < WORTH_WRITING_BYTES && self.guest.streams() > 1 {
            self.has_waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// Said to be none: then frames of up to a kilobyte are written together, those of all
    /// streams, and not each by itself.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.has_waited = false;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const PING: u8 = 6;
    const SETTINGS: u8 = 4;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
    }

    fn connection(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        frames.into_iter().fold(PREFACE.to_vec(), |all, frame| [all, frame].concat())
    }

    #[test]
    fn a_flood_is_what_is_more_than_the_burst_and_a_second_pays_for_as_much_as_is_allowed() {
        let now = Instant::now();
        let mut frames = Frames::new(10, now);
        frames.take(&connection((0..100).map(|_| frame(PING, &[0; 8]))), now).unwrap();
        assert!(frames.take(&frame(SETTINGS, &[]), now).is_err());
        let later = now + Duration::from_secs(1);
        let mut more = 0;
        while frames.take(&frame(SETTINGS, &[]), later).is_ok() {
            more += 1;
        }
        assert_eq!(more, 10);
    }

    #[test]
    fn what_carries_something_and_what_is_no_http2_is_never_a_flood() {
        let now = Instant::now();
        let mut frames = Frames::new(1, now);
        let call = || [frame(HEADERS, b"x"), frame(DATA, b"y"), frame(WINDOW_UPDATE, &[0; 4])];
        frames.take(&connection((0..1000).flat_map(|_| call())), now).unwrap();
        let mut other = Frames::new(1, now);
        other.take(&b"GET / HTTP/1.1\r\n\r\n".repeat(1000), now).unwrap();
        assert!(other.is_greeted());
    }

    proptest! {
        #[test]
        fn frames_are_counted_alike_however_the_bytes_are_cut(
            kinds in prop::collection::vec((0..12_u8, 0..40_usize), 0..40), pieces in 1..30_usize,
        ) {
            let bytes = connection(kinds.iter().map(|&(kind, len)| frame(kind, &vec![6; len])));
            let control = kinds.iter().filter(|&&(kind, len)| match kind {
                DATA => len == 0,
                HEADERS | GOAWAY | WINDOW_UPDATE | CONTINUATION => false,
                _ => true,
            });
            let is_flood = control.count() > 10;
            let now = Instant::now();
            let mut frames = Frames::new(1, now);
            let taken = bytes.chunks(pieces).try_for_each(|piece| frames.take(piece, now));
            prop_assert_eq!(taken.is_err(), is_flood);
        }
    }
}
