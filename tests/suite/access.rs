//! Who may call what: every method with every kind of token, and what a refusal reveals.

use std::{collections::BTreeMap, fs, path::PathBuf};

use futures_util::future::BoxFuture;
use logrelay::{
    access::{Action, NewToken},
    proto::{self, OnActiveSources, subscribe_response::Event, trim_topic_request::Before},
};
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status, transport::Endpoint};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use tonic_types::StatusExt as _;

use crate::{
    publishing,
    support::{
        TestRedis,
        caller::{Client, get_as, with_token},
        eventually,
        relay::{TestRelay, from_earliest, get, reason, topic},
        writer::Writer,
    },
};

/// An access file, and the tokens that it knows.
pub(crate) struct AccessFile {
    folder: TempDir,
}

impl AccessFile {
    pub(crate) fn new() -> Self {
        let file = Self { folder: TempDir::new().unwrap() };
        file.write("");
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("access.toml")
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    /// Puts a token into it, with these keys.
    pub(crate) fn add(&self, name: &str, keys: &str) -> String {
        let token = NewToken::random().unwrap();
        let section = format!("[[tokens]]\nname = \"{name}\"\nsha256 = \"{}\"\n{keys}\n", token.sha256());
        self.write(&(fs::read_to_string(self.path()).unwrap() + &section));
        token.secret().to_owned()
    }
}

/// A relay that asks for tokens, and looks at its file all the time.
pub(crate) async fn guarded(redis: &TestRedis, file: &AccessFile) -> TestRelay {
    let path = file.path();
    TestRelay::with(redis, |serve, _| {
        serve.access.file = Some(path);
        serve.access.reload_interval_ms = 10;
    })
    .await
}

async fn client(relay: &TestRelay, token: Option<&str>) -> Client {
    let channel = Endpoint::from_shared(relay.url.clone()).unwrap().connect().await.unwrap();
    with_token(channel, token)
}

type Call = fn(Client, String) -> BoxFuture<'static, Result<(), Status>>;

/// Rows: what a method needs, and the answer to a call of it.
macro_rules! methods {
    ($($name:literal $needed:ident |$client:ident, $topic:ident| $answer:expr;)*) => {
        &[$(($name, Action::$needed, |mut $client, $topic| {
            Box::pin(async move { $answer.await.map(drop) })
        })),*]
    };
}

/// Every method that is for one topic. The one that leaves least of it comes last.
const METHODS: &[(&str, Action, Call)] = methods! {
    "Subscribe" Read |client, topic| client.subscribe(from_earliest(&topic)).await?.into_inner().message();
    "GetTopic" Read |client, topic| client.get_topic(proto::GetTopicRequest { topic, max_sources: 0 });
    "Fetch" Read |client, topic| client.fetch(proto::FetchRequest { topic, ..Default::default() });
    "CommitCursor" Read |client, topic| client.commit_cursor(proto::CommitCursorRequest {
        subscription: "reader".to_owned(),
        cursors: vec![format!("{topic}@00000000000000aa:0")],
        seek: true,
        ..Default::default()
    });
    "GetCursor" Read |client, topic| client.get_cursor(proto::GetCursorRequest {
        subscription: "reader".to_owned(),
        topics: vec![topic],
    });
    "Publish" Publish |client, topic| client.publish(tokio_stream::once(proto::PublishRequest {
        topic,
        producer: "writer".to_owned(),
        instance: 7,
        finished: true,
        ..Default::default()
    })).await?.into_inner().message();
    "SetRetention" Administer |client, topic| client.set_retention(proto::SetRetentionRequest {
        topic,
        retention: None,
    });
    "TrimTopic" Administer |client, topic| client.trim_topic(proto::TrimTopicRequest {
        topic,
        before: Some(Before::Offset(1)),
    });
    "DeleteTopic" Administer |client, topic| client.delete_topic(proto::DeleteTopicRequest {
        topic,
        on_active_sources: OnActiveSources::Forget.into(),
    });
};

/// Methods that answer for all topics at once; each has a test of its own.
const OTHER_METHODS: &[&str] = &["ListTopics"];

#[test]
fn the_table_has_every_method_of_the_contract() {
    let contract = include_str!("../../proto/logrelay/v1/logrelay.proto");
    let methods = contract.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split_once('('));
    let mut contract: Vec<_> = methods.map(|(name, _)| name).collect();
    let mut table: Vec<_> =
        METHODS.iter().map(|(name, ..)| *name).chain(OTHER_METHODS.iter().copied()).collect();
    contract.sort_unstable();
    table.sort_unstable();
    assert_eq!(table, contract);
}

/// The keys of a token that may do this to topics.
fn keys(action: Action, glob: &str) -> String {
    let key = match action {
        Action::Read => "read",
        Action::Publish => "publish",
        Action::Administer => "administer",
    };
    format!("{key} = [\"{glob}\"]")
}

