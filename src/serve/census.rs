//! Who holds how many of something, none of them more than a bound.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// The counts of all that hold some. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Census<K> {
    most: usize,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

/// One of those that are counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat<K: Eq + Hash> {
    key: K,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Census<K> {
    /// Gives each key at most so many seats; 0: as many as it likes.
    pub(super) fn new(most: usize) -> Self {
        Self { most: if most == 0 { usize::MAX } else { most }, counts: Arc::default() }
    }

    /// One more for this key; none where it has all it may have.
    pub(super) fn seat(&self, key: K) -> Option<Seat<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { key, counts: Arc::clone(&self.counts) })
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_seats_and_an_empty_one_is_forgotten() {
        let census = Census::new(2);
        let seats = [census.seat("a").unwrap(), census.seat("a").unwrap()];
        assert!(census.seat("a").is_none());
        let other = census.seat("b").unwrap();
        drop(seats);
        assert!(census.seat("a").is_some());
        drop(other);
        assert!(census.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn without_a_bound_there_is_always_a_seat() {
        let census = Census::new(0);
        let seats: Vec<_> = (0..1000).map(|_| census.seat(()).unwrap()).collect();
        assert_eq!(seats.len(), 1000);
    }
}
