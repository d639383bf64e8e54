//! `logrelay topics delete`, `trim` and `retention`, as a user runs them.

use std::process::Output;

use crate::{
    dev::run,
    relay::Relay,
    suite::support::{TestRedis, writer::Writer},
};

/// What a command printed, which has to succeed.
#[track_caller]
fn printed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command that fails said.
#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn topics_are_trimmed_kept_and_deleted_from_the_command_line() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(10, 10).await;
    let topics = async |words: &str| run(&format!("topics --relay {} {words}", relay.url)).await;

    let trimmed = printed(&topics("trim app --before 40").await);
    assert_eq!(trimmed, "app: 40 lines were removed, the first one is 40\n");
    assert!(printed(&topics("trim app --before 1h").await).contains("0 lines"));
    assert!(refused(&topics("trim app --before 101").await, 2).contains("CURSOR_AHEAD"));
    assert!(refused(&topics("trim app --before soon").await, 2).contains("an offset"));

    assert_eq!(printed(&topics("retention app").await), "app: age by default, size by default\n");
    let set = printed(&topics("retention app --age-ms 60000").await);
    assert_eq!(set, "app: age at most 60000 ms, size by default\n");
    let both = printed(&topics("retention app --bytes 0").await);
    assert_eq!(both, "app: age at most 60000 ms, size without bound\n");
    assert_eq!(printed(&topics("retention app").await), both);
    assert!(printed(&topics("retention app --default").await).contains("age by default"));
    assert!(refused(&topics("retention app --default --bytes 1").await, 2).contains("--default"));

    assert!(refused(&topics("delete app").await, 2).contains("--yes"));
    assert!(refused(&topics("delete app --yes").await, 1).contains("TOPIC_IN_USE"));
    let kept = printed(&topics("delete app --yes --keep-sources").await);
    assert_eq!(
        kept,
        "app: deleted, with 60 lines, 0 sources and 0 durable subscriptions; 1 sources were kept\n"
    );
    writer.append_numbered(1, 10).await;
    let deleted = printed(&topics("delete app --yes --forget-sources").await);
    assert_eq!(deleted, "app: deleted, with 10 lines, 1 sources and 0 durable subscriptions\n");
    assert_eq!(printed(&topics("--output json").await), "");
    assert!(refused(&topics("delete none --yes").await, 1).contains("TOPIC_NOT_FOUND"));
    assert!(refused(&topics("delete a/b --yes").await, 2).contains("a/b"));
}
