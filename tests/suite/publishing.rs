//! Producers: one that says to a relay exactly what a test wants, and a program that uses the
//! client library.

use std::time::Duration;

use bytes::Bytes;
use logrelay::{
    client::{PublishEvent, PublishOptions, Publisher},
    proto::{Line, PublishRequest, PublishResponse, log_relay_client::LogRelayClient},
    record::{Offset, Topic},
    store::{Item, Store},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use crate::{support::relay::TestRelay, tailing::numbered};

/// Longest that a response may take to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest that anything may take to happen, after whatever was done to Redis.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// One stream of `Publish`.
pub(crate) struct Producer {
    pub(crate) requests: mpsc::Sender<PublishRequest>,
    pub(crate) responses: Streaming<PublishResponse>,
    /// The key of its source.
    pub(crate) source: String,
    /// What the relay said last.
    pub(crate) next_sequence: u64,
}

/// The first request of a stream to the topic `app`.
pub(crate) fn first(producer: &str, instance: u64) -> PublishRequest {
    let (topic, producer) = ("app".to_owned(), producer.to_owned());
    PublishRequest { topic, producer, instance, ..Default::default() }
}

/// A line that tells its number.
pub(crate) fn line(number: u64) -> Line {
    Line { content: numbered(number).into(), ..Default::default() }
}

/// Lines that tell their numbers.
pub(crate) fn lines(numbers: std::ops::Range<u64>) -> PublishRequest {
    let sequence = numbers.start;
    PublishRequest { sequence, lines: numbers.map(line).collect(), ..Default::default() }
}

impl Producer {
    /// Opens a stream; returns when the relay has said where the producer stands.
    pub(crate) async fn open(relay: &TestRelay, first: PublishRequest) -> Result<Self, Status> {
        Self::over(&mut relay.client().await, first).await
    }

    /// The same, over this connection.
    pub(crate) async fn over(
        client: &mut LogRelayClient<Channel>,
        first: PublishRequest,
    ) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(1);
        requests.send(first).await.unwrap();
        let responses = client.publish(ReceiverStream::new(stream)).await?.into_inner();
        let mut producer = Self { requests, responses, source: String::new(), next_sequence: 0 };
        let first = producer.next().await?.expect("the stream ended");
        assert!(!first.source.is_empty(), "{first:?}");
        producer.source = first.source;
        Ok(producer)
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: PublishRequest) {
        // Where the stream has ended, its responses say why.
        timeout(PATIENCE, self.requests.send(request)).await.expect("nothing was taken").ok();
    }

    /// The next response; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<PublishResponse>, Status> {
        let response = timeout(PATIENCE, self.responses.message()).await.expect("nothing came")?;
        if let Some(response) = &response {
            self.next_sequence = response.next_sequence;
        }
        Ok(response)
    }

    /// Waits until lines before this number are acknowledged.
    pub(crate) async fn until(&mut self, next_sequence: u64) {
        let acknowledged = async {
            while self.next_sequence < next_sequence {
                self.next().await.unwrap().expect("the stream ended");
            }
        };
        timeout(PATIENCE, acknowledged).await.expect("it was not acknowledged");
    }

    /// Sends lines of these numbers, and waits until they are acknowledged.
    pub(crate) async fn publish(&mut self, numbers: std::ops::Range<u64>) {
        let end = numbers.end;
        self.send(lines(numbers)).await;
        self.until(end).await;
    }

    /// What the stream ends with.
    pub(crate) async fn status(mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended with OK"),
                Err(status) => return status,
            }
        }
    }

    /// Ends its side, and waits for the end of the other.
    pub(crate) async fn leave(mut self) {
        self.requests = mpsc::channel(1).0;
        while self.next().await.unwrap().is_some() {}
    }
}

/// All lines of the topic `app`: source, number and content of each.
pub(crate) async fn stored(store: &Store) -> Vec<(String, u64, Bytes)> {
    let (topic, mut at): (Topic, _) = ("app".parse().unwrap(), Offset::ZERO);
    let mut found = Vec::new();
    loop {
        let page = store.page(&topic, at, 1 << 20).await.unwrap();
        let Some(Item::Entry(last)) = page.last() else { return found };
        at = last.next();
        for item in page {
            let Item::Entry(entry) = item else { panic!("{item:?}") };
            let head = entry.batch.head();
            let source = head.source.as_ref().unwrap().key.clone();
            for index in 0..entry.batch.lines() {
                let content = Bytes::copy_from_slice(entry.batch.line(index).unwrap().content);
                found.push((source.clone(), head.first_line + u64::from(index), content));
            }
        }
    }
}

/// Asserts that what is stored is `line 0` to `line <count - 1>` of one source, each once, in order.
pub(crate) async fn has_each_once(store: &Store, count: u64) {
    let found = stored(store).await;
    let wrong = found.iter().zip(0..).find(|((source, number, content), expected)| {
        (number, content) != (expected, &line(*expected).content) || *source != found[0].0
    });
    assert_eq!((wrong, found.len() as u64), (None, count));
}

pub(crate) fn app() -> Topic {
    "app".parse().unwrap()
}

pub(crate) fn options(urls: &[&str]) -> PublishOptions {
    let relays = urls.iter().map(|url| url.parse().unwrap()).collect();
    let options = PublishOptions::new(relays, app(), "job".parse().unwrap());
    PublishOptions { retry_first_ms: 1, retry_max_ms: 100, ..options }
}

pub(crate) fn publisher(relays: &[&TestRelay]) -> Publisher {
    let urls: Vec<_> = relays.iter().map(|relay| relay.url.as_str()).collect();
    Publisher::new(options(&urls)).unwrap()
}

/// A publisher of numbered lines, and what it was told.
pub(crate) struct Job {
    pub(crate) publisher: Publisher,
    pub(crate) pushed: u64,
    pub(crate) told: Vec<PublishEvent>,
}

impl Job {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self { publisher, pushed: 0, told: Vec::new() }
    }

    pub(crate) fn push(&mut self, count: u64) {
        (self.pushed..self.pushed + count).for_each(|number| self.publisher.push(line(number)));
        self.pushed += count;
    }

    pub(crate) async fn next(&mut self) -> Option<PublishEvent> {
        let event = timeout(LONG_PATIENCE, self.publisher.next()).await.expect("nothing happened").unwrap();
        self.told.extend(event.clone());
        event
    }

    pub(crate) async fn until(&mut self, what: impl Fn(&PublishEvent) -> bool) {
        while !what(&self.next().await.expect("it ended")) {}
    }

    pub(crate) async fn flush(&mut self) {
        while self.publisher.unconfirmed_lines() > 0 {
            self.next().await;
        }
    }

    pub(crate) async fn finish(mut self) -> Vec<PublishEvent> {
        self.publisher.end();
        while self.next().await.is_some() {}
        assert_eq!(self.publisher.unconfirmed_lines(), 0);
        self.told
    }

    pub(crate) fn disconnections(&self) -> u32 {
        u32::try_from(self.told.iter().filter(|event| is_disconnected(event)).count()).unwrap()
    }
}

pub(crate) fn is_opened(event: &PublishEvent) -> bool {
    matches!(event, PublishEvent::Opened { .. })
}

pub(crate) fn is_disconnected(event: &PublishEvent) -> bool {
    matches!(event, PublishEvent::Disconnected { .. })
}
