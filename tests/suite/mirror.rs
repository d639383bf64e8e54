//! Readers under whatever happens to Redis: in the end, each of them has what Redis
//! has, and it was told of everything that it lost.

use std::{collections::BTreeMap, time::Duration};

use logrelay::{
    proto::{SubscribeRequest, subscribe_response::Event},
    record::{Offset, Topic},
    store::{Appended, Item, Store},
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{
    Control, TestRedis, eventually,
    relay::{Lines, TestRelay, from_cursor, from_earliest},
    writer::Writer,
};

/// What a reader would show: lines by offset, kept as the events say.
struct Mirror {
    lines: BTreeMap<u64, String>,
    next: u64,
    cursor: String,
    stream: Lines,
}

impl Mirror {
    async fn new(relay: &TestRelay, request: SubscribeRequest) -> Self {
        let mut stream = relay.subscribe(request).await;
        let cursor = stream.opened().await.topics.remove(0).cursor;
        let next = cursor.rsplit(':').next().unwrap().parse().unwrap();
        Self { lines: BTreeMap::new(), next, cursor, stream }
    }

    /// Goes on at another relay, from its cursor alone.
    async fn resume(&mut self, relay: &TestRelay) {
        self.stream = relay.subscribe(from_cursor(&self.cursor)).await;
        assert_eq!(self.stream.opened().await.topics[0].cursor, self.cursor);
    }

    async fn take_one(&mut self) {
        match self.stream.event().await {
            Event::Batch(batch) => {
                for (index, line) in batch.lines.iter().enumerate() {
                    let delta = batch.offset_deltas.get(index).map_or(index as u64, |&delta| delta.into());
                    assert_eq!(batch.base_offset + delta, self.next, "a hole or a repeat");
                    let text = String::from_utf8(line.content.to_vec()).unwrap();
                    self.lines.insert(self.next, text);
                    self.next += 1;
                }
                self.cursor = batch.next_cursor;
            }
            Event::Gap(gap) => {
                assert_eq!((gap.from_offset, gap.reason.as_str()), (self.next, "trimmed"));
                (self.next, self.cursor) = (gap.to_offset, gap.cursor);
            }
            Event::Rewound(rewound) => {
                assert!(rewound.from_offset == self.next && rewound.to_offset < self.next, "{rewound:?}");
                self.lines.split_off(&rewound.to_offset);
                (self.next, self.cursor) = (rewound.to_offset, rewound.cursor);
            }
            Event::Reset(reset) => {
                assert_eq!(reset.from_offset, self.next);
                self.lines.clear();
                (self.next, self.cursor) = (reset.to_offset, reset.cursor);
            }
            Event::CaughtUp(caught_up) => self.cursor = caught_up.cursor,
            event => panic!("{event:?}"),
        }
    }

    /// Takes what comes until it has the newest line.
    async fn follow(&mut self, newest: &str) {
        let has_it = async {
            while self.lines.last_key_value().is_none_or(|(_, text)| text != newest) {
                self.take_one().await;
            }
        };
        timeout(Duration::from_secs(30), has_it).await.expect("the newest line never came");
    }
}

/// A Redis that misfortune befalls, and the source that writes to it.
struct World {
    redis: TestRedis,
    control: Control,
    writer: Writer,
    copy: Option<TempDir>,
    written: u64,
}

impl World {
    /// Appends a few batches, as a source that begins anew where it is not known.
    async fn append(&mut self) {
        for _ in 0..fastrand::u64(1..6) {
            let texts: Vec<_> =
                (0..fastrand::u64(1..8)).map(|index| format!("{}", self.written + index)).collect();
            self.written += texts.len() as u64;
            if let Appended::Conflict { .. } = self.writer.try_append(&texts).await {
                self.writer = Writer::new(&self.redis, "app").await;
                self.writer.append(&texts).await;
            }
        }
    }

    async fn step(&mut self) -> &'static str {
        match fastrand::u32(0..20) {
            0..9 => {
                self.append().await;
                "append"
            }
            9..11 => {
                self.copy = Some(self.redis.copy());
                "copy"
            }
            11..14 => {
                let Some(copy) = &self.copy else { return "nothing" };
                self.redis.replace_with(copy).await;
                self.control = self.redis.control().await;
                "replace"
            }
            14 => {
                let _: String = self.control.run("FLUSHALL").await;
                "wipe"
            }
            15..17 => {
                let keep = fastrand::u32(1..5);
                let _: i64 = self.control.run(&format!("XTRIM logrelay:{{app}}:lines MAXLEN {keep}")).await;
                "trim"
            }
            17 => {
                let _: String = self.control.run("DEBUG CHANGE-REPL-ID").await;
                "new replication id"
            }
            _ => {
                for id in self.control.ids("logrelay-read").await {
                    let _: redis::Value = self.control.run(&format!("CLIENT KILL ID {id} SKIPME no")).await;
                }
                "cut"
            }
        }
    }
}

/// All lines that Redis has.
async fn lines_of(store: &Store) -> BTreeMap<u64, String> {
    let topic: Topic = "app".parse().unwrap();
    let mut lines = BTreeMap::new();
    for item in store.page(&topic, Offset::ZERO, 100_000).await.unwrap() {
        let Item::Entry(entry) = item else { panic!("{item:?}") };
        for index in 0..entry.batch.lines() {
            let content = entry.batch.line(index).unwrap().content.to_vec();
            lines.insert(entry.first.get() + u64::from(index), String::from_utf8(content).unwrap());
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_readers_end_up_with_what_redis_has() {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    fastrand::seed(seed);
    println!("SEED={seed}");
    let redis = TestRedis::with_args(&["--enable-debug-command", "local"]).await;
    let small = |_: &mut logrelay::serve::Options, hub: &mut logrelay::hub::Options| {
        (hub.window_bytes, hub.block_ms) = (3000, 300);
    };
    let relays = [TestRelay::start(&redis).await, TestRelay::with(&redis, small).await];
    let writer = Writer::new(&redis, "app").await;
    let control = redis.control().await;
    let mut world = World { redis, control, writer, copy: None, written: 0 };
    world.append().await;
    let mut mirrors = Vec::new();
    for relay in relays.iter().chain(&relays) {
        let request = SubscribeRequest { max_batch_lines: 3, ..from_earliest("app") };
        mirrors.push(Mirror::new(relay, request).await);
    }
    let steps = std::env::var("STEPS").map_or(40, |steps| steps.parse().unwrap());
    for step in 0..steps {
        let what = world.step().await;
        println!("{step}: {what}, {} lines written", world.written);
        if fastrand::u32(0..3) == 0 {
            world.append().await;
            let newest = (world.written - 1).to_string();
            // The last one is slow: it follows only in the end.
            for mirror in &mut mirrors[..3] {
                mirror.follow(&newest).await;
            }
            mirrors[2].resume(&relays[step % 2]).await;
        }
    }
    world.append().await;
    let newest = (world.written - 1).to_string();
    let truth = lines_of(&world.redis.store()).await;
    for (index, mirror) in mirrors.iter_mut().enumerate() {
        mirror.follow(&newest).await;
        // What was trimmed after a reader had it stays with the reader.
        let first = *truth.first_key_value().unwrap().0;
        let kept = mirror.lines.split_off(&first);
        assert_eq!(kept, truth, "reader {index}");
    }
    eventually("redis is fine", async || relays[0].metric("logrelay_hub_topics").await == 1).await;
}
