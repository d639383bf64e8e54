//! Whose turn it is to be asked: the relays in an order of this client's own, so that many
//! clients with one list spread over it.

use super::RelayAddress;

/// The relays, and which one is next.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    relays: Vec<RelayAddress>,
    asked: usize,
    seed: u64,
}

/// One relay to be asked now.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) relay: RelayAddress,
    /// How often it was asked before.
    attempt: usize,
    seed: u64,
}

impl Turn {
    /// In an order of chance.
    pub(super) fn new(relays: &[RelayAddress]) -> Self {
        let mut turn = Self::in_order(relays);
        fastrand::shuffle(&mut turn.relays);
        turn
    }

    /// In this order.
    pub(super) fn in_order(relays: &[RelayAddress]) -> Self {
        Self { relays: relays.to_vec(), asked: 0, seed: fastrand::u64(..) }
    }

    /// The next one; none where there is none at all.
    pub(super) fn next(&mut self) -> Option<Ask> {
        let count = self.relays.len();
        let relay = self.relays.get(self.asked.checked_rem(count)?)?.clone();
        let attempt = self.asked / count;
        self.asked = self.asked.wrapping_add(1);
        Some(Ask { relay, attempt, seed: self.seed })
    }

    /// The last one is asked once more, at the same address.
    pub(super) fn again(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// Whether there is another one to ask.
    pub(super) fn has_choice(&self) -> bool {
        self.relays.len() > 1
    }
}

impl Ask {
    /// What a name stands for, in the order in which to try: one of this client's own, that
    /// begins one further with every attempt.
    pub(super) fn order<T: Ord>(&self, mut addresses: Vec<T>) -> Vec<T> {
        // A resolver gives another order every time.
        addresses.sort();
        addresses.dedup();
        fastrand::Rng::with_seed(self.seed).shuffle(&mut addresses);
        if let Some(first) = self.attempt.checked_rem(addresses.len()) {
            addresses.rotate_left(first);
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn relays(count: usize) -> Vec<RelayAddress> {
        (0..count).map(|number| format!("relay-{number}:7171").parse().unwrap()).collect()
    }

    #[test]
    fn every_relay_is_asked_before_one_is_asked_again() {
        let all = relays(5);
        let mut turn = Turn::new(&all);
        for _ in 0..3 {
            let round: BTreeSet<_> = (0..5).map(|_| turn.next().unwrap().relay.to_string()).collect();
            assert_eq!(round.len(), 5);
        }
        assert!(Turn::new(&[]).next().is_none());
    }

    #[test]
    fn clients_with_one_list_begin_at_different_relays() {
        let all = relays(3);
        let seed = fastrand::get_seed();
        let first: BTreeSet<_> =
            (0..100).map(|_| Turn::new(&all).next().unwrap().relay.to_string()).collect();
        assert_eq!(first.len(), 3, "seed {seed}");
    }

    #[test]
    fn the_addresses_of_a_name_are_tried_in_turn_whatever_the_order_of_the_answer() {
        let mut turn = Turn::new(&relays(1));
        let firsts = [vec![1, 2, 3], vec![3, 1, 2], vec![2, 3, 1, 1]]
            .map(|answer| turn.next().unwrap().order(answer)[0]);
        assert_eq!(BTreeSet::from(firsts).len(), 3, "{firsts:?}");
        let before = turn.next().unwrap().order(vec![1, 2, 3]);
        turn.again();
        assert_eq!(turn.next().unwrap().order(vec![1, 2, 3]), before);
        assert!(turn.next().unwrap().order(Vec::<u8>::new()).is_empty());
    }
}
