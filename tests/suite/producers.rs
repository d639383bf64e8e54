//! A program that numbers its lines, under whatever happens to it, to connections and to Redis:
//! in the end each of its lines is stored once, and read once.

use std::{path::Path, time::Duration};

use logrelay::{
    client::{Error, PublishOptions, Publisher},
    record::{Instance, Topic},
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    publishing::{has_each_once, line},
    spine::Reader,
    support::{TestRedis, door::Door, relay::TestRelay},
};

/// Longest that anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that has all its lines, and its publisher.
struct Program {
    options: PublishOptions,
    publisher: Publisher,
    /// The line that it gives to the publisher next, and how many it has.
    next: u64,
    made: u64,
}

impl Program {
    async fn start(options: PublishOptions) -> Self {
        let publisher = Publisher::new(options.clone()).unwrap();
        let mut program = Self { options, publisher, next: 0, made: 0 };
        program.go_on().await;
        program
    }

    /// Begins anew where the producer stands.
    async fn go_on(&mut self) {
        self.publisher = Publisher::new(self.options.clone()).unwrap();
        self.next = timeout(PATIENCE, self.publisher.open()).await.expect("it is not open").unwrap();
        assert!(self.next <= self.made, "{} of {}", self.next, self.made);
    }

    /// What another run of the program does when this one was killed.
    async fn restart(&mut self) {
        self.options.instance = Instance::random();
        self.go_on().await;
    }

    fn push(&mut self, count: u64) {
        for _ in 0..count {
            self.publisher.push(line(self.next));
            self.next += 1;
        }
        self.made = self.made.max(self.next);
    }

    /// Works for a moment, and goes back where it is told to.
    async fn work(&mut self, moment: Duration) {
        if self.is_sent_back(moment).await {
            self.go_on().await;
        }
    }

    /// Works for a moment; whether it is told to go back, for which it needs a Redis that answers.
    async fn is_sent_back(&mut self, moment: Duration) -> bool {
        match timeout(moment, self.publisher.flush()).await {
            Ok(Err(Error::OutOfStep { .. })) => true,
            Ok(Err(error)) => panic!("{error}"),
            Ok(Ok(())) | Err(_) => false,
        }
    }

    /// Sends all that it has.
    async fn send_all(&mut self) {
        let all = async {
            while self.next < self.made || self.publisher.unconfirmed_lines() > 0 {
                self.push(self.made - self.next);
                self.work(PATIENCE).await;
            }
        };
        timeout(PATIENCE, all).await.expect("it does not end");
    }
}

/// What befalls the program.
struct World {
    redis: TestRedis,
    doors: [Door; 2],
    program: Program,
    copy: Option<TempDir>,
}

impl World {
    async fn go_on_if(&mut self, is_sent_back: bool) {
        if is_sent_back {
            self.program.go_on().await;
        }
    }

    async fn step(&mut self) -> &'static str {
        let moment = Duration::from_micros(fastrand::u64(0..4000));
        self.program.push(fastrand::u64(1..800));
        self.program.work(moment).await;
        match fastrand::u32(0..14) {
            0..3 => {
                self.doors.iter().for_each(Door::cut);
                "cut"
            }
            3..5 => {
                self.program.send_all().await;
                "flush"
            }
            5..7 => {
                self.copy = Some(self.redis.copy());
                "copy"
            }
            7..9 => {
                let Some(copy) = &self.copy else { return "nothing" };
                self.redis.replace_with(copy).await;
                "failover"
            }
            9 => {
                self.redis.kill().await;
                let is_sent_back = self.program.is_sent_back(moment).await;
                self.redis.start_again().await;
                self.go_on_if(is_sent_back).await;
                "kill"
            }
            10 => {
                let _: String = self.redis.control().await.run("DEBUG CHANGE-REPL-ID").await;
                "new replication id"
            }
            11 => {
                self.redis.freeze();
                let is_sent_back = self.program.is_sent_back(moment).await;
                self.redis.thaw();
                self.go_on_if(is_sent_back).await;
                "freeze"
            }
            _ => {
                self.program.restart().await;
                "restart"
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_what_is_acknowledged_is_there_once_and_in_order() {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    fastrand::seed(seed);
    println!("SEED={seed}");
    let redis = TestRedis::with_args(&["--enable-debug-command", "local"]).await;
    let short = |options: &mut logrelay::serve::Options, _: &mut logrelay::hub::Options| {
        options.publish.lease_ms = 300;
    };
    let relays = [TestRelay::with(&redis, short).await, TestRelay::with(&redis, short).await];
    let doors = [Door::before(&relays[0].url).await, Door::before(&relays[1].url).await];
    let app: Topic = "app".parse().unwrap();
    let urls = doors.iter().map(|door| door.url.parse().unwrap()).collect();
    let options = PublishOptions {
        resume: true,
        retry_first_ms: 1,
        retry_max_ms: 50,
        ..PublishOptions::new(urls, app.clone(), "job".parse().unwrap())
    };
    let reader = Reader::start(&relays[0], &app);
    let program = Program::start(options).await;
    let mut world = World { redis, doors, program, copy: None };
    let steps = std::env::var("STEPS").map_or(40, |steps| steps.parse().unwrap());
    for step in 0..steps {
        let what = world.step().await;
        println!("{step}: {what}, {} lines of {}", world.program.next, world.program.made);
    }
    // What the last step made Redis forget is noticed by the next line at the latest.
    world.program.push(1);
    world.program.send_all().await;
    let made = world.program.made;
    has_each_once(&world.redis.store(), made).await;
    reader.until(made).await;
    reader.has_each_once(&[(Path::new(""), made)]);
}
