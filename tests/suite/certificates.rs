//! TLS: certificates that are replaced under running streams, and certificates of clients.

use std::{fs, path::Path};

use logrelay::serve::ClientCertificates;
use tempfile::TempDir;
use tonic::{Code, transport::Channel};

use crate::{
    access::AccessFile,
    support::{
        TestRedis,
        authority::{Authority, Pair},
        caller::{encrypted, get_encrypted, with_token},
        eventually,
        relay::{TestRelay, from_earliest, reason},
        writer::Writer,
    },
};
use logrelay::proto::{ListTopicsRequest, log_relay_client::LogRelayClient, subscribe_response::Event};

/// A relay with this certificate, that looks at its files all the time.
async fn relay(redis: &TestRedis, pair: Pair) -> TestRelay {
    TestRelay::with(redis, |serve, _| {
        pair.into_options(serve);
        serve.access.reload_interval_ms = 10;
    })
    .await
}

/// How often certificates were read again, with this result.
async fn reloads(relay: &TestRelay, ca: &Path, result: &str) -> u64 {
    let name = format!("logrelay_access_reloads_total{{part=\"certificates\",result=\"{result}\"}} ");
    let text = get_encrypted(&relay.url, "/metrics", ca).await.1;
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn certificates_are_replaced_while_a_hundred_streams_run_and_none_is_cut() {
    let redis = TestRedis::start().await;
    let (first, second) = (Authority::new(), Authority::new());
    let folder = TempDir::new().unwrap();
    let pair = first.relay().copied_to(folder.path());
    let relay = relay(&redis, pair.clone()).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(1, 10).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let channel = encrypted(&relay.url, &first.certificate(), None).await.unwrap();
        for _ in 0..10 {
            let mut client = LogRelayClient::new(channel.clone());
            streams.push(client.subscribe(from_earliest("app")).await.unwrap().into_inner());
        }
    }
    second.relay().replace(&pair);
    let new = async || encrypted(&relay.url, &second.certificate(), None).await;
    eventually("new connections see the new certificate", async || new().await.is_ok()).await;
    encrypted(&relay.url, &first.certificate(), None).await.unwrap_err();
    writer.append_numbered(1, 10).await;
    for stream in &mut streams {
        let mut lines = 0;
        while lines < 20 {
            match stream.message().await.unwrap().expect("a stream was cut").event.unwrap() {
                Event::Batch(batch) => lines += batch.lines.len(),
                Event::Opened(_) | Event::CaughtUp(_) | Event::Heartbeat(_) => {}
                event => panic!("{event:?}"),
            }
        }
    }
    let ca = second.certificate();
    assert!(reloads(&relay, &ca, "applied").await >= 1);
    let not_after = "logrelay_tls_certificate_not_after_seconds ";
    assert!(get_encrypted(&relay.url, "/metrics", &ca).await.1.contains(not_after));
    lists(new().await.unwrap()).await;
}

/// Asserts that a connection is of use.
async fn lists(channel: Channel) {
    with_token(channel, None).list_topics(ListTopicsRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_broken_replacement_is_refused_and_the_old_certificate_stays() {
    let redis = TestRedis::start().await;
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    let pair = authority.relay().copied_to(folder.path());
    let relay = relay(&redis, pair.clone()).await;
    let ca = authority.certificate();
    let whole = fs::read(&pair.certificate).unwrap();
    let other = Authority::new();
    let other_key = other.relay().key;
    let breaks: [&dyn Fn(); 4] = [
        &|| fs::write(&pair.certificate, &whole[..whole.len() / 2]).unwrap(),
        &|| fs::write(&pair.certificate, "").unwrap(),
        &|| {
            fs::write(&pair.certificate, &whole).unwrap();
            fs::copy(&other_key, &pair.key).map(drop).unwrap();
        },
        &|| fs::remove_file(&pair.key).unwrap(),
    ];
    for (refused, break_it) in (1..).zip(breaks) {
        break_it();
        eventually("it is refused", async || reloads(&relay, &ca, "refused").await == refused).await;
        lists(encrypted(&relay.url, &ca, None).await.unwrap()).await;
    }
    assert_eq!(reloads(&relay, &ca, "refused").await, 4, "each is refused once");
    let applied = reloads(&relay, &ca, "applied").await;
    authority.relay().replace(&pair);
    eventually("the next one is taken", async || reloads(&relay, &ca, "applied").await > applied).await;
}

#[tokio::test]
async fn a_client_without_the_certificate_that_is_required_is_refused() {
    let redis = TestRedis::start().await;
    let (authority, foreign) = (Authority::new(), Authority::new());
    let relay = TestRelay::with(&redis, |serve, _| {
        authority.relay().into_options(serve);
        serve.tls.client_ca = Some(authority.certificate());
    })
    .await;
    let list = async |client: Option<&Pair>| {
        let channel = encrypted(&relay.url, &authority.certificate(), client).await.map_err(drop)?;
        with_token(channel, None).list_topics(ListTopicsRequest {}).await.map(drop).map_err(drop)
    };
    list(None).await.unwrap_err();
    list(Some(&foreign.client("web", "spiffe://prod/web"))).await.unwrap_err();
    list(Some(&authority.client("web", "spiffe://prod/web"))).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_a_client_may_do_what_the_access_file_says_of_its_name() {
    let redis = TestRedis::start().await;
    let authority = Authority::new();
    let file = AccessFile::new();
    let token = file.add("reader", "read = [\"web.*\"]");
    let text = fs::read_to_string(file.path()).unwrap();
    file.write(&format!("{text}[[certificates]]\nsubject = \"URI:spiffe://prod/db\"\nread = [\"db.*\"]\n"));
    let relay = TestRelay::with(&redis, |serve, _| {
        authority.relay().into_options(serve);
        serve.tls.client_ca = Some(authority.certificate());
        serve.tls.client_certificates = ClientCertificates::Optional;
        serve.access.file = Some(file.path());
    })
    .await;
    for name in ["web.1", "db.1"] {
        Writer::new(&redis, name).await.append_numbered(1, 1).await;
    }
    let listed = async |client: Option<&Pair>, token: Option<&str>| {
        let channel = encrypted(&relay.url, &authority.certificate(), client).await.unwrap();
        let answer = with_token(channel, token).list_topics(ListTopicsRequest {}).await;
        let names = |topic: logrelay::proto::TopicInfo| topic.topic;
        answer.map(|answer| answer.into_inner().topics.into_iter().map(names).collect::<Vec<_>>())
    };
    let (known, unknown) =
        (authority.client("db", "spiffe://prod/db"), authority.client("x", "spiffe://prod/x"));
    assert_eq!(listed(Some(&known), None).await.unwrap(), ["db.1"]);
    assert_eq!(listed(Some(&known), Some(&token)).await.unwrap(), ["web.1"], "a token wins");
    assert_eq!(listed(None, Some(&token)).await.unwrap(), ["web.1"]);
    let status = listed(Some(&unknown), None).await.unwrap_err();
    assert_eq!(reason(&status), (Code::Unauthenticated, "UNKNOWN_CERTIFICATE".to_owned()));
    assert_eq!(reason(&listed(None, None).await.unwrap_err()).1, "NO_TOKEN");
}
