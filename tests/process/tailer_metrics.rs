//! What a tailer shows of itself on its metrics port.

use std::fs;

use crate::{
    process::Process,
    suite::support::{TestRedis, eventually, relay::get},
};

#[tokio::test]
async fn a_tailer_shows_how_much_it_looks_for_files_also_where_it_is_told_to_watch_none() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), "one\n").unwrap();
    let (url, at) = (redis.url(), folder.path().display());
    let watching =
        "--watch-files=false --poll-interval-ms 20 --rest-after-ms 50 --metrics-listen 127.0.0.1:0";
    let words = format!("tail --redis {url} --host web --topic app {watching} {at}/*.log");
    let mut tailer = Process::start(&words);
    let rest = tailer.until_it_says("metrics address=").await;
    let at = format!("http://{}", rest.split_whitespace().next().unwrap());
    let count = async |name: &str| {
        let text = get(&at, "/metrics").await.1;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<u64>().unwrap()
    };
    eventually("it looks again and again", async || count("logrelay_tail_looks_total").await > 3).await;
    assert!(count("logrelay_tail_listed_folders_total").await > 3);
    assert!(count("logrelay_tail_examined_files_total").await > 3);
}
