//! What has arrived, and so is known to Redis and to the tailer: some actions make sense,
//! or leave something to be known by, only then.

use tokio::time::sleep;

use super::{LOOK, Sequence};
use crate::{
    action::Style,
    history::{BANNER_BYTES, Name},
    troubled::patiently,
};

impl Sequence {
    pub(super) fn incarnation(&self, log: usize) -> Option<usize> {
        self.logs[log].current.as_ref().map(|writer| writer.incarnation)
    }

    /// Whether one file of the log is known to Redis and still there: without one, a
    /// rotated file that was never seen cannot be told from those of long ago.
    pub(super) async fn has_anchor(&mut self, log: usize) -> Result<bool, String> {
        self.arrivals.look().await?;
        Ok(self.is_anchored_without(log, None) || self.is_known(log, 1).await?)
    }

    /// Whether the file is known that a link leads to: nothing tells where it led before.
    pub(super) async fn is_link_known(&mut self, log: usize) -> Result<bool, String> {
        Ok(self.plan.style != Style::Link || self.is_known(log, 1).await?)
    }

    /// Whether a rotated file is known once it is compressed. One that keeps a second name has its
    /// record there: of the packed one more has to be known than all files of the log begin with.
    pub(super) async fn may_be_compressed(&mut self, log: usize, age: usize) -> Result<bool, String> {
        self.arrivals.look().await?;
        let rotated = self.logs[log].rotated.get(age).map(|rotated| rotated.incarnation);
        let is_told = rotated.is_some_and(|it| self.bytes_arrived(log, it) > BANNER_BYTES + 1);
        let is_free = rotated.is_none_or(|it| !self.tells_of_copy(log, it));
        Ok(is_free && (!self.plan.has_banner || is_told || self.logs[log].linked != rotated))
    }

    /// Whether a file was emptied of more than its copy has: that is known by its original alone.
    pub(super) fn tells_of_copy(&self, log: usize, incarnation: usize) -> bool {
        self.logs[log].has_short_copy && self.bytes_arrived(log, incarnation) == 0
    }

    pub(super) fn is_anchored_without(&self, log: usize, without: Option<usize>) -> bool {
        let rotated = self.logs[log].rotated.iter().map(|rotated| rotated.incarnation);
        let mut others =
            rotated.chain(self.incarnation(log)).filter(|incarnation| Some(*incarnation) != without);
        others.any(|incarnation| self.bytes_arrived(log, incarnation) > 0)
    }

    /// Whether so many bytes of a log's file have arrived, and the tailer knows that they
    /// have; writes them where it runs.
    pub(super) async fn is_known(&mut self, log: usize, bytes: usize) -> Result<bool, String> {
        self.arrivals.look().await?;
        let Some(incarnation) = self.incarnation(log) else { return Ok(false) };
        if self.bytes_arrived(log, incarnation) >= bytes {
            return Ok(true);
        }
        if self.tailer.is_none() {
            return Ok(false);
        }
        self.logs[log].append(&mut self.history, 1, bytes);
        let what = format!("the first {bytes} bytes of log {log}, incarnation {incarnation}, arrive");
        patiently(&what, async {
            while self.bytes_arrived(log, incarnation) < bytes {
                sleep(LOOK).await;
                self.arrivals.look().await?;
            }
            Ok(true)
        })
        .await?
    }

    pub(super) fn bytes_arrived(&self, log: usize, incarnation: usize) -> usize {
        self.history.bytes_arrived(log, incarnation, |name| self.arrivals.has(name))
    }

    /// Whether all lines of an incarnation have arrived, in time where the tailer runs.
    pub(super) async fn is_drained(&mut self, log: usize, incarnation: usize) -> Result<bool, String> {
        let of_file = |name: &Name| (name.0, name.1) == (log, incarnation);
        let awaited: Vec<_> = self.history.awaited().filter(of_file).collect();
        if self.tailer.is_none() {
            self.arrivals.look().await?;
            return Ok(awaited.iter().all(|name| self.arrivals.has(*name)));
        }
        self.arrive(&format!("log {log}, incarnation {incarnation}, is drained"), &awaited).await?;
        Ok(true)
    }

    /// Waits until all these lines have arrived.
    pub(super) async fn arrive(&mut self, what: &str, awaited: &[Name]) -> Result<(), String> {
        let mut arrived = 0;
        let all = async {
            loop {
                self.arrivals.look().await?;
                arrived += awaited[arrived..].iter().take_while(|name| self.arrivals.has(**name)).count();
                if arrived == awaited.len() {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        };
        let all = patiently(what, all).await;
        all.map_err(|why| format!("{why}: {:?} is missing", awaited[arrived]))?
    }
}
