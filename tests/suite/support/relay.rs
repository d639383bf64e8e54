//! A relay in this process, and callers of it.

use std::time::Duration;

use logrelay::{
    hub::{self, Hub},
    proto::{
        self, SubscribeRequest, SubscribeResponse, log_relay_client::LogRelayClient, start::Position,
        subscribe_response::Event,
    },
    serve::{Options, Service},
    store::Store,
};
use prometheus_client::registry::Registry;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::TestRedis;

/// Longest that a message may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay on a port of its own.
pub(crate) struct TestRelay {
    pub(crate) url: String,
    stop: DropGuard,
    task: JoinHandle<Result<(), logrelay::serve::Error>>,
}

impl TestRelay {
    pub(crate) async fn start(redis: &TestRedis) -> Self {
        Self::with(redis, |_, _| ()).await
    }

    /// With other options than the defaults.
    pub(crate) async fn with(
        redis: &TestRedis,
        change: impl FnOnce(&mut Options, &mut hub::Options),
    ) -> Self {
        Self::over(redis.store(), change).await
    }

    /// With connections of its own to Redis.
    pub(crate) async fn over(store: Store, change: impl FnOnce(&mut Options, &mut hub::Options)) -> Self {
        let mut options = Options::new("127.0.0.1:0".parse().unwrap());
        let mut hub_options = hub::Options::default();
        change(&mut options, &mut hub_options);
        let mut registry = Registry::default();
        let hub = Hub::new(hub_options, store.clone(), &mut registry);
        let service = Service::bind(options, store, hub, registry).await.unwrap();
        let url = service.url();
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the test owns it")]
        let task = tokio::spawn(service.run(stop.clone()));
        Self { url, stop: stop.drop_guard(), task }
    }

    pub(crate) async fn client(&self) -> LogRelayClient<Channel> {
        LogRelayClient::connect(self.url.clone()).await.unwrap()
    }

    /// Subscribes; `opened` is still to come.
    pub(crate) async fn subscribe(&self, request: SubscribeRequest) -> Lines {
        self.try_subscribe(request).await.unwrap()
    }

    pub(crate) async fn try_subscribe(&self, request: SubscribeRequest) -> Result<Lines, Status> {
        Lines::ask(self.client().await, request).await
    }

