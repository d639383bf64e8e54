//! Users of Redis with the rights of `deploy/redis` and no more.

use std::{collections::BTreeSet, fs, path::Path};

use logrelay::{
    proto::{
        CommitCursorRequest, DeleteTopicRequest, Direction, FetchRequest, OnActiveSources,
        SetRetentionRequest, SubscribeRequest,
    },
    record::Topic,
    store::{self, ConnectOptions, Error, Store},
};
use tempfile::TempDir;

use crate::{
    spine::{Program, Reader},
    support::{
        TestRedis, eventually,
        relay::{TestRelay, from_earliest},
    },
    tailing::Tailing,
};

/// The rights of a user, as an operator puts them into the server's `aclfile`.
fn rights(user: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("deploy/redis/{user}.acl"));
    fs::read_to_string(path).unwrap().trim_end().to_owned()
}

/// A server that knows the three users, and its folder.
struct Guarded {
    redis: TestRedis,
    _folder: TempDir,
}

impl Guarded {
    async fn start(change: impl Fn(String) -> String) -> Self {
        let folder = TempDir::new().unwrap();
        let users = ["tailer", "relay", "administrator"];
        let lines = users.map(|user| format!("{} >secret\n", change(rights(user))));
        let file = folder.path().join("users.acl");
        fs::write(&file, lines.concat()).unwrap();
        let redis = TestRedis::with_port(&["--aclfile", file.to_str().unwrap()]).await;
        Self { redis, _folder: folder }
    }

    fn connect(&self, user: &str) -> ConnectOptions {
        let url = format!("redis://{user}:secret@127.0.0.1:{}", self.redis.port());
        ConnectOptions { connect_timeout_ms: 2000, ..ConnectOptions::new(url.parse().unwrap()) }
    }

    fn store(&self, user: &str) -> Store {
        let url = "redis://unused".parse().unwrap();
        Store::new(store::Options { connect: self.connect(user), ..store::Options::new(url) }).unwrap()
    }

    /// What was refused so far, and to whom.
    async fn refused(&self) -> Vec<String> {
        let list: Vec<redis::Value> = self.redis.control().await.run("ACL LOG").await;
        list.iter().map(|entry| format!("{entry:?}")).collect()
    }
}

#[tokio::test]
async fn a_tailer_a_relay_and_an_administrator_do_their_work_with_the_rights_of_deploy() {
    let guarded = Guarded::start(|line| line).await;
    let mut tailing =
        Tailing::prepare(&guarded.redis, "*.log", |options| options).over(guarded.connect("tailer"));
    tailing.resume();
    let relay = TestRelay::over(guarded.store("relay"), |_, _| ()).await;
    let live = Reader::start(&relay, tailing.topic());
    let program = Program::start(tailing.path("app.log"), 0);
    eventually("lines", async || live.count() > 500).await;
    tailing.restart().await;
    let (log, count) = program.stop().await;
    live.until(count).await;
    live.has_each_once(&[(&log, count)]);
    let trimmer = TestRelay::over(guarded.store("relay"), |options, _| {
        options.retention.max_bytes = 1;
        options.retention.interval_ms = 20;
    })
    .await;
    let counter = "logrelay_retention_trimmed_lines_total";
    eventually("lines are trimmed", async || trimmer.metric(counter).await > 0).await;
    assert_eq!(guarded.store("relay").expire_records(tailing.topic(), 0, None).await.unwrap(), 0);
    // A durable reader of a pattern, history, and what administrators ask of a relay.
    let durable = SubscribeRequest { subscription: "s".to_owned(), ..from_earliest("t*") };
    let opened = relay.subscribe(durable).await.opened().await;
    let commit = CommitCursorRequest {
        subscription: "s".to_owned(),
        cursors: vec![opened.topics[0].cursor.clone()],
        commit_token: opened.commit_token,
        seek: false,
    };
    let mut client = relay.client().await;
    client.commit_cursor(commit).await.unwrap();
    let topic = tailing.topic().to_string();
    let direction = Direction::Backwards.into();
    client.fetch(FetchRequest { topic: topic.clone(), direction, ..Default::default() }).await.unwrap();
    client.set_retention(SetRetentionRequest { topic: topic.clone(), retention: None }).await.unwrap();
    let on_active_sources = OnActiveSources::Keep.into();
    client.delete_topic(DeleteTopicRequest { topic, on_active_sources }).await.unwrap();

    let administrator = guarded.store("administrator");
    let inputs = [("app".to_owned(), "paths = [\"/var/log/app.log\"]".to_owned())];
    administrator.push_inputs("web", &inputs).await.unwrap();
    assert_eq!(administrator.input_owners().await.unwrap(), ["web"]);
    assert_eq!(guarded.store("tailer").inputs("web").await.unwrap().len(), 1);
    assert_eq!(administrator.remove_inputs("web", &["app".to_owned()]).await.unwrap(), [true]);
    for user in ["tailer", "relay", "administrator"] {
        guarded.store(user).advice().await.unwrap();
    }
    let mut refused = guarded.refused().await;
    // The server's idle timeout is asked for where that is allowed.
    refused.retain(|entry| !entry.contains("config|get"));
    assert_eq!(refused, [""; 0]);
}

