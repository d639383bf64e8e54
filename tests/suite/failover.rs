//! Redis forgets, is wiped, killed, or changes its name: what readers of files hear.

use std::path::PathBuf;

use crate::{
    spine::{Mirror, Program, Reader, Told},
    support::{TestRedis, relay::TestRelay},
    tailing::{Tailing, append, lines},
};

/// A tailer of two files: one that is written to, and one that is hardly ever.
struct Host {
    tailing: Tailing,
    busy: PathBuf,
    quiet: PathBuf,
    busy_lines: u64,
    quiet_lines: u64,
}

impl Host {
    fn start(redis: &TestRedis) -> Self {
        let tailing = Tailing::start(redis, "*.log");
        let (busy, quiet) = (tailing.path("busy.log"), tailing.path("quiet.log"));
        Self { tailing, busy, quiet, busy_lines: 0, quiet_lines: 0 }
    }

    fn write(&mut self) {
        append(&self.busy, &lines(self.busy_lines, 150));
        self.busy_lines += 150;
    }

    fn write_to_both(&mut self) {
        self.write();
        append(&self.quiet, &lines(self.quiet_lines, 1));
        self.quiet_lines += 1;
    }

    fn lines(&self) -> u64 {
        self.busy_lines + self.quiet_lines
    }

    /// Waits until a reader has all lines, and looks at them.
    async fn is_read_by(&self, reader: &Reader) {
        reader.until(self.lines()).await;
        reader.has_each_once(&[(&self.busy, self.busy_lines), (&self.quiet, self.quiet_lines)]);
    }
}

/// What happens between two failovers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Appends,
    /// Nobody writes; readers hear of the first one before the second.
    Nothing,
    /// The second one follows at once.
    NoTime,
}

/// Which copy takes over the second time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Second {
    Older,
    Same,
    /// One that was made after the first failover.
    Newer,
}

async fn fail_over_twice(between: Between, second: Second) {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut host = Host::start(&redis);
    let topic = host.tailing.topic().clone();
    let (live, later) = (Reader::start(&relay, &topic), Reader::start(&relay, &topic));
    let mirror = Mirror::start(&relay, &topic).await;

    host.write_to_both();
    live.until(host.lines()).await;
    let older = redis.copy();
    host.write_to_both();
    live.until(host.lines()).await;
    let mut copy = redis.copy();
    host.write_to_both();
    host.is_read_by(&live).await;
    later.until(host.lines()).await;
    let later = later.pause().await;

    if between == Between::Nothing {
        host.tailing.stop().await;
    }
    redis.replace_with(&copy).await;
    match between {
        Between::Appends => {
            host.write();
            host.is_read_by(&live).await;
            if second == Second::Newer {
                copy = redis.copy();
            }
            host.write_to_both();
            host.is_read_by(&live).await;
        }
        Between::Nothing => live.until_told(1).await,
        Between::NoTime => {}
    }
    redis.replace_with(if second == Second::Older { &older } else { &copy }).await;
    if between == Between::Nothing {
        host.tailing.resume();
    }
    host.write();
    host.is_read_by(&live).await;
    live.was_only_rewound();
    host.tailing.until_lines(host.lines()).await;
    mirror.shows(&host.tailing).await;

    let elsewhere = TestRelay::start(&redis).await;
    for relay in [&relay, &elsewhere] {
        let later = later.twin().resume(relay);
        host.is_read_by(&later).await;
        later.was_only_rewound();
    }
    let late = Reader::start(&elsewhere, &topic);
    host.is_read_by(&late).await;
    late.was_told_nothing();
}

#[tokio::test]
async fn two_failovers_with_lines_between_lose_nothing() {
    fail_over_twice(Between::Appends, Second::Newer).await;
}

#[tokio::test]
async fn two_failovers_to_the_same_copy_lose_nothing() {
    fail_over_twice(Between::Appends, Second::Same).await;
}

