//! Lines that Redis has acknowledged and a failover forgets: of a busy file, of a quiet one,
//! and of one that was rotated away and drained. Who fails over, and how, is said elsewhere.

use std::{fs, path::PathBuf, time::Instant};

use crate::{
    spine::{Mirror, Reader},
    support::{eventually, relay::TestRelay},
    tailing::{Tailing, append, lines},
};

/// The files, their tailer and a reader who has all lines.
pub(crate) struct Losses {
    pub(crate) tailing: Tailing,
    relay: TestRelay,
    live: Reader,
    busy: PathBuf,
    quiet: PathBuf,
    rotated: PathBuf,
}

impl Losses {
    /// What every server is to get before the one is cut off that takes over.
    pub(crate) async fn begin(tailing: Tailing, relay: TestRelay) -> Self {
        let live = Reader::start(&relay, tailing.topic());
        let [busy, quiet, rotated] = ["busy.log", "quiet.log", "old.log"].map(|name| tailing.path(name));
        append(&quiet, &lines(0, 10));
        append(&rotated, &lines(0, 100));
        append(&busy, &lines(0, 300));
        live.until(410).await;
        Self { tailing, relay, live, busy, quiet, rotated }
    }

    /// What only the master gets; a reader has it.
    pub(crate) async fn write_what_is_lost(&self) {
        append(&self.quiet, &lines(10, 1));
        append(&self.rotated, &lines(100, 100));
        append(&self.busy, &lines(300, 300));
        self.live.until(811).await;
        fs::rename(&self.rotated, self.tailing.path("old.log.1")).unwrap();
        append(&self.rotated, &lines(200, 10));
        self.live.until(821).await;
    }

    /// All is there again, and each line was read once.
    pub(crate) async fn ends_well(&self) {
        eventually("all is there again", async || self.tailing.count().await == 821).await;
        append(&self.busy, &lines(600, 100));
        self.live.until(921).await;
        self.live.was_only_rewound();
        let paths = [(&self.busy, 700), (&self.quiet, 11)];
        self.live.has_lines_once(&paths.map(|(path, count)| (path.as_path(), count)));
        self.tailing.until_lines(921).await;
        assert_eq!(self.tailing.epochs().await, 2);
        Mirror::start(&self.relay, self.tailing.topic()).await.shows(&self.tailing).await;
    }
}

/// Waits for both; prints how long the servers took to decide that one of them takes over, and
/// how much longer it took until it goes on.
pub(crate) async fn print_stall(since: Instant, decided: impl Future, goes_on: impl Future) {
    let decided = async { (decided.await, since.elapsed()).1 };
    let goes_on = async { (goes_on.await, since.elapsed()).1 };
    let (decided, stall) = tokio::join!(decided, goes_on);
    println!("decided after {decided:?}, and {:?} later it goes on", stall.saturating_sub(decided));
}
