//! What is followed changes while the tailer runs, or is killed in the middle of it.

use std::{collections::BTreeMap, fs, io::Write as _, time::Duration};

use logrelay::{
    record::{SourceState, Topic},
    tail::{Input, TopicRule, discover::Patterns, template::Template},
};
use tokio::time::sleep;

use crate::{
    spine::Program,
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines, numbered},
};

/// An input of `glob` that goes to the tailer's own topic with a label.
fn labelled(tailing: &Tailing, glob: &str, label: u32) -> Input {
    let labels = BTreeMap::from([("round".to_owned(), Template::parse(&label.to_string(), None).unwrap())]);
    Input { labels, ..tailing.input(glob, tailing.topic()) }
}

async fn label_of_last(tailing: &Tailing) -> Option<String> {
    let entries = tailing.entries().await;
    let source = entries.last()?.batch.head().source.clone()?;
    source.labels.get("round").cloned()
}

#[tokio::test]
async fn a_file_that_is_covered_no_more_is_let_go_and_taken_up_again_where_it_was() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "*.log");
    let topic = tailing.topic().clone();
    append(&tailing.path("a.log"), &lines(0, 10));
    append(&tailing.path("b.log"), &lines(100, 10));
    tailing.until_lines(20).await;

    tailing.replace(vec![tailing.input("a.*", &topic)]);
    assert_eq!(tailing.applied().await.changes, 1);
    eventually("it is let go", async || tailing.following().files == 1).await;
    append(&tailing.path("b.log"), &lines(110, 10));
    append(&tailing.path("a.log"), &lines(10, 10));
    tailing.until_lines(30).await;
    assert!(!tailing.contents().await.contains(&numbered(110)));
    let records = redis.store().records(&topic, &"host".parse().unwrap()).await.unwrap();
    assert!(records.iter().all(|(_, record)| record.details.state == SourceState::Active));

    tailing.replace(vec![tailing.input("*.log", &topic)]);
    tailing.until_lines(40).await;
    has_each_once(&tailing, &[(0, 20), (100, 20)]).await;
    assert_eq!(tailing.sources().await.len(), 2);
}

/// That the topic has these lines, each once, and those of one range in order.
async fn has_each_once(tailing: &Tailing, ranges: &[(u64, u64)]) {
    let contents = tailing.contents().await;
    for &(first, count) in ranges {
        let wanted: Vec<_> = (first..first + count).map(numbered).collect();
        let found: Vec<_> = contents.iter().filter(|line| wanted.contains(line)).cloned().collect();
        assert_eq!(found, wanted);
    }
    assert_eq!(contents.len() as u64, ranges.iter().map(|(_, count)| count).sum::<u64>());
}

#[tokio::test]
async fn a_busy_file_whose_options_change_twenty_times_has_each_line_once() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "*.log");
    let program = Program::start(tailing.path("busy.log"), 0);
    tailing.until_lines(20).await;
    for round in 0..20 {
        tailing.replace(vec![labelled(&tailing, "*.log", round)]);
        let wanted = Some(round.to_string());
        eventually("the new label is there", async || label_of_last(&tailing).await == wanted).await;
    }
    let (_, count) = program.stop().await;
    tailing.until_lines(count).await;
    tailing.assert_numbered(count).await;
    assert_eq!(tailing.sources().await.len(), 1);
}

#[tokio::test]
async fn a_deleted_file_is_read_to_its_end_whatever_becomes_of_its_options() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "*.log");
    let path = tailing.path("app.log");
    append(&path, &lines(0, 10));
    tailing.until_lines(10).await;
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for round in 0..5 {
        file.write_all(lines(10 + round * 10, 10).as_bytes()).unwrap();
        tailing.replace(vec![labelled(&tailing, "*.log", 0), labelled(&tailing, "*.txt", 1)]);
        tailing.until_lines(20 + round * 10).await;
        tailing.replace(vec![labelled(&tailing, "*.log", 2)]);
    }
    tailing.until_gone(1).await;
    tailing.assert_numbered(60).await;
}