    /// What `/metrics` says of a name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        self.try_metric(name).await.unwrap_or_else(|| panic!("no {name}"))
    }

    /// The same; none where nothing was counted under it.
    pub(crate) async fn try_metric(&self, name: &str) -> Option<u64> {
        let text = get(&self.url, "/metrics").await.1;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// What health says.
    pub(crate) async fn serves(&self) -> bool {
        serves(&self.url).await
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    /// Tells it to stop; what then happens can still be heard.
    pub(crate) fn begin_stop(self) -> JoinHandle<Result<(), logrelay::serve::Error>> {
        drop(self.stop);
        self.task
    }
}

/// What the health of a relay says.
pub(crate) async fn serves(url: &str) -> bool {
    let channel = Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
    let status = HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
    status.into_inner().status() == ServingStatus::Serving
}

/// An HTTP/1.1 request: status line and body.
pub(crate) async fn get(url: &str, path: &str) -> (String, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// A request for one topic.
pub(crate) fn topic(name: &str) -> SubscribeRequest {
    SubscribeRequest { topics: vec![name.to_owned()], ..Default::default() }
}

/// A request for one topic from a place on.
pub(crate) fn from(name: &str, position: Position) -> SubscribeRequest {
    SubscribeRequest { start: Some(proto::Start { position: Some(position) }), ..topic(name) }
}

pub(crate) fn from_earliest(name: &str) -> SubscribeRequest {
    from(name, Position::Earliest(true))
}

/// A request to go on.
pub(crate) fn from_cursor(cursor: &str) -> SubscribeRequest {
    let name = cursor.split('@').next().unwrap();
    SubscribeRequest { cursors: vec![cursor.to_owned()], ..topic(name) }
}

/// What a subscription sends.
pub(crate) struct Lines {
    stream: Streaming<SubscribeResponse>,
    /// The lines so far, each with its offset.
    pub(crate) heard: Vec<(u64, String)>,
}

impl Lines {
    pub(crate) fn new(stream: Streaming<SubscribeResponse>) -> Self {
        Self { stream, heard: Vec::new() }
    }

    /// Subscribes over a connection that others use, too.
    pub(crate) async fn ask(
        mut client: LogRelayClient<Channel>,
        request: SubscribeRequest,
    ) -> Result<Self, Status> {
        Ok(Self::new(client.subscribe(request).await?.into_inner()))
    }

    /// The next message, heartbeats too; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Status> {
        let message = timeout(PATIENCE, self.stream.message()).await.expect("nothing came")?;
        let event = message.map(|message| message.event.expect("a message without an event"));
        if let Some(Event::Batch(batch)) = &event {
            for (index, line) in batch.lines.iter().enumerate() {
                let delta = batch.offset_deltas.get(index).map_or(index as u64, |&delta| delta.into());
                let text = String::from_utf8_lossy(&line.content).into_owned();
                self.heard.push((batch.base_offset + delta, text));
            }
        }
        Ok(event)
    }

    /// The next message that is no heartbeat.
    pub(crate) async fn event(&mut self) -> Event {
        let no_heartbeat = async {
            loop {
                match self.next().await.unwrap().expect("the stream ended") {
                    Event::Heartbeat(_) => {}
                    event => return event,
                }
            }
        };
        timeout(PATIENCE, no_heartbeat).await.expect("nothing but heartbeats came")
    }

    pub(crate) async fn opened(&mut self) -> proto::Opened {
        match self.event().await {
            Event::Opened(opened) => opened,
            event => panic!("{event:?} instead of opened"),
        }
    }

    pub(crate) async fn batch(&mut self) -> proto::Batch {
        match self.event().await {
            Event::Batch(batch) => batch,
            event => panic!("{event:?} instead of a batch"),
        }
    }

    pub(crate) async fn heartbeat(&mut self) -> proto::Heartbeat {
        loop {
            if let Event::Heartbeat(heartbeat) = self.next().await.unwrap().expect("the stream ended") {
                return heartbeat;
            }
        }
    }

    pub(crate) async fn caught_up(&mut self) -> proto::CaughtUp {
        match self.event().await {
            Event::CaughtUp(caught_up) => caught_up,
            event => panic!("{event:?} instead of caught_up"),
        }
    }

    /// Reads up to the line before `offset`; the cursor after it.
    pub(crate) async fn until(&mut self, offset: u64) -> String {
        loop {
            if let Event::Batch(batch) = self.event().await
                && self.heard.last().is_some_and(|&(last, _)| last + 1 >= offset)
            {
                return batch.next_cursor;
            }
        }
    }

    /// Reads up to the first `caught_up`.
    pub(crate) async fn until_caught_up(&mut self) -> proto::CaughtUp {
        loop {
            if let Event::CaughtUp(caught_up) = self.event().await {
                return caught_up;
            }
        }
    }

    /// The rest, up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> (Vec<Event>, Result<(), Status>) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, Ok(())),
                Err(status) => return (events, Err(status)),
            }
        }
    }

    /// The status that the stream ends with.
    pub(crate) async fn status(&mut self) -> Status {
        self.rest().await.1.expect_err("the stream ended with OK")
    }

    /// Asserts that the lines so far are `line <offset>`, from one offset up to another.
    pub(crate) fn are_numbered(&self, from: u64, to: u64) {
        let expected = (from..to).map(|offset| (offset, format!("line {offset}")));
        assert!(self.heard.iter().cloned().eq(expected), "{:?}", self.heard);
    }
}

/// The reason in the details of a status.
pub(crate) fn reason(status: &Status) -> (Code, String) {
    use tonic_types::StatusExt as _;
    let info = status.get_details_error_info();
    (status.code(), info.map(|info| info.reason).unwrap_or_default())
}
