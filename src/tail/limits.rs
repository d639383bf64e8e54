//! How fast lines are taken: one limit for the files of an input, one for all files.
//!
//! Who takes lines has a [`Grant`], and gives it back when the lines of its block or its
//! share of a second are taken, or the limit is reached: then it queues up behind all
//! others. A line is paid for after it was taken, so that none is too long to pass; before
//! the next one the debt is paid off. What was not used is kept, up to one second's worth.

use std::{
    num::NonZeroU32,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, watch},
    time::sleep,
};

use super::{Input, Limits, discover::Patterns, reader::MAX_BLOCK_BYTES};

/// Smallest block that is read of a file under a limit, in bytes.
const MIN_BLOCK_BYTES: usize = 4 * 1024;
/// In how many turns what may be taken in a second is shared.
const TURNS_PER_SECOND: u64 = 20;
/// What a line is taken for where only lines are limited, in bytes.
const USUAL_LINE_BYTES: u64 = 100;

/// The limiters of all inputs. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Limiters(Arc<std::sync::Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    all: Limiter,
    inputs: Vec<(Patterns, Limiter)>,
}

/// The limits that a source keeps: those of its input, and those of all inputs. Clones
/// share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Limiter {
    own: Arc<Stage>,
    above: Option<Arc<Stage>>,
}

/// The right to take lines now. Others wait for it: not to be held while waiting.
#[derive(Debug)]
pub(super) struct Grant([Option<OwnedMutexGuard<Account>>; 2]);

/// Others are before us, or the limit is reached.
struct MustWait;

#[derive(Debug, Default)]
struct Stage {
    limits: watch::Sender<Limits>,
    /// A fair lock: who waits gets it in the order of asking.
    account: Arc<Mutex<Account>>,
}

impl Limiters {
    /// Keeps these limits from now on, also for sources that are followed already: an input
    /// of the same paths as before is the same one.
    pub(super) fn replace(&self, inputs: &[Input], all: Limits) {
        let mut known = self.lock();
        known.all.change(all);
        let keep = |input: &Input| {
            let limiter = known.of(&input.patterns);
            let limiter = limiter.unwrap_or_else(|| known.all.of_input(input.limits));
            limiter.change(input.limits);
            (input.patterns.clone(), limiter)
        };
        known.inputs = inputs.iter().map(keep).collect();
    }

