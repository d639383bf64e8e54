//! Inputs that change while a tailer runs: in its file, and in Redis. Every log is written
//! all the time, and each of its lines is there once in the end.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use logrelay::{
    record::{Offset, Topic},
    store::{Item, Store},
};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    dev::{run, run_with},
    process::Process,
    suite::support::{TestRedis, eventually},
};

/// A log that grows by a line every millisecond until it is finished.
struct Growing {
    stop: Arc<AtomicBool>,
    writer: Option<thread::JoinHandle<usize>>,
}

impl Growing {
    fn start(path: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let writer = thread::spawn(move || {
            let mut log = fs::File::options().create(true).append(true).open(path).unwrap();
            let mut lines = 0;
            while !seen.load(Ordering::Relaxed) {
                std::io::Write::write_all(&mut log, format!("line {lines}\n").as_bytes()).unwrap();
                lines += 1;
                thread::sleep(Duration::from_millis(1));
            }
            lines
        });
        Self { stop, writer: Some(writer) }
    }

    /// Ends it, and says how many lines it has.
    fn finish(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.writer.take().unwrap().join().unwrap()
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A Redis, a folder, and a tailer in it that follows what it is told.
struct Room {
    redis: TestRedis,
    folder: TempDir,
}

impl Room {
    async fn new() -> Self {
        Self { redis: TestRedis::start().await, folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tailer(&self, words: &str) -> Process {
        let redis = self.redis.url();
        Process::start(&format!("tail --redis {redis} --host web-1 --poll-interval-ms 50 {words}"))
    }

    /// `logrelay inputs` with these words, to its end.
    async fn inputs(&self, words: &str) -> (Option<i32>, String) {
        let output = run(&format!("inputs {words} --redis {}", self.redis.url())).await;
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// Pushes the text of a file.
    async fn push(&self, text: &str, whose: &str) {
        fs::write(self.path("push.toml"), text).unwrap();
        let (code, said) = self.inputs(&format!("push {} {whose}", self.path("push.toml").display())).await;
        assert_eq!(code, Some(0), "{said}");
    }

    /// An input of the logs that match, which go to a topic.
    fn input(&self, name: &str, glob: &str, topic: &str) -> String {
        format!("[[inputs]]\nname = '{name}'\npaths = ['{}']\ntopic = '{topic}'\n", self.path(glob).display())
    }

    async fn until_lines(&self, topic: &str, lines: usize) {
        let store = self.redis.store();
        eventually(&format!("{topic} has {lines} lines"), async || next(&store, topic).await >= lines).await;
    }

    /// The topic has grown since now.
    async fn until_it_grows(&self, topic: &str) {
        let lines = next(&self.redis.store(), topic).await;
        self.until_lines(topic, lines + 10).await;
    }

    /// All lines of a topic, in order.
    async fn lines(&self, topic: &str) -> Vec<String> {
        let (store, topic) = (self.redis.store(), topic.parse::<Topic>().unwrap());
        let mut lines = Vec::new();
        loop {
            let page = store.page(&topic, Offset::new(lines.len() as u64).unwrap(), 100).await.unwrap();
            if page.is_empty() {
                return lines;
            }
            for item in page {
                let Item::Entry(entry) = item else { panic!("{item:?}") };
                let contents =
                    (0..entry.batch.lines()).map(|at| entry.batch.line(at).unwrap().content.to_vec());
                lines.extend(contents.map(|content| String::from_utf8(content).unwrap()));
            }
        }
    }

    /// Ends a log, and looks whether all its lines are in these topics, each once, in order.
    async fn assert_all_once(&self, log: Growing, topics: &[&str]) {
        let written = log.finish();
        let mut before = 0;
        for topic in &topics[..topics.len() - 1] {
            before += next(&self.redis.store(), topic).await;
        }
        self.until_lines(topics[topics.len() - 1], written - before).await;
        let mut lines = Vec::new();
        for topic in topics {
            lines.extend(self.lines(topic).await);
        }
        let expected: Vec<_> = (0..written).map(|number| format!("line {number}")).collect();
        assert_eq!(lines, expected);
    }
}

async fn next(store: &Store, topic: &str) -> usize {
    let found = store.resolve(&topic.parse().unwrap()).await.unwrap();
    found.map_or(0, |found| usize::try_from(found.timeline.next().get()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_are_pushed_changed_and_removed_while_tailing_and_no_line_is_lost() {
    let room = Room::new().await;
    let (app, db) = (Growing::start(room.path("app.log")), Growing::start(room.path("db.log")));
    let mut tailer = room.tailer("--inputs-from-redis");
    tailer.until_it_says("following files").await;
    room.push(&room.input("app", "app.log", "one"), "--host web-1").await;
    room.until_it_grows("one").await;
    // Another one beside it, which it does not feel.
    room.push(&room.input("db", "db.log", "db"), "--host web-1").await;
    room.until_it_grows("db").await;
    room.until_it_grows("one").await;
    // The same with labels, and then with another topic.
    let labelled = room.input("app", "app.log", "one") + "labels = { env = 'prod' }\n";
    room.push(&labelled, "--host web-1").await;
    tailer.until_it_says("new=\"app\" gone=\"app\"").await;
    room.until_it_grows("one").await;
    let (code, said) = room.inputs("remove db --host web-1").await;
    assert_eq!((code, said.as_str()), (Some(0), "removed db of web-1\n"));
    tailer.until_it_says("new=\"\" gone=\"db\"").await;
    let written = db.finish();
    room.push(&room.input("db", "db.log", "db"), "--host web-1").await;
    room.until_lines("db", written).await;
    let expected: Vec<_> = (0..written).map(|number| format!("line {number}")).collect();
    assert_eq!(room.lines("db").await, expected, "it went on where it stood");
    room.assert_all_once(app, &["one"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_and_sighup_are_applied_and_a_broken_file_is_refused_with_its_line() {
    let room = Room::new().await;
    let config = room.path("relay.toml");
    let (one, two) = (room.input("one", "one.log", "one"), room.input("two", "two.log", "two"));
    fs::write(&config, &one).unwrap();
    let (first, second) = (Growing::start(room.path("one.log")), Growing::start(room.path("two.log")));
    let mut tailer = room.tailer(&format!("--config {}", config.display()));
    room.until_it_grows("one").await;
    fs::write(&config, one.clone() + &two).unwrap();
    room.until_it_grows("two").await;
    // Broken: said once, with its line, and all goes on.
    fs::write(&config, one.clone() + "topci = 'x'\n" + &two).unwrap();
    tailer.until_it_says("relay.toml:5:1: inputs.topci is not known").await;
    room.until_it_grows("one").await;
    room.until_it_grows("two").await;
    assert_eq!(tailer.stderr().matches("is refused").count(), 1, "{}", tailer.stderr());
    // At once by SIGHUP; what needs a restart is named.
    fs::write(&config, format!("prefix = 'other'\nlog_level = 'debug'\n{one}")).unwrap();
    tailer.signal(Signal::HUP);
    let said = tailer.until_it_says("a restart is needed for some of it").await;
    assert!(said.contains("settings=\"prefix\""), "{said}");
    tailer.until_it_says("new=\"\" gone=\"two\"").await;
    second.finish();
    room.assert_all_once(first, &["one"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_behind_links_that_kubernetes_swaps_is_applied() {
    let room = Room::new().await;
    let publish = |version: &str, text: &str| {
        fs::create_dir(room.path(version)).unwrap();
        fs::write(room.path(version).join("relay.toml"), text).unwrap();
        let fresh = room.path("..data_tmp");
        symlink(version, &fresh).unwrap();
        fs::rename(&fresh, room.path("..data")).unwrap();
    };
    publish("..1", &room.input("app", "a.log", "a"));
    symlink("..data/relay.toml", room.path("relay.toml")).unwrap();
    let (a, b) = (Growing::start(room.path("a.log")), Growing::start(room.path("b.log")));
    let _tailer = room.tailer(&format!("--config {}", room.path("relay.toml").display()));
    room.until_it_grows("a").await;
    publish("..2", &(room.input("app", "a.log", "a") + &room.input("more", "b.log", "b")));
    fs::remove_dir_all(room.path("..1")).unwrap();
    room.until_it_grows("b").await;
    room.assert_all_once(a, &["a"]).await;
    room.assert_all_once(b, &["b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_of_two_groups_and_the_host_are_followed_and_the_first_of_a_name_counts() {
    let room = Room::new().await;
    for name in ["host", "web", "db", "local"] {
        fs::write(room.path(name), "one\n").unwrap();
    }
    fs::write(room.path("relay.toml"), room.input("local", "local", "local")).unwrap();
    room.push(&room.input("host", "host", "host"), "--host web-1").await;
    let web = room.input("web", "web", "web") + &room.input("host", "host", "hidden");
    room.push(&web, "--group web").await;
    room.push(&room.input("db", "db", "db"), "--group db --group other").await;
    let config = room.path("relay.toml");
    let mut tailer = room
        .tailer(&format!("--inputs-from-redis --group web,db --group none --config {}", config.display()));
    tailer.until_it_says("one of its name comes before it name=\"host\"").await;
    for topic in ["local", "host", "web", "db"] {
        room.until_lines(topic, 1).await;
    }
    assert_eq!(next(&room.redis.store(), "hidden").await, 0);
    let (_, listed) = room.inputs("list --group db").await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let (_, listed) = room.inputs("list").await;
    let owners: Vec<_> = listed.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(owners, ["db", "other", "web", "web", "web-1"], "{listed}");
    // Who this host is does not say whose are to be listed.
    let words = format!("inputs list --redis {}", room.redis.url());
    let here = run_with(&words, &[("LOGRELAY_HOST", "web-1")]).await;
    assert_eq!(here.stdout, listed.as_bytes());
    // What is listed as TOML can be pushed again.
    let (_, toml) = room.inputs("list --group web --output toml").await;
    room.push(&toml, "--group again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_and_cannot_be_read_is_said_once_and_the_last_good_one_goes_on() {
    let room = Room::new().await;
    let log = Growing::start(room.path("app.log"));
    room.push(&room.input("app", "app.log", "app"), "--host web-1").await;
    let mut tailer = room.tailer("--inputs-from-redis");
    room.until_it_grows("app").await;
    let mut newer = redis::cmd("HSET");
    let of_tomorrow = room.input("app", "app.log", "app") + "of_tomorrow = 1\n";
    newer.arg("logrelay:inputs:web-1").arg("app").arg(format!("99999999999999\n{of_tomorrow}"));
    let mut control = room.redis.control().await;
    control.send(&newer).await;
    let said = tailer.until_it_says("cannot be read by this version").await;
    assert!(said.contains("inputs.of_tomorrow is not known") && said.contains("goes_on=true"), "{said}");
    // Redis is asked again, and forgets all.
    let asked = control.calls("hgetall").await;
    eventually("it asks again", async || control.calls("hgetall").await > asked + 1).await;
    let mut forget = redis::cmd("DEL");
    forget.arg("logrelay:inputs:web-1");
    control.send(&forget).await;
    let asked = control.calls("hgetall").await;
    eventually("it asks again", async || control.calls("hgetall").await > asked + 1).await;
    room.until_it_grows("app").await;
    assert_eq!(tailer.stderr().matches("cannot be read").count(), 1, "{}", tailer.stderr());
    room.assert_all_once(log, &["app"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_away_brings_the_inputs_that_came_meanwhile() {
    let mut room = Room::new().await;
    let log = Growing::start(room.path("app.log"));
    room.push(&room.input("app", "app.log", "app"), "--host web-1").await;
    let _tailer = room.tailer("--inputs-from-redis");
    room.until_it_grows("app").await;
    room.redis.kill().await;
    thread::sleep(Duration::from_millis(300));
    room.redis.start_again().await;
    room.push(&room.input("two", "two.log", "two"), "--host web-1").await;
    fs::write(room.path("two.log"), "one\n").unwrap();
    room.until_lines("two", 1).await;
    room.assert_all_once(log, &["app"]).await;
}

#[tokio::test]
async fn broken_inputs_are_refused_at_push_with_their_line_and_nothing_is_stored() {
    let room = Room::new().await;
    let good = room.input("app", "app.log", "app");
    let cases = [
        (
            good.clone() + "topci = 'x'\n",
            "push.toml:5:1: inputs.topci is not known; the nearest known one is inputs.topic",
        ),
        (good.replace("name = 'app'\n", ""), "push.toml:1: inputs: it has no name"),
        ("[[inputs]]\nname = 'a'\npaths = ['a.log']\n".to_owned(), "push.toml:3:10: inputs.paths"),
        (format!("[tail]\nhost = 'x'\n{good}"), "push.toml:2: tail.host is no input"),
        (good.clone() + &good, "push.toml:6:8: inputs.name = 'app': the input of line 1"),
        (String::new(), "push.toml: there is nothing to push"),
    ];
    for (text, expected) in cases {
        fs::write(room.path("push.toml"), text).unwrap();
        let file = room.path("push.toml");
        let (code, said) = room.inputs(&format!("push {} --host web-1", file.display())).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    assert_eq!(room.redis.control().await.run::<u64>("DBSIZE").await, 0);
    fs::write(room.path("push.toml"), &good).unwrap();
    let (code, said) = room.inputs(&format!("push {}", room.path("push.toml").display())).await;
    assert!(code == Some(2) && said.contains("--host NAME or --group NAME"), "{said}");
    let (code, said) = room.inputs("remove app --host web-1").await;
    assert!(code == Some(1) && said.contains("web-1 has no input app"), "{said}");
}

#[tokio::test]
async fn the_host_of_a_variable_is_not_pushed_to_beside_the_group_of_a_flag() {
    let room = Room::new().await;
    fs::write(room.path("push.toml"), room.input("app", "app.log", "app")).unwrap();
    let words = format!("inputs push {} --redis {}", room.path("push.toml").display(), room.redis.url());
    for (flags, owner) in [(" --group web", "web"), ("", "web-1")] {
        let output = run_with(&(words.clone() + flags), &[("LOGRELAY_HOST", "web-1")]).await;
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("pushed app for {owner}\n"));
    }
}

#[tokio::test]
async fn sighup_without_a_configuration_ends_nothing_and_says_why() {
    let room = Room::new().await;
    let mut tailer = room.tailer(&format!("--topic app {}", room.path("app.log").display()));
    tailer.until_it_says("following files").await;
    tailer.signal(Signal::HUP);
    tailer.until_it_says("SIGHUP changes nothing: there is no --config").await;
    let mut relay = Process::start(&format!("serve --listen 127.0.0.1:0 --redis {}", room.redis.url()));
    relay.until_it_says("serving listen=").await;
    relay.signal(Signal::HUP);
    relay.until_it_says("SIGHUP changes nothing: a relay").await;
    assert!(Path::new(&format!("/proc/{}", relay.pid().as_raw_nonzero())).exists());
}
