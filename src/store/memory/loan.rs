//! What is lent where memory is short: a line that is too large for the small pieces into which all
//! else is cut then. There is a bound for all of it, and a loan of which nothing is taken for long
//! is called in when others wait for room. Who has paid back a loan has room that others have not:
//! those who take nothing hold up nobody who does. Not here: whether memory is short.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

/// How long nothing may be taken of a loan while others wait.
const STALE_AFTER: Duration = Duration::from_secs(2);
/// How often is looked for such loans.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much is taken at once: the most that is held by who was given it and does not pass it on.
const CHUNK_BYTES: usize = 16 * 1024;
/// So many loans are kept in the books before those that are paid back are taken out.
const FIRST_PURGE: usize = 64;

/// Who lends. Clones lend together.
#[derive(Debug, Clone)]
pub(super) struct Lender {
    began: Instant,
    books: Arc<Mutex<Books>>,
    pub(super) called_in: Counter,
}

#[derive(Debug)]
struct Books {
    most_bytes: usize,
    used_bytes: usize,
    lent: Vec<Weak<Inner>>,
    purge_at: usize,
    looked: Instant,
}

/// Room for bytes, until it is dropped.
#[derive(Debug)]
pub struct Room {
    books: Arc<Mutex<Books>>,
    began: Instant,
    bytes: usize,
}

/// Bytes that may be called in. Clones are the same loan.
#[derive(Debug, Clone)]
pub struct Loan(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: usize,
    began: Instant,
    /// When something was taken of it, in milliseconds since `began`.
    moved_ms: AtomicU64,
    /// None: it was called in, or is paid back.
    held: Mutex<Option<Held>>,
    paid: AtomicBool,
}

#[derive(Debug)]
struct Held {
    parts: VecDeque<Bytes>,
    _room: Room,
}

/// A loan was called in: what was not taken of it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing was taken for {} s, and others waited for memory", STALE_AFTER.as_secs())]
pub struct CalledIn;

impl Default for Lender {
    fn default() -> Self {
        let began = Instant::now();
        let books = Books {
            most_bytes: usize::MAX,
            used_bytes: 0,
            lent: Vec::new(),
            purge_at: FIRST_PURGE,
            looked: began,
        };
        Self { began, books: Arc::new(Mutex::new(books)), called_in: Counter::default() }
    }
}

impl Lender {
    pub(super) fn bound(&self, most_bytes: usize) {
        books(&self.books).most_bytes = most_bytes;
    }

    /// Room for so many bytes; none where there is none now. Where nothing is lent there always is.
    pub(super) fn reserve(&self, bytes: usize, has_paid: bool) -> Option<Room> {
        if let Some(room) = self.try_reserve(bytes, has_paid) {
            return Some(room);
        }
        let stale = books(&self.books).stale(bytes, self.began);
        for loan in &stale {
            self.called_in.inc();
            // Its room is given back here, when nobody looks into the books.
            drop(held(loan).take());
        }
        if stale.is_empty() { None } else { self.try_reserve(bytes, has_paid) }
    }

    fn try_reserve(&self, bytes: usize, has_paid: bool) -> Option<Room> {
        let mut books = books(&self.books);
        let used = books.used_bytes.saturating_add(bytes);
        let most = if has_paid { books.most_bytes } else { books.most_bytes / 2 };
        if books.used_bytes > 0 && used > most {
            return None;
        }
        books.used_bytes = used;
        Some(Room { books: Arc::clone(&self.books), began: self.began, bytes })
    }
}

impl Books {
    /// Loans that make room for so many bytes, where nothing was taken of them for long.
    fn stale(&mut self, bytes: usize, began: Instant) -> Vec<Arc<Inner>> {
        let now = Instant::now();
        if now.duration_since(self.looked) < LOOK_EVERY {
            return Vec::new();
        }
        self.looked = now;
        self.purge();
        let latest = ms(now.duration_since(began).saturating_sub(STALE_AFTER));
        let is_stale = |loan: &Arc<Inner>| loan.moved_ms.load(Ordering::Relaxed) < latest;
        let (mut stale, mut freed) = (Vec::new(), 0);
        for loan in self.lent.iter().filter_map(Weak::upgrade).filter(is_stale) {
            if freed >= bytes {
                break;
            }
            freed += loan.bytes;
            stale.push(loan);
        }
        stale
    }

