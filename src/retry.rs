//! Capped exponential delays with jitter, for whoever waits for a peer to come back.

use std::time::Duration;

/// The delays between tries: each up to twice the one before, never above the cap.
///
/// The delay is drawn between half and the whole of the current step ("equal
/// jitter" in Marc Brooker's *Exponential Backoff and Jitter*, 2015), so that many
/// peers of one server do not come back in the same millisecond.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    step: Duration,
}

impl Backoff {
    /// Delays that begin at about `first` and end at about `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, step: first }
    }

    /// The delay before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let step = self.step.min(self.cap);
        self.step = step.saturating_mul(2).min(self.cap);
        step.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// Begins again at the first delay, after a try that worked.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let delays: Vec<_> = (0..20).map(|_| backoff.next_delay()).collect();
        assert!(delays[0] >= Duration::from_millis(50) && delays[0] <= Duration::from_millis(100));
        assert!(delays.iter().all(|&delay| delay <= Duration::from_secs(5)));
        assert!(delays[19] >= Duration::from_millis(2500));
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }
}
