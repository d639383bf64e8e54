//! Disks that are full: nothing is lost.

use std::{
    fs::{self, File},
    path::Path,
};

use logrelay::{
    record::Topic,
    store::{self, PrivateServer, ServerOptions, Store},
};
use tempfile::TempDir;

use crate::{
    numbered::{Expected, Log, line},
    process::Process,
    relay::Relay,
    suite::support::{TestRedis, eventually, writer::Writer},
};

/// A small file system of its own, where the system lets one be made.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size_mib: u32) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size_mib}m"), "tmpfs"]).arg(folder.path());
        let done = mount.output();
        let why = match &done {
            Ok(output) if output.status.success() => return Some(Self(folder)),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        println!("not tested, because no disk can be mounted: {why}");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(done.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tailer_waits_while_the_disk_of_redis_is_full_and_then_sends_each_line_once() {
    const LINES: u64 = 500_000;
    let Some(disk) = SmallDisk::mount(40) else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 34 << 20]).unwrap();
    let redis = PrivateServer::start(&ServerOptions::new(disk.path().join("redis"))).await.unwrap();
    let store = Store::new(store::Options::new(redis.url())).unwrap();
    let folder = TempDir::new().unwrap();
    let mut log = Log::create(folder.path().join("app.log"));
    let words = format!(
        // Packed, the lines would not fill the disk.
        "tail --redis {} --host host --topic app --retry-max-ms 200 --compress-min-bytes 1000000000 {}",
        redis.url(),
        log.path().display()
    );
    let mut tailer = Process::start(&words);
    log.write(LINES);
    log.finish();
    tailer.until_it_says("redis is away").await;
    assert!(tailer.stderr().contains("No space left"), "{}", tailer.stderr());
    fs::remove_file(&ballast).unwrap();
    tailer.until_it_says("redis answers again").await;
    let topic: Topic = "app".parse().unwrap();
    eventually("all lines are there", async || {
        let found = store.resolve(&topic).await;
        found.is_ok_and(|found| found.is_some_and(|found| found.timeline.next().get() >= LINES))
    })
    .await;
    crate::killed_tailer::assert_every_line_once(&store, &topic, LINES).await;
    assert_eq!(tailer.stderr().matches("redis is away").count(), 1, "{}", tailer.stderr());
    redis.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_printed_is_printed_by_the_next_run() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    Writer::new(&redis, "app").await.append(&(0..1000).map(line).collect::<Vec<_>>()).await;
    let folder = TempDir::new().unwrap();
    let words = format!(
        "subscribe app --from earliest --no-follow --relay {} --cursor-file {}",
        relay.url,
        folder.path().join("cursors").display()
    );
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = Process::printing_to(&words, full).ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("standard output: No space left"), "{}", ended.stderr);
    let printed = folder.path().join("printed");
    let ended = Process::printing_to(&words, File::create(&printed).unwrap()).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut expected = Expected::default();
    fs::read_to_string(&printed).unwrap().lines().for_each(|line| expected.take(line.as_bytes()));
    assert_eq!(expected.next(), 1000);
}