    fn purge(&mut self) {
        self.lent.retain(|loan| loan.strong_count() > 0);
        self.purge_at = (2 * self.lent.len()).max(FIRST_PURGE);
    }
}

impl Room {
    /// For how many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lends bytes, for which the room has to be enough.
    pub fn lend(self, parts: impl IntoIterator<Item = Bytes>) -> Loan {
        let parts: VecDeque<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let (bytes, began) = (parts.iter().map(Bytes::len).sum(), self.began);
        let (own, moved_ms) = (Arc::clone(&self.books), AtomicU64::new(ms(began.elapsed())));
        let held = Mutex::new(Some(Held { parts, _room: self }));
        let loan = Arc::new(Inner { bytes, began, moved_ms, held, paid: AtomicBool::new(false) });
        let mut books = books(&own);
        if books.lent.len() >= books.purge_at {
            books.purge();
        }
        books.lent.push(Arc::downgrade(&loan));
        drop(books);
        Loan(loan)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut books = books(&self.books);
        books.used_bytes = books.used_bytes.saturating_sub(self.bytes);
    }
}

impl Loan {
    /// How many bytes were lent.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Whether all of it was taken.
    pub fn is_paid(&self) -> bool {
        self.0.paid.load(Ordering::Relaxed)
    }

    /// The next bytes, at most 16 KiB, as a copy, and whether these are the last ones.
    ///
    /// # Errors
    /// [`CalledIn`].
    pub fn take(&self) -> Result<(Bytes, bool), CalledIn> {
        let mut held = held(&self.0);
        let parts = &mut held.as_mut().ok_or(CalledIn)?.parts;
        let Some(part) = parts.front_mut() else { return Ok((Bytes::new(), true)) };
        let chunk = Bytes::copy_from_slice(&part.split_to(part.len().min(CHUNK_BYTES)));
        if part.is_empty() {
            parts.pop_front();
        }
        let is_last = parts.is_empty();
        self.0.moved_ms.store(ms(self.0.began.elapsed()), Ordering::Relaxed);
        if is_last {
            *held = None;
            self.0.paid.store(true, Ordering::Relaxed);
        }
        Ok((chunk, is_last))
    }
}

impl PartialEq for Loan {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn books(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn held(loan: &Inner) -> MutexGuard<'_, Option<Held>> {
    loan.held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lender(most_bytes: usize) -> Lender {
        let lender = Lender::default();
        lender.bound(most_bytes);
        lender
    }

    fn lend(lender: &Lender, bytes: usize, has_paid: bool) -> Option<Loan> {
        Some(lender.reserve(bytes, has_paid)?.lend([Bytes::from(vec![1; bytes])]))
    }

    #[test]
    fn room_is_bounded_and_is_given_back_with_the_last_bytes() {
        let lender = lender(100_000);
        let loan = lend(&lender, 60_000, true).unwrap();
        assert!(lender.reserve(60_000, true).is_none());
        let other = lender.reserve(40_000, true).unwrap();
        let mut taken = 0;
        loop {
            assert!(!loan.is_paid());
            let (bytes, is_last) = loan.take().unwrap();
            taken += bytes.len();
            if is_last {
                break;
            }
        }
        assert!(taken == 60_000 && loan.is_paid() && loan.take() == Err(CalledIn));
        assert!(lender.reserve(60_000, true).is_some());
        drop(other);
        // What is larger than all there is fits alone.
        assert!(lender.reserve(200_000, false).is_some());
    }

    #[test]
    fn those_who_have_paid_back_have_room_that_others_have_not() {
        let lender = lender(100);
        let _loans = [lend(&lender, 30, false).unwrap(), lend(&lender, 20, false).unwrap()];
        assert!(lender.reserve(30, false).is_none());
        assert!(lender.reserve(30, true).is_some());
    }

    #[test]
    fn a_loan_of_which_nothing_is_taken_is_called_in_for_another_one_and_no_other_is() {
        let mut lender = lender(100);
        // What was lent at its begin was lent long ago.
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(60)) else { return };
        lender.began = long_ago;
        books(&lender.books).looked = long_ago;
        let [stuck, moves] = [60, 40].map(|bytes| lend(&lender, bytes, true).unwrap());
        stuck.0.moved_ms.store(0, Ordering::Relaxed);
        assert!(lender.reserve(50, true).is_some());
        assert!(!stuck.is_paid() && stuck.take() == Err(CalledIn) && moves.take().is_ok());
        assert_eq!(lender.called_in.get(), 1);
    }
}