#[tokio::test]
async fn a_tailer_may_not_read_inputs_of_others_into_its_own_nor_touch_other_keys() {
    let guarded = Guarded::start(|line| line).await;
    let tailer = guarded.store("tailer");
    let inputs = [("app".to_owned(), "x".to_owned())];
    for error in [
        tailer.push_inputs("web", &inputs).await.unwrap_err(),
        tailer.take_lock("retention", "me", 1000).await.unwrap_err(),
        guarded.store("relay").push_inputs("web", &inputs).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Refused { code, .. } if code == "NOPERM"), "{error}");
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_is_for_an_operator() {
    let guarded = Guarded::start(|line| line.replace(" +smembers", "").replace(" +evalsha", "")).await;
    let tailer = guarded.store("tailer");
    let topic: Topic = "t".parse().unwrap();
    for (error, command) in [
        (tailer.topics().await.unwrap_err(), "'smembers'"),
        (tailer.resolve(&topic).await.unwrap_err(), "'evalsha'"),
    ] {
        assert!(error.needs_an_operator() && error.to_string().contains(command), "{error}");
        assert!(!error.is_of_one_topic(), "{error}");
    }
}

#[tokio::test]
async fn a_right_that_a_script_misses_stops_all_topics_and_says_where_to_look() {
    let guarded = Guarded::start(|line| line.replace(" +xadd", "").replace(" +hmget", "")).await;
    let error = guarded.store("tailer").resolve(&"t".parse().unwrap()).await.unwrap_err();
    assert!(error.needs_an_operator() && !error.is_of_one_topic(), "{error}");
    let text = error.to_string();
    // Redis 7.0 does not say which command.
    assert!(text.contains("NOPERM") && (text.contains("deploy/redis") || text.contains("'hmget'")), "{text}");
}

/// The commands that a script may run.
fn commands_of(script: &str) -> BTreeSet<String> {
    let calls = ["redis.call('", "redis.pcall('", "entry_at('"];
    let after = calls.iter().flat_map(|call| script.split(call).skip(1));
    after.map(|rest| rest.split('\'').next().unwrap().to_lowercase()).collect()
}

#[test]
fn the_rights_have_every_command_of_the_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let has = |user: &str, command: &str| {
        let rights = rights(user);
        let mut words = rights.split(' ').filter_map(|word| word.strip_prefix('+'));
        words.any(|right| right.split('|').next() == Some(command))
    };
    let mut commands = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "lua") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let users: &[&str] = match name.as_str() {
            "timeline" | "append" | "resolve" => &["tailer", "relay", "administrator"],
            "inputs" => &["administrator"],
            _ => &["relay", "administrator"],
        };
        for command in commands_of(&fs::read_to_string(&path).unwrap()) {
            commands += 1;
            for user in users {
                assert!(has(user, &command), "{user} lacks {command}, which {name}.lua runs");
            }
        }
    }
    assert!(commands > 20, "the scripts were not found");
}
