//! The door of a relay: the port, draining, reflection.

use logrelay::{
    hub::Hub,
    proto::subscribe_response::Event,
    serve::{Error, Options, Service},
};
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Endpoint};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{
    TestRedis,
    relay::{TestRelay, from_earliest, reason, topic},
    writer::Writer,
};

#[tokio::test]
async fn a_relay_that_stops_tells_every_stream_and_then_closes_the_port() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    Writer::new(&redis, "app").await.append_numbered(2, 3).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut lines = relay.subscribe(from_earliest("app")).await;
        lines.opened().await;
        lines.until(6).await;
        streams.push(lines);
    }
    let address = relay.url.strip_prefix("http://").unwrap().to_owned();
    let stopping = relay.begin_stop();
    for lines in &mut streams {
        let (events, end) = lines.rest().await;
        end.unwrap();
        let Some(Event::Closing(closing)) = events.last() else { panic!("no closing: {events:?}") };
        assert!(closing.reason.contains("shuts down") && closing.retry_after.is_some(), "{closing:?}");
    }
    drop(streams);
    stopping.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_keep_a_relay_from_stopping() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.drain_ms = 1000).await;
    let mut writer = Writer::new(&redis, "app").await;
    for _ in 0..20 {
        writer.append(&["x".repeat(100_000)]).await;
    }
    let unread = relay.subscribe(from_earliest("app")).await;
    relay.stop().await;
    drop(unread);
}

#[tokio::test]
async fn a_port_in_use_is_said_with_what_helps() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut registry = Registry::default();
    let hub = Hub::new(logrelay::hub::Options::default(), redis.store(), &mut registry);
    let options = Options::new(relay.url.strip_prefix("http://").unwrap().parse().unwrap());
    let error = Service::bind(options, redis.store(), hub, registry).await.unwrap_err();
    assert!(matches!(error, Error::Listen { .. }));
    assert!(error.to_string().contains("another program has the port"), "{error}");
}

#[tokio::test]
async fn ipv6_is_served_too() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.listen = "[::1]:0".parse().unwrap()).await;
    relay.subscribe(topic("app")).await.opened().await;
}

#[tokio::test]
async fn methods_that_are_not_there_are_unimplemented() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let channel = Endpoint::from_shared(relay.url.clone()).unwrap().connect().await.unwrap();
    for path in ["/logrelay.v1.LogRelay/Nothing", "/other.Service/Method"] {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = grpc.unary(tonic::Request::new(()), path.parse().unwrap(), codec).await.unwrap_err();
        assert_eq!(reason(&status).0, Code::Unimplemented, "{path}: {status}");
    }
}

#[tokio::test]
async fn the_contract_can_be_asked_for() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let channel = Endpoint::from_shared(relay.url.clone()).unwrap().connect().await.unwrap();
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::once(ask)).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"logrelay.v1.LogRelay") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
}