#[tokio::test]
async fn every_method_takes_the_right_token_and_refuses_every_other() {
    use Action::{Administer, Publish, Read};
    let redis = TestRedis::start().await;
    let file = AccessFile::new();
    let everything = "read = [\"*\"]\npublish = [\"*\"]\nadminister = [\"*\"]\n";
    let expired = file.add("expired", &(everything.to_owned() + "expires = 2020-01-01T00:00:00Z"));
    let elsewhere = file.add("elsewhere", &everything.replace('*', "other.*"));
    let nothing = file.add("nothing", "");
    let [reader, publisher, administrator] =
        [(Read, "reader"), (Publish, "publisher"), (Administer, "administrator")]
            .map(|(action, name)| (action, file.add(name, &keys(action, "app*"))));
    let wrong = NewToken::random().unwrap();
    let relay = guarded(&redis, &file).await;
    Writer::new(&redis, "app").await.append_numbered(1, 3).await;
    for &(method, needed, call) in METHODS {
        let ask = async |token: Option<&str>| call(client(&relay, token).await, "app".to_owned()).await;
        let refused = async |token: Option<&str>| reason(&ask(token).await.unwrap_err());
        let unknown = |reason: &str| (Code::Unauthenticated, reason.to_owned());
        let denied = (Code::PermissionDenied, "TOPIC_DENIED".to_owned());
        assert_eq!(refused(None).await, unknown("NO_TOKEN"), "{method}");
        assert_eq!(refused(Some(wrong.secret())).await, unknown("BAD_TOKEN"), "{method}");
        assert_eq!(refused(Some(&expired)).await, unknown("EXPIRED_TOKEN"), "{method}");
        assert_eq!(refused(Some(&elsewhere)).await, denied, "{method}");
        assert_eq!(refused(Some(&nothing)).await, denied, "{method}");
        for (action, token) in [&reader, &publisher, &administrator] {
            let answer = ask(Some(token)).await;
            if *action == needed {
                answer.unwrap_or_else(|status| panic!("{method} with the right token: {status:?}"));
            } else {
                assert_eq!(reason(&answer.unwrap_err()), denied, "{method} for {action:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_topic_that_may_not_be_read_is_not_revealed_by_the_kind_of_error() {
    let redis = TestRedis::start().await;
    let file = AccessFile::new();
    let token = file.add("web", "read = [\"web.*\"]\npublish = [\"web.*\"]\nadminister = [\"web.*\"]");
    let relay = guarded(&redis, &file).await;
    Writer::new(&redis, "hidden").await.append_numbered(1, 3).await;
    for &(method, _, call) in METHODS {
        let ask = async |topic: &str| {
            let status = call(client(&relay, Some(&token)).await, topic.to_owned()).await.unwrap_err();
            let info = status.get_details_error_info().unwrap();
            let metadata = info.metadata.into_iter().collect::<BTreeMap<_, _>>();
            let said = format!("{:?} {} {} {metadata:?}", status.code(), status.message(), info.reason);
            (said.replace(topic, "TOPIC!"), status.details().len())
        };
        assert_eq!(ask("hidden").await, ask("absent").await, "{method}");
    }
}

#[tokio::test]
async fn lists_have_the_topics_that_may_be_read_and_no_other() {
    let redis = TestRedis::start().await;
    let file = AccessFile::new();
    let web = file.add("web", "read = [\"web.*\"]");
    let publisher = file.add("publisher", "publish = [\"*\"]\nadminister = [\"*\"]");
    let relay = guarded(&redis, &file).await;
    for name in ["web.1", "web.2", "hidden"] {
        Writer::new(&redis, name).await.append_numbered(1, 1).await;
    }
    let listed = async |token: &str| {
        let answer = client(&relay, Some(token)).await.list_topics(proto::ListTopicsRequest {}).await;
        answer.unwrap().into_inner().topics.into_iter().map(|topic| topic.topic).collect::<Vec<_>>()
    };
    assert_eq!(listed(&web).await, ["web.1", "web.2"]);
    assert_eq!(listed(&publisher).await, [""; 0]);
    let status = client(&relay, None).await.list_topics(proto::ListTopicsRequest {}).await.unwrap_err();
    assert_eq!(reason(&status), (Code::Unauthenticated, "NO_TOKEN".to_owned()));
}

#[tokio::test]
async fn what_is_no_call_needs_a_token_too_and_health_needs_none() {
    let redis = TestRedis::start().await;
    let file = AccessFile::new();
    let token = file.add("nothing", "");
    let relay = guarded(&redis, &file).await;
    eventually("it serves", async || relay.serves().await).await;
    for path in ["/metrics", "/nothing"] {
        let (status, body) = get(&relay.url, path).await;
        assert_eq!(status, "HTTP/1.1 401 Unauthorized");
        assert!(body.contains("authorization: Bearer"), "{body}");
    }
    let (status, body) = get_as(&token, &relay.url, "/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("logrelay_access_refused_total{reason=\"NO_TOKEN\"} 2"), "{body}");
    let services = async |token: Option<&str>| {
        let channel = Endpoint::from_shared(relay.url.clone()).unwrap().connect().await.unwrap();
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut request = tonic::Request::new(tokio_stream::once(ask));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let mut answers =
            ServerReflectionClient::new(channel).server_reflection_info(request).await?.into_inner();
        answers.next().await.unwrap()
    };
    assert_eq!(services(None).await.unwrap_err().code(), Code::Unauthenticated);
    services(Some(&token)).await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires_is_changed_or_is_removed_and_others_go_on() {
    let redis = TestRedis::start().await;
    let file = AccessFile::new();
    let stays = file.add("stays", "read = [\"app\"]");
    let changes = file.add("changes", "read = [\"app\"]");
    let removed = file.add("removed", "read = [\"app\"]");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let expires = file.add("expires", &format!("read = [\"app\"]\nexpires = {soon}"));
    let relay = guarded(&redis, &file).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(1, 1).await;
    let open = async |token: &str| {
        let mut stream =
            client(&relay, Some(token)).await.subscribe(topic("app")).await.unwrap().into_inner();
        stream.message().await.unwrap();
        stream
    };
    let mut stays = open(&stays).await;
    let [mut changes, mut removed, mut expires] =
        [open(&changes).await, open(&removed).await, open(&expires).await];
    let sections = fs::read_to_string(file.path()).unwrap();
    let sections: Vec<_> = sections.split_inclusive("[[tokens]]\n").collect();
    let [head, stays_as_it_is, to_change, _to_remove, to_expire] = sections[..] else {
        panic!("{sections:?}")
    };
    let more = to_change.replace("\"app\"", "\"app\", \"more\"");
    file.write(&[head, stays_as_it_is, &more, to_expire].concat());
    let reason_of = async |stream: &mut tonic::Streaming<proto::SubscribeResponse>| loop {
        let message = stream.message().await.unwrap().expect("it ended without a word");
        if let Some(Event::Closing(closing)) = message.event {
            assert!(closing.retry_after.is_some());
            assert!(stream.message().await.unwrap().is_none());
            return closing.reason;
        }
    };
    assert!(reason_of(&mut changes).await.contains("has changed"));
    assert!(reason_of(&mut removed).await.contains("has changed"));
    assert!(reason_of(&mut expires).await.contains("has expired"));
    writer.append_numbered(1, 1).await;
    let batch = loop {
        match stays.message().await.unwrap().unwrap().event.unwrap() {
            Event::Batch(batch) => break batch,
            Event::CaughtUp(_) | Event::Heartbeat(_) => {}
            event => panic!("{event:?}"),
        }
    };
    assert_eq!(batch.lines.len(), 1);
}

#[tokio::test]
async fn a_stream_of_a_producer_ends_with_its_token_when_what_it_sent_is_stored() {
    let redis = TestRedis::start().await;
    let file = AccessFile::new();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(6);
    let token = file.add("expires", &format!("publish = [\"app\"]\nexpires = {soon}"));
    let relay = guarded(&redis, &file).await;
    let (requests, stream) = tokio::sync::mpsc::channel(4);
    requests.send(publishing::first("job", 1)).await.unwrap();
    requests.send(publishing::lines(0..3)).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut responses = client(&relay, Some(&token)).await.publish(stream).await.unwrap().into_inner();
    let mut acknowledged = 0;
    let status = loop {
        match responses.message().await {
            Ok(response) => acknowledged = response.expect("it ended without a word").next_sequence,
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&status), (Code::Unavailable, "CREDENTIALS_LAPSED".to_owned()));
    assert!(
        status.message().contains("has expired") && status.get_details_retry_info().is_some(),
        "{status}"
    );
    assert_eq!((acknowledged, publishing::stored(&redis.store()).await.len()), (3, 3));
    let again = client(&relay, Some(&token)).await.publish(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(reason(&again), (Code::Unauthenticated, "EXPIRED_TOKEN".to_owned()));
}

#[tokio::test]
async fn a_broken_access_file_changes_nothing() {
    let redis = TestRedis::start().await;
    let file = AccessFile::new();
    let token = file.add("reader", "read = [\"*\"]");
    let relay = guarded(&redis, &file).await;
    let before = fs::read_to_string(file.path()).unwrap();
    file.write(before.trim_end().trim_end_matches(']'));
    let metric = "logrelay_access_reloads_total{part=\"rules\",result=\"refused\"}";
    let metrics = async || get_as(&token, &relay.url, "/metrics").await.1;
    eventually("it is refused", async || metrics().await.contains(metric)).await;
    client(&relay, Some(&token)).await.list_topics(proto::ListTopicsRequest {}).await.unwrap();
    assert!(metrics().await.contains(&format!("{metric} 1\n")), "it is said once");
    file.write("");
    let list = async || client(&relay, Some(&token)).await.list_topics(proto::ListTopicsRequest {}).await;
    eventually("the token is unknown", async || list().await.is_err()).await;
    assert_eq!(reason(&list().await.unwrap_err()).1, "BAD_TOKEN");
}