#[tokio::test]
async fn two_failovers_to_ever_older_copies_lose_nothing() {
    fail_over_twice(Between::Appends, Second::Older).await;
}

#[tokio::test]
async fn two_failovers_without_a_line_between_lose_nothing() {
    fail_over_twice(Between::Nothing, Second::Same).await;
    fail_over_twice(Between::Nothing, Second::Older).await;
}

#[tokio::test]
async fn two_failovers_at_once_lose_nothing() {
    fail_over_twice(Between::NoTime, Second::Same).await;
    fail_over_twice(Between::NoTime, Second::Older).await;
}

#[tokio::test]
async fn an_epoch_that_is_lost_as_a_whole_is_a_reset_only_where_nobody_remembers_it() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut host = Host::start(&redis);
    let topic = host.tailing.topic().clone();
    let (live, later) = (Reader::start(&relay, &topic), Reader::start(&relay, &topic));
    host.write_to_both();
    live.until(host.lines()).await;
    let copy = redis.copy();
    host.write_to_both();
    live.until(host.lines()).await;
    redis.replace_with(&copy).await;
    host.write_to_both();
    live.until(host.lines()).await;
    later.until(host.lines()).await;
    let later = later.pause().await;
    let told = live.told().len();

    redis.replace_with(&copy).await;
    host.write_to_both();
    host.is_read_by(&live).await;
    live.was_only_rewound();
    assert!(live.told().len() > told);

    let here = later.twin().resume(&relay);
    host.is_read_by(&here).await;
    here.was_only_rewound();
    let elsewhere = TestRelay::start(&redis).await;
    let there = later.resume(&elsewhere);
    host.is_read_by(&there).await;
    assert!(matches!(there.told().last(), Some(Told::Reset { to: 0, .. })), "{:?}", there.told());
}

#[tokio::test]
async fn a_wiped_redis_resets_readers_and_gives_all_that_is_in_the_files() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut host = Host::start(&redis);
    let topic = host.tailing.topic().clone();
    let live = Reader::start(&relay, &topic);
    let mirror = Mirror::start(&relay, &topic).await;
    for round in 1..4 {
        host.write_to_both();
        live.until(host.lines()).await;
        redis.control().await.run::<()>("FLUSHALL").await;
        live.until_told(round).await;
        host.write_to_both();
        host.is_read_by(&live).await;
        let told = live.told();
        assert!(told.len() == round && told.iter().all(|told| matches!(told, Told::Reset { to: 0, .. })));
        host.tailing.until_lines(host.lines()).await;
        mirror.shows(&host.tailing).await;
    }
}

#[tokio::test]
async fn a_new_replication_id_under_eight_writers_is_one_epoch_and_nothing_to_readers() {
    let redis = TestRedis::with_args(&["--enable-debug-command", "yes"]).await;
    let relay = TestRelay::start(&redis).await;
    let tailing = Tailing::start(&redis, "*.log");
    let programs: Vec<_> =
        (0..8).map(|index| Program::start(tailing.path(&format!("{index}.log")), 0)).collect();
    tailing.until_sources(8).await;
    let live = Reader::start(&relay, tailing.topic());
    let mirror = Mirror::start(&relay, tailing.topic()).await;
    for epochs in 2..5 {
        tailing.until_lines(live.count() + 500).await;
        redis.control().await.run::<()>("DEBUG CHANGE-REPL-ID").await;
        tailing.until_lines(live.count() + 500).await;
        assert_eq!(tailing.epochs().await, epochs);
    }
    let mut files = Vec::new();
    for program in programs {
        files.push(program.stop().await);
    }
    live.until(files.iter().map(|(_, lines)| lines).sum()).await;
    let files: Vec<_> = files.iter().map(|(path, lines)| (path.as_path(), *lines)).collect();
    live.has_each_once(&files);
    live.was_told_nothing();
    mirror.shows(&tailing).await;
    assert_eq!(tailing.epochs().await, 4);
}

