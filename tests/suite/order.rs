//! The lines of a log are in order over all its rotations, also when Redis has forgotten them and
//! they are sent again: for newcomers, and for readers that drop what they have.

use std::{fs, path::PathBuf, time::Duration};

use logrelay::{
    store::{self, ConnectOptions, Store},
    tail,
};

use crate::{
    promotion::{replica_of, until_in_sync},
    proxy::Proxy,
    spine::Reader,
    support::{TestRedis, relay::TestRelay},
    tailing::{Tailing, append, lines},
};

/// A log that is rotated, its tailer and what was written.
struct Rotated {
    tailing: Tailing,
    log: PathBuf,
    written: u64,
    rotations: u32,
}

impl Rotated {
    /// A log whose rotated files are remembered for longer than the test takes.
    fn start(redis: &TestRedis, glob: &str, change: impl Fn(tail::Options) -> tail::Options) -> Self {
        let change = |options| change(tail::Options { linger_ms: 600_000, ..options });
        let mut tailing = Tailing::prepare(redis, glob, change);
        tailing.resume();
        Self::of(tailing)
    }

    fn of(tailing: Tailing) -> Self {
        Self { log: tailing.path("app.log"), tailing, written: 0, rotations: 0 }
    }

    fn write(&mut self, count: u64) {
        append(&self.log, &lines(self.written, count));
        self.written += count;
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        fs::rename(&self.log, self.rotated()).unwrap();
        append(&self.log, "");
    }

    /// The file that was rotated last. It has a date and a number: times of files can be equal.
    fn rotated(&self) -> PathBuf {
        format!("{}-20261121-{:03}", self.log.display(), self.rotations).into()
    }

    /// Files with so many lines each, all of which are stored.
    async fn fill(&mut self, files: u32, count: u64) {
        for file in 0..files {
            if file > 0 {
                self.rotate();
            }
            self.write(count);
            self.tailing.until_lines(self.written).await;
        }
    }

    /// Waits until all lines are stored, and looks at them as a newcomer does.
    async fn is_stored_in_order(&self) {
        self.tailing.until_lines(self.written).await;
        self.tailing.assert_numbered(self.written).await;
    }

    /// The same of a reader.
    async fn is_read_in_order_by(&self, reader: &Reader) {
        reader.until(self.written).await;
        reader.has_log_in_order(&self.log, self.written);
    }
}

#[tokio::test]
async fn after_redis_was_emptied_the_rotations_of_a_log_come_in_their_order_again() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    for glob in ["*.log", "app.log*"] {
        let mut log = Rotated::start(&redis, glob, |options| options);
        let live = Reader::start(&relay, log.tailing.topic());
        log.fill(5, 3000).await;
        for _ in 0..3 {
            redis.control().await.run::<()>("FLUSHALL").await;
            log.write(500);
            log.rotate();
            log.write(500);
            log.is_stored_in_order().await;
            log.is_read_in_order_by(&live).await;
            let newcomer = Reader::start(&relay, log.tailing.topic());
            log.is_read_in_order_by(&newcomer).await;
            newcomer.was_told_nothing();
        }
    }
}

#[tokio::test]
async fn after_redis_was_emptied_files_that_rest_or_are_closed_come_before_newer_ones() {
    let redis = TestRedis::start().await;
    let of_glob = async |glob| {
        let few = |options| tail::Options { max_open_files: 3, rest_after_ms: 50, ..options };
        let mut log = Rotated::start(&redis, glob, few);
        log.fill(8, 500).await;
        log
    };
    let mut logs = [of_glob("*.log").await, of_glob("app.log*").await];
    redis.control().await.run::<()>("FLUSHALL").await;
    for log in &mut logs {
        log.write(200);
    }
    for log in &logs {
        log.is_stored_in_order().await;
    }
}

/// What is under way of a new file when Redis forgets the end of the one before, and not that there
/// is the new one.
#[tokio::test]
async fn the_first_lines_of_a_file_wait_until_what_was_before_it_is_stored_again() {
    let mut redis = TestRedis::start().await;
    for _ in 0..5 {
        let mut log = Rotated::start(&redis, "*.log", |options| options);
        log.fill(1, 1000).await;
        log.rotate();
        log.tailing.until_sources(2).await;
        let copy = redis.copy();
        append(&log.rotated(), &lines(1000, 2000));
        log.written += 2000;
        log.tailing.until_lines(3000).await;
        redis.freeze();
        log.write(1000);
        tokio::time::sleep(Duration::from_millis(20)).await;
        redis.replace_with(&copy).await;
        log.is_stored_in_order().await;
    }
}

#[tokio::test]
async fn a_replica_that_missed_rotations_gets_them_in_their_order() {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    let mut master = TestRedis::with_port(&at_once).await;
    let replica = replica_of(&master).await;
    let name = Proxy::to(master.port()).await;
    let relay = TestRelay::over(Store::new(store::Options::new(name.url())).unwrap(), |_, _| ()).await;
    // What is asserted goes to the server that is there in the end.
    let lingering = |options| tail::Options { linger_ms: 600_000, ..options };
    let mut tailing = Tailing::prepare(&replica, "*.log", lingering).over(ConnectOptions::new(name.url()));
    tailing.resume();
    let mut log = Rotated::of(tailing);
    let live = Reader::start(&relay, log.tailing.topic());
    log.write(1000);
    live.until(log.written).await;
    log.rotate();
    log.write(1000);
    live.until(log.written).await;
    until_in_sync(&master, &replica).await;
    // The link breaks, and the master goes on for a while.
    let mut control = replica.control().await;
    control.run::<()>("REPLICAOF 127.0.0.1 1").await;
    for _ in 0..3 {
        log.rotate();
        log.write(2000);
        live.until(log.written).await;
    }

    name.lead_to(replica.port());
    master.kill().await;
    log.write(500);
    control.run::<()>("REPLICAOF NO ONE").await;
    log.write(500);
    log.is_read_in_order_by(&live).await;
    log.is_stored_in_order().await;
    live.was_only_rewound();
}

#[tokio::test]
async fn whatever_redis_forgets_and_however_often_the_rotations_of_a_log_stay_in_order() {
    let seed =
        std::env::var("LOGRELAY_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("LOGRELAY_TEST_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut log = Rotated::start(&redis, "*.log", |options| options);
    let live = Reader::start(&relay, log.tailing.topic());
    log.fill(3, 1000).await;
    let mut copies = vec![redis.copy()];
    for step in 0..40 {
        match rng.u8(0..10) {
            0 | 1 => copies.push(redis.copy()),
            2 | 3 => redis.replace_with(rng.choice(&copies).unwrap()).await,
            4 => redis.control().await.run::<()>("FLUSHALL").await,
            5 | 6 => log.rotate(),
            // In the middle of what is sent again.
            7 => tokio::time::sleep(Duration::from_millis(rng.u64(0..150))).await,
            _ => log.write(rng.u64(1..800)),
        }
        if rng.u8(..) < 50 {
            println!("step {step}: all is stored");
            log.is_stored_in_order().await;
        }
    }
    log.write(1);
    log.is_stored_in_order().await;
    log.is_read_in_order_by(&live).await;
}