    /// The limiter of an input; of one that is not wanted any more, that of all inputs.
    pub(super) fn of(&self, input: &Input) -> Limiter {
        let known = self.lock();
        known.of(&input.patterns).unwrap_or_else(|| known.all.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn of(&self, patterns: &Patterns) -> Option<Limiter> {
        self.inputs.iter().find(|(known, _)| known.are_those_of(patterns)).map(|(_, limiter)| limiter.clone())
    }
}

impl Limiter {
    /// Limits that nobody shares yet.
    #[cfg(test)]
    pub(super) fn new(limits: Limits) -> Self {
        Self { own: Arc::new(Stage::new(limits)), above: None }
    }

    /// Limits of an input, which keeps these limits too.
    pub(super) fn of_input(&self, limits: Limits) -> Self {
        Self { own: Arc::new(Stage::new(limits)), above: Some(Arc::clone(&self.own)) }
    }

    /// Sets other limits, also for those who wait already.
    pub(super) fn change(&self, limits: Limits) {
        self.own.limits.send_if_modified(|known| std::mem::replace(known, limits) != limits);
    }

    /// Greatest size of a block, in bytes: a file that waits should not hold much.
    pub(super) fn max_block_bytes(&self) -> usize {
        self.stages().map(|stage| block_bytes(*stage.limits.borrow())).fold(MAX_BLOCK_BYTES, usize::min)
    }

    /// A grant, where there is no need to wait for one.
    pub(super) fn try_grant(&self) -> Option<Grant> {
        let own = self.own.try_grant().ok()?;
        let above = self.above.as_ref().map_or(Ok(None), |above| above.try_grant()).ok()?;
        Some(Grant([own, above]))
    }

    /// Waits for a grant.
    pub(super) async fn grant(self) -> Grant {
        let own = self.own.grant().await;
        let above = match &self.above {
            Some(above) => above.grant().await,
            None => None,
        };
        Grant([own, above])
    }

    fn stages(&self) -> impl Iterator<Item = &Stage> {
        [Some(&self.own), self.above.as_ref()].into_iter().flatten().map(Arc::as_ref)
    }
}

impl Grant {
    /// Counts a line of `bytes` that was taken; says whether the next one may be.
    pub(super) fn took_line(&mut self, bytes: usize) -> bool {
        self.0.iter_mut().flatten().fold(true, |goes_on, account| {
            account.owe(bytes as u64);
            account.pay().is_ok() && !account.is_turn_over() && goes_on
        })
    }
}

impl Stage {
    fn new(limits: Limits) -> Self {
        Self { limits: watch::Sender::new(limits), account: Arc::default() }
    }

    /// None where nothing is limited.
    fn try_grant(&self) -> Result<Option<OwnedMutexGuard<Account>>, MustWait> {
        let limits = *self.limits.borrow();
        if limits == Limits::default() {
            return Ok(None);
        }
        let mut account = Arc::clone(&self.account).try_lock_owned().map_err(|_| MustWait)?;
        account.keep(limits);
        account.pay().map_err(|_| MustWait)?;
        account.begin_turn();
        Ok(Some(account))
    }

    async fn grant(&self) -> Option<OwnedMutexGuard<Account>> {
        let mut changes = self.limits.subscribe();
        if *changes.borrow_and_update() == Limits::default() {
            return None;
        }
        let mut account = Arc::clone(&self.account).lock_owned().await;
        loop {
            account.keep(*changes.borrow_and_update());
            let Err(wait) = account.pay() else {
                account.begin_turn();
                return Some(account);
            };
            tokio::select! {
                () = sleep(wait) => {}
                // It cannot close: the sender is here.
                _ = changes.changed() => {}
            }
        }
    }
}

/// What may be taken and what was, under one pair of limits.
#[derive(Debug, Default)]
struct Account<C: Clock = MonotonicClock> {
    clock: C,
    limits: Limits,
    lines: Option<Bucket<C>>,
    bytes: Option<Bucket<C>>,
    /// Lines and bytes that were taken in this turn.
    turn: (u64, u64),
}

impl<C: Clock + Clone> Account<C> {
    /// Goes on under these limits.
    fn keep(&mut self, limits: Limits) {
        if limits != self.limits {
            self.limits = limits;
            for (bucket, per_second) in
                [(&mut self.lines, limits.lines_per_second), (&mut self.bytes, limits.bytes_per_second)]
            {
                let owed = bucket.take().map_or(0, |bucket| bucket.owed);
                *bucket = per_second.map(|per_second| Bucket::new(per_second, owed, &self.clock));
            }
        }
    }

    /// Somebody else takes lines now.
    fn begin_turn(&mut self) {
        self.turn = (0, 0);
    }

    /// Whether others come first: what has gathered while nobody took any is for all.
    fn is_turn_over(&self) -> bool {
        let is_over = |taken: u64, per_second: Option<NonZeroU32>| {
            per_second.is_some_and(|limit| taken >= (u64::from(limit.get()) / TURNS_PER_SECOND).max(1))
        };
        is_over(self.turn.0, self.limits.lines_per_second)
            || is_over(self.turn.1, self.limits.bytes_per_second)
    }

    fn owe(&mut self, bytes: u64) {
        self.turn = (self.turn.0.saturating_add(1), self.turn.1.saturating_add(bytes));
        for (bucket, amount) in [(&mut self.lines, 1), (&mut self.bytes, bytes)] {
            if let Some(bucket) = bucket {
                bucket.owed = bucket.owed.saturating_add(amount);
            }
        }
    }

    /// Pays what is owed; else says how long to wait before trying again.
    fn pay(&mut self) -> Result<(), Duration> {
        let buckets = [&mut self.lines, &mut self.bytes].into_iter().flatten();
        let longest = buckets.filter_map(|bucket| bucket.pay(&self.clock).err()).max();
        longest.map_or(Ok(()), Err)
    }
}

#[derive(Debug)]
struct Bucket<C: Clock> {
    rate: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    burst: NonZeroU32,
    owed: u64,
}

impl<C: Clock + Clone> Bucket<C> {
    fn new(per_second: NonZeroU32, owed: u64, clock: &C) -> Self {
        let rate = RateLimiter::direct_with_clock(Quota::per_second(per_second), clock.clone());
        Self { rate, burst: per_second, owed }
    }

    fn pay(&mut self, clock: &C) -> Result<(), Duration> {
        // More than a burst cannot be had at once.
        while let Some(part) =
            NonZeroU32::new(u32::try_from(self.owed).unwrap_or(u32::MAX).min(self.burst.get()))
        {
            if let Ok(Err(too_early)) = self.rate.check_n(part) {
                return Err(too_early.wait_time_from(clock.now()));
            }
            self.owed -= u64::from(part.get());
        }
        Ok(())
    }
}

/// A hundredth of what may be read in a second.
fn block_bytes(limits: Limits) -> usize {
    let by_lines = limits.lines_per_second.map(|lines| u64::from(lines.get()) * USUAL_LINE_BYTES);
    let by_bytes = limits.bytes_per_second.map(|bytes| u64::from(bytes.get()));
    let per_second = by_lines.into_iter().chain(by_bytes).min().unwrap_or(u64::MAX);
    usize::try_from(per_second / 100).unwrap_or(usize::MAX).clamp(MIN_BLOCK_BYTES, MAX_BLOCK_BYTES)
}

#[cfg(test)]
mod tests;