#[tokio::test]
async fn a_file_that_moves_to_another_topic_begins_there_anew() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "*.log");
    let other: Topic = "other".parse().unwrap();
    append(&tailing.path("app.log"), &lines(0, 10));
    tailing.until_lines(10).await;
    tailing.replace(vec![tailing.input("*.log", &other)]);
    let store = redis.store();
    let lines_there = async || {
        let found = store.resolve(&other).await.unwrap();
        found.map_or(0, |found| found.timeline.next().get())
    };
    eventually("it is there", async || lines_there().await == 10).await;
    append(&tailing.path("app.log"), &lines(10, 10));
    eventually("it goes on there", async || lines_there().await == 20).await;
    tailing.assert_numbered(10).await;
    tailing.restart().await;
    append(&tailing.path("app.log"), &lines(20, 1));
    eventually("it still does", async || lines_there().await == 21).await;
}

#[tokio::test]
async fn inputs_that_change_during_an_outage_wait_for_its_end() {
    let mut redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "*.log");
    let topic = tailing.topic().clone();
    append(&tailing.path("a.log"), &lines(0, 10));
    append(&tailing.path("b.log"), &lines(100, 10));
    tailing.until_lines(20).await;
    redis.kill().await;
    append(&tailing.path("a.log"), &lines(10, 10));
    append(&tailing.path("b.log"), &lines(110, 10));
    append(&tailing.path("c.txt"), &lines(200, 10));
    tailing.replace(vec![labelled(&tailing, "a.log", 1), tailing.input("*.txt", &topic)]);
    tailing.replace(vec![labelled(&tailing, "?.log", 2)]);
    tailing.replace(vec![labelled(&tailing, "?.log", 3), tailing.input("*.txt", &topic)]);
    redis.start_again().await;
    tailing.until_lines(50).await;
    has_each_once(&tailing, &[(0, 20), (100, 20), (200, 10)]).await;
    tailing.stop().await;
}

#[tokio::test]
async fn a_tailer_killed_in_the_middle_of_a_change_loses_and_repeats_nothing() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "*.log");
    let programs: Vec<_> = (0..4)
        .map(|index| Program::start(tailing.path(&format!("{index}.log")), index * 1_000_000))
        .collect();
    tailing.until_lines(100).await;
    for round in 0..25 {
        let glob = ["*.log", "[01].log", "[12].log"][round as usize % 3];
        tailing.replace(vec![labelled(&tailing, glob, round)]);
        sleep(Duration::from_millis(fastrand::u64(0..60))).await;
        tailing.kill().await;
        tailing.resume();
    }
    tailing.replace(vec![labelled(&tailing, "*.log", 100)]);
    let (mut ranges, mut all) = (Vec::new(), 0);
    for (index, program) in programs.into_iter().enumerate() {
        let first = index as u64 * 1_000_000;
        let count = program.stop().await.1 - first;
        ranges.push((first, count));
        all += count;
    }
    tailing.until_lines(all).await;
    has_each_once(&tailing, &ranges).await;
    assert_eq!(tailing.sources().await.len(), 4);
}

#[tokio::test]
async fn a_rotated_file_goes_where_its_path_goes() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::start(&redis, "*.log");
    let path = tailing.path("app.log");
    append(&path, &lines(0, 10));
    tailing.until_lines(10).await;
    // Its path is another topic's now; what was begun is brought to its end.
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    fs::rename(&path, tailing.path("app.log.1")).unwrap();
    append(&path, &lines(500, 1));
    tailing.until_lines(11).await;
    let other: Topic = "other".parse().unwrap();
    let patterns = Patterns::parse(&[tailing.path("*.log").display().to_string()]).unwrap();
    tailing.replace(vec![Input::new(patterns, TopicRule::Fixed(other.clone()))]);
    file.write_all(lines(10, 10).as_bytes()).unwrap();
    tailing.until_lines(21).await;
    tailing.until_gone(1).await;
    has_each_once(&tailing, &[(0, 20), (500, 1)]).await;
    let found = redis.store().resolve(&other).await.unwrap();
    assert_eq!(found.map(|found| found.timeline.next().get()), Some(1));
}
