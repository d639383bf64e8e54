//! Rates in steps of a clock that only the test moves; turns and changes as they are.

use futures_util::FutureExt as _;
use governor::clock::FakeRelativeClock;

use super::*;

fn limits(lines: u32, bytes: u32) -> Limits {
    Limits { lines_per_second: NonZeroU32::new(lines), bytes_per_second: NonZeroU32::new(bytes) }
}

/// An account whose clock is moved by hand.
struct Stepped {
    account: Account<FakeRelativeClock>,
    elapsed: Duration,
}

impl Stepped {
    fn new(limits: Limits) -> Self {
        let mut account = Account::<FakeRelativeClock>::default();
        account.keep(limits);
        Self { account, elapsed: Duration::ZERO }
    }

    /// Takes lines as soon as each may be; returns when the last one was.
    fn take(&mut self, lines: u32, bytes: u64) -> Duration {
        for _ in 0..lines {
            while let Err(wait) = self.account.pay() {
                self.account.clock.advance(wait);
                self.elapsed += wait;
            }
            self.account.owe(bytes);
        }
        self.elapsed
    }

    fn rest(&mut self, pause: Duration) {
        self.account.clock.advance(pause);
        self.elapsed += pause;
    }
}

fn assert_about(elapsed: Duration, wanted_ms: u64) {
    let ms = u64::try_from(elapsed.as_millis()).unwrap();
    assert!(ms.abs_diff(wanted_ms) <= 1 + wanted_ms / 50, "{ms} ms instead of {wanted_ms}");
}

#[test]
fn lines_go_at_their_rate_after_a_burst_of_one_second() {
    let mut stepped = Stepped::new(limits(10, 0));
    assert_about(stepped.take(11, 1_000_000), 0);
    assert_about(stepped.take(100, 1_000_000), 10_000);
    // An hour of silence is worth one second.
    stepped.rest(Duration::from_secs(3600));
    assert_about(stepped.take(10 + 50, 1), 3_600_000 + 10_000 + 5_000);
}

#[test]
fn bytes_go_at_their_rate_and_the_narrower_limit_counts() {
    assert_about(Stepped::new(limits(0, 1000)).take(101, 100), 9_000);
    assert_about(Stepped::new(limits(1000, 1000)).take(101, 100), 9_000);
    assert_about(Stepped::new(limits(1, 1_000_000)).take(22, 100), 20_000);
}

#[test]
fn a_line_larger_than_the_limit_passes_and_is_paid_off_afterwards() {
    let mut stepped = Stepped::new(limits(0, 1000));
    assert_about(stepped.take(1, 1_000_000), 0);
    assert_about(stepped.take(1, 1), 999_000);
}

#[test]
fn every_rate_and_every_size_ends() {
    for (lines, bytes, size) in [(1, 1, 0), (u32::MAX, u32::MAX, u64::MAX), (1, u32::MAX, 3 << 20)] {
        let mut stepped = Stepped::new(limits(lines, bytes));
        stepped.account.owe(size.min(1 << 34));
        stepped.take(3, 1);
    }
}

#[test]
fn other_limits_hold_at_once_and_the_debt_stays() {
    let mut stepped = Stepped::new(limits(0, 1));
    stepped.take(1, 10_001);
    stepped.account.keep(limits(0, 1000));
    assert_about(stepped.take(1, 1), 9_001);
    stepped.account.keep(Limits::default());
    assert_about(stepped.take(1000, 1000), 9_001);
}

#[test]
fn blocks_are_small_under_a_small_limit_and_as_large_as_ever_without_one() {
    assert_eq!(Limiter::default().max_block_bytes(), MAX_BLOCK_BYTES);
    let all = Limiter::new(limits(0, 100_000_000));
    assert_eq!(all.of_input(Limits::default()).max_block_bytes(), MAX_BLOCK_BYTES);
    assert_eq!(all.of_input(limits(0, 2_000_000)).max_block_bytes(), 20_000);
    assert_eq!(all.of_input(limits(10, 2_000_000)).max_block_bytes(), MIN_BLOCK_BYTES);
}

#[tokio::test]
async fn who_waits_longest_has_the_next_turn() {
    let limiter = Limiter::new(limits(1000, 0));
    let first = limiter.try_grant().unwrap();
    let mut second = Box::pin(limiter.clone().grant());
    let mut third = Box::pin(limiter.clone().grant());
    assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
    drop(first);
    assert!(limiter.try_grant().is_none(), "nobody passes those who wait");
    assert!((&mut third).now_or_never().is_none());
    drop(second.await);
    drop(third.await);
    assert!(limiter.try_grant().is_some());
}

#[test]
fn a_turn_ends_before_one_file_has_taken_what_has_gathered_for_all() {
    let limiter = Limiter::new(limits(100, 0));
    let mut grant = limiter.try_grant().unwrap();
    let taken = 1 + std::iter::repeat_with(|| grant.took_line(10)).take(100).take_while(|more| *more).count();
    assert_eq!(taken, 5);
    drop(grant);
    assert!(limiter.try_grant().is_some(), "the burst is not used up");
}

#[tokio::test]
async fn who_stops_waiting_holds_nobody_up() {
    let limiter = Limiter::new(limits(0, 1));
    assert!(!limiter.try_grant().unwrap().took_line(1_000_000));
    let mut waiting = Box::pin(limiter.clone().grant());
    assert!((&mut waiting).now_or_never().is_none());
    drop(waiting);
    limiter.change(limits(0, u32::MAX));
    limiter.grant().await;
}

#[tokio::test]
async fn an_input_waits_for_its_own_limit_without_the_turn_of_all() {
    let all = Limiter::new(limits(1000, 0));
    let (slow, other) = (all.of_input(limits(0, 1)), all.of_input(Limits::default()));
    assert!(!slow.try_grant().unwrap().took_line(1_000_000));
    let mut waiting = Box::pin(slow.clone().grant());
    assert!((&mut waiting).now_or_never().is_none());
    assert!(other.try_grant().unwrap().took_line(1_000_000));
}

#[tokio::test]
async fn a_change_reaches_those_who_wait() {
    let all = Limiter::default();
    let limiter = all.of_input(limits(0, 1));
    assert!(!limiter.try_grant().unwrap().took_line(1_000_000_000));
    let mut waiting = Box::pin(limiter.clone().grant());
    assert!((&mut waiting).now_or_never().is_none());
    limiter.change(Limits::default());
    waiting.await;
    all.change(limits(0, 1));
    assert!(!limiter.try_grant().unwrap().took_line(1_000_000_000));
    assert!(limiter.try_grant().is_none());
}

#[tokio::test]
async fn an_input_of_the_same_paths_keeps_its_debt_when_inputs_are_replaced() {
    let input = |path: &str, limits| {
        let patterns = Patterns::parse(&[path.to_owned()]).unwrap();
        Input { limits, ..Input::new(patterns, crate::tail::TopicRule::FileStem) }
    };
    let limiters = Limiters::default();
    limiters.replace(&[input("/a", limits(0, 1)), input("/b", limits(0, 1))], Limits::default());
    let (a, b) = (input("/a", Limits::default()), input("/b", Limits::default()));
    assert!(!limiters.of(&a).try_grant().unwrap().took_line(1_000_000));
    limiters.replace(&[input("/b", limits(0, 1)), input("/a", limits(0, 2))], Limits::default());
    assert!(limiters.of(&a).try_grant().is_none());
    assert!(limiters.of(&b).try_grant().is_some());
    limiters.replace(&[], limits(0, 1));
    assert!(!limiters.of(&a).try_grant().unwrap().took_line(1_000_000), "that of all holds for everybody");
}