/// Kills Redis under a busy tailer and its reader, which has all in the end.
async fn kill_ten_times(appendfsync: &str) -> Reader {
    let mut redis = TestRedis::with_args(&["--appendfsync", appendfsync]).await;
    let relay = TestRelay::start(&redis).await;
    let tailing = Tailing::start(&redis, "*.log");
    let program = Program::start(tailing.path("busy.log"), 0);
    let live = Reader::start(&relay, tailing.topic());
    let mirror = Mirror::start(&relay, tailing.topic()).await;
    for round in 0..10 {
        tailing.until_lines(live.count() + 200).await;
        redis.kill().await;
        if round % 4 == 0 {
            live.until_redis_ok(false).await;
        }
        redis.start_again().await;
    }
    let (path, count) = program.stop().await;
    live.until(count).await;
    live.has_each_once(&[(&path, count)]);
    live.until_redis_ok(true).await;
    mirror.shows(&tailing).await;
    assert_eq!(tailing.epochs().await, 11);
    live
}

#[tokio::test]
async fn a_redis_that_syncs_every_write_may_be_killed_and_readers_hear_nothing_of_it() {
    kill_ten_times("always").await.was_told_nothing();
}

#[tokio::test]
async fn a_redis_that_is_killed_loses_no_line() {
    // While an fsync is under way, Redis answers before it writes: it may lose something.
    kill_ten_times("everysec").await.was_at_most_rewound();
}

#[tokio::test]
async fn a_reader_may_change_relays_all_the_time_while_redis_forgets() {
    let mut redis = TestRedis::start().await;
    let relays = [TestRelay::start(&redis).await, TestRelay::start(&redis).await];
    let mut host = Host::start(&redis);
    let topic = host.tailing.topic().clone();
    host.write_to_both();
    let mut reader = Reader::start(&relays[0], &topic);
    host.is_read_by(&reader).await;
    let mut copy = None;
    for round in 0..20 {
        match round {
            7 => copy = Some(redis.copy()),
            9 => redis.replace_with(copy.as_ref().unwrap()).await,
            _ => {}
        }
        host.write();
        reader = reader.pause().await.resume(&relays[round % 2]);
        host.is_read_by(&reader).await;
    }
    host.write_to_both();
    host.is_read_by(&reader).await;
    reader.was_only_rewound();
}

#[tokio::test]
async fn whatever_becomes_of_redis_each_line_is_read_once_and_in_order() {
    let seed =
        std::env::var("LOGRELAY_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("LOGRELAY_TEST_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut redis = TestRedis::start().await;
    let relays = [TestRelay::start(&redis).await, TestRelay::start(&redis).await];
    let mut host = Host::start(&redis);
    let topic = host.tailing.topic().clone();
    host.write_to_both();
    let live = Reader::start(&relays[0], &topic);
    let mut restless = Reader::start(&relays[1], &topic);
    let mirror = Mirror::start(&relays[0], &topic).await;
    host.is_read_by(&live).await;
    let mut copies = vec![redis.copy()];
    for step in 0..15 {
        match rng.u8(0..9) {
            0 | 1 => copies.push(redis.copy()),
            2 | 3 => redis.replace_with(rng.choice(&copies).unwrap()).await,
            4 => redis.control().await.run::<()>("FLUSHALL").await,
            5 => {
                redis.kill().await;
                redis.start_again().await;
            }
            6 => restless = restless.pause().await.resume(rng.choice(&relays).unwrap()),
            7 => host.write(),
            _ => host.write_to_both(),
        }
        if rng.bool() {
            host.write();
            println!("step {step}: all is read");
            host.is_read_by(&live).await;
        }
    }
    host.write_to_both();
    host.is_read_by(&live).await;
    host.is_read_by(&restless).await;
    host.tailing.until_lines(host.lines()).await;
    mirror.shows(&host.tailing).await;
}
