//! Publishes lines, each once, over connections and relays that come and go.
//!
//! Lines are kept until a relay has confirmed them. A [`Publisher`] has no task of its own: it
//! works while one of its futures is awaited.

mod event;
mod options;
mod outbox;

use std::{collections::VecDeque, fmt, future::Future, ops::Range, pin::Pin, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tonic::Streaming;

use self::outbox::Outbox;
pub use self::{event::PublishEvent, options::PublishOptions};
use super::{
    Error, RelayAddress,
    error::Failure,
    link::{self, Times},
    turn::Turn,
};
use crate::{
    proto::{self, PublishRequest, PublishResponse},
    retry::Backoff,
};

/// The reason of a relay that refuses because another instance has the name.
const TAKEN: &str = "PRODUCER_TAKEN";

/// Publishes lines of one producer to one topic.
#[derive(Debug)]
pub struct Publisher {
    options: PublishOptions,
    outbox: Outbox,
    news: VecDeque<PublishEvent>,
    backoff: Backoff,
    failures: u32,
    turn: Turn,
    link: Link,
    /// The source that the lines go to; none before the first connection.
    source: Option<String>,
    redis_ok: bool,
    /// Lines from this number on are lost, up to those that are here.
    lost_from: Option<u64>,
    lost_lines: u64,
    is_finishing: bool,
    /// Since when the caller waits without a message.
    waits_since: Option<Instant>,
    /// Since when another instance has the name.
    taken_since: Option<Instant>,
}

type Stream = (mpsc::Sender<PublishRequest>, Streaming<PublishResponse>);
type Opening = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

enum Link {
    Down { until: Instant },
    Opening { relay: RelayAddress, call: Opening },
    Up(Box<Up>),
    Ended,
}

struct Up {
    relay: RelayAddress,
    /// None when all was said.
    requests: Option<mpsc::Sender<PublishRequest>>,
    responses: Streaming<PublishResponse>,
    /// The relay has said where the producer stands.
    is_open: bool,
}

impl Publisher {
    /// A publisher that connects when it is first awaited.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn new(options: PublishOptions) -> Result<Self, Error> {
        options.check()?;
        let ms = Duration::from_millis;
        Ok(Self {
            turn: Turn::new(&options.relays),
            backoff: Backoff::new(ms(options.retry_first_ms), ms(options.retry_max_ms)),
            options,
            outbox: Outbox::default(),
            news: VecDeque::new(),
            failures: 0,
            link: Link::Down { until: Instant::now() },
            source: None,
            redis_ok: true,
            lost_from: None,
            lost_lines: 0,
            is_finishing: false,
            waits_since: None,
            taken_since: None,
        })
    }

    /// Waits until a relay takes lines; returns the number that the next line will have. A
    /// program that numbers its lines itself goes on from there.
    ///
    /// # Errors
    /// As of [`next`](Self::next).
    pub async fn open(&mut self) -> Result<u64, Error> {
        while self.source.is_none() {
            self.next().await?;
        }
        Ok(self.outbox.range().end)
    }

    /// Whether there is room for one more line.
    pub fn has_room(&self) -> bool {
        self.outbox.bytes() < self.options.buffer_bytes
    }

    /// Adds a line, to be sent by [`next`](Self::next) and the others. To be called when there
    /// [is room](Self::has_room).
    pub fn push(&mut self, line: proto::Line) {
        self.outbox.push(line);
    }

    /// Adds a line, waits for room where there is none, and does what can be done without
    /// waiting to send it.
    ///
    /// # Errors
    /// As of [`next`](Self::next).
    pub async fn send(&mut self, line: proto::Line) -> Result<(), Error> {
        while !self.has_room() {
            self.next().await?;
        }
        self.push(line);
        while let Some(event) = self.next().now_or_never() {
            event?;
        }
        Ok(())
    }

    /// Waits until all lines are confirmed.
    ///
    /// # Errors
    /// As of [`next`](Self::next).
    pub async fn flush(&mut self) -> Result<(), Error> {
        while self.unconfirmed_lines() > 0 {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits until all lines are confirmed, and gives the producer's name back. The source
    /// ends, unless the producer is one that resumes.
    ///
    /// # Errors
    /// As of [`next`](Self::next).
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.end();
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// No more lines come: [`next`](Self::next) ends when all are confirmed.
    pub fn end(&mut self) {
        self.is_finishing = true;
    }

    /// How many lines are not confirmed.
    pub fn unconfirmed_lines(&self) -> u64 {
        let Range { start, end } = self.outbox.range();
        end - start
    }

    /// How many lines Redis has forgotten after it had confirmed them.
    pub fn lost_lines(&self) -> u64 {
        self.lost_lines
    }

    /// Sends and takes in answers until something has happened; none at the
    /// [end](Self::end). May be cancelled at any time without losing anything.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::GaveUp`] or [`Error::OutOfStep`]; the publisher has then
    /// ended.
    pub async fn next(&mut self) -> Result<Option<PublishEvent>, Error> {
        loop {
            if let Some(event) = self.news.pop_front() {
                return Ok(Some(event));
            }
            let is_over = self.is_finishing && self.unconfirmed_lines() == 0;
            match &mut self.link {
                Link::Ended => return Ok(None),
                // To give back the name alone, which nobody else has asked for yet, no relay is
                // waited for.
                Link::Down { .. } | Link::Opening { .. } if is_over => self.link = Link::Ended,
                Link::Down { until } => {
                    sleep_until(*until).await;
                    self.link = self.ask_next_relay();
                }
                Link::Opening { relay, call } => match call.await {
                    Ok((requests, responses)) => {
                        let (relay, requests) = (relay.clone(), Some(requests));
                        self.waits_since = None;
                        self.outbox.begin_again();
                        self.link = Link::Up(Box::new(Up { relay, requests, responses, is_open: false }));
                    }
                    Err(failure) => {
                        let relay = relay.clone();
                        self.fail(relay, &failure)?;
                    }
                },
                Link::Up(_) => self.exchange().await?,
            }
        }
    }

    fn ask_next_relay(&mut self) -> Link {
        let Some(ask) = self.turn.next() else { return Link::Ended };
        let relay = ask.relay.clone();
        let silence = self.options.silence();
        let connect = Duration::from_millis(self.options.connect_timeout_ms);
        let times = Times { connect, keep_alive: silence / 3, answer: silence };
        let PublishOptions { topic, producer, instance, resume, labels, .. } = &self.options;
        let first = PublishRequest {
            topic: topic.to_string(),
            producer: producer.to_string(),
            instance: instance.get(),
            resume: *resume,
            labels: labels.clone(),
            ..PublishRequest::default()
        };
        let call = Box::pin(link::publish(ask, times, first));
        Link::Opening { relay, call }
    }

    /// Sends one request, or takes in one response.
    async fn exchange(&mut self) -> Result<(), Error> {
        let Link::Up(up) = &mut self.link else { return Ok(()) };
        let silence = self.options.silence();
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let has_unsent = self.outbox.has_unsent();
        let is_over = self.is_finishing && self.outbox.range().is_empty();
        let sends = up.is_open && (has_unsent || is_over);
        let message = tokio::select! {
            message = timeout_at(since + silence, up.responses.message()) => message,
            room = room(up.requests.clone()), if sends && up.requests.is_some() => {
                let request = self.outbox.next_request();
                let finished = request.is_none() && !self.options.resume;
                let request = request.unwrap_or(PublishRequest { finished, ..PublishRequest::default() });
                room.send(PublishRequest { accept_gap: self.lost_from.is_some(), ..request });
                if !has_unsent {
                    up.requests = None;
                }
                return Ok(());
            }
        };
        self.waits_since = None;
        let (relay, is_over, is_first) = (up.relay.clone(), up.requests.is_none(), !up.is_open);
        up.is_open = true;
        let failure = match message {
            Ok(Ok(Some(response))) => match self.receive(&relay, response, is_first)? {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
            Ok(Ok(None)) => Failure::Ended,
            Ok(Err(status)) => status.into(),
            Err(_) => Failure::Silent(silence.as_millis()),
        };
        if is_over {
            // Everything is confirmed: however the stream ends, nothing is left to do.
            self.link = Link::Ended;
            return Ok(());
        }
        self.fail(relay, &failure)
    }

    fn receive(
        &mut self,
        relay: &RelayAddress,
        response: PublishResponse,
        is_first: bool,
    ) -> Result<Result<(), Failure>, Error> {
        self.backoff.reset();
        (self.failures, self.taken_since) = (0, None);
        let PublishResponse { next_sequence, source, redis_ok } = response;
        if is_first {
            self.stand(next_sequence, &source)?;
            self.news.push_back(PublishEvent::Opened {
                relay: relay.clone(),
                source: source.clone(),
                next_sequence,
            });
            self.source = Some(source);
        }
        if std::mem::replace(&mut self.redis_ok, redis_ok) != redis_ok {
            self.news.push_back(PublishEvent::Redis { is_ok: redis_ok });
        }
        let lines = self.outbox.range();
        if next_sequence < lines.start && !is_first || next_sequence > lines.end {
            return Ok(Err(Failure::Sequence { lines, found: next_sequence }));
        }
        if next_sequence > lines.start {
            self.lost_from = None;
            self.outbox.confirm(next_sequence);
            self.news.push_back(PublishEvent::Confirmed { next_sequence });
        }
        Ok(Ok(()))
    }

    /// The relay says where the producer stands.
    fn stand(&mut self, next_sequence: u64, source: &str) -> Result<(), Error> {
        let Some(before) = &self.source else {
            self.outbox.renumber(next_sequence);
            return Ok(());
        };
        let lines = self.outbox.range();
        if next_sequence > lines.end || next_sequence < lines.start && self.options.resume {
            self.link = Link::Ended;
            return Err(Error::OutOfStep { next_sequence, lines });
        }
        let lost = next_sequence..self.lost_from.unwrap_or(lines.start);
        if !lost.is_empty() {
            self.lost_lines += lost.end - lost.start;
            self.lost_from = Some(lost.start);
            self.news.push_back(PublishEvent::Lost { lines: lost, is_new_source: source != before });
        }
        Ok(())
    }

    fn fail(&mut self, relay: RelayAddress, failure: &Failure) -> Result<(), Error> {
        self.failures = self.failures.saturating_add(1);
        let most = self.options.max_failures;
        let given_up = most
            .is_some_and(|most| self.failures >= most)
            .then(|| Error::GaveUp { failures: self.failures, last: format!("relay {relay} {failure}") });
        let refused = failure.permanent(&relay).filter(|error| !self.waits_for_name(error));
        if let Some(error) = refused.or(given_up) {
            self.link = Link::Ended;
            return Err(error);
        }
        let delay = self.backoff.next_delay();
        // What a relay asks for is kept where there is no other one to ask.
        let asked = failure.retry_after().filter(|_| !self.turn.has_choice());
        let most = Duration::from_millis(self.options.retry_max_ms);
        let retry_in = delay.max(asked.unwrap_or_default().min(most));
        self.link = Link::Down { until: Instant::now() + retry_in };
        self.news.push_back(PublishEvent::Disconnected { relay, why: failure.to_string(), retry_in });
        Ok(())
    }

    /// Whether another instance has the name, which may be over soon.
    fn waits_for_name(&mut self, error: &Error) -> bool {
        let is_taken = matches!(error, Error::Refused { reason, .. } if reason == TAKEN);
        let since = *self.taken_since.get_or_insert_with(Instant::now);
        is_taken && since.elapsed() < Duration::from_millis(self.options.taken_wait_ms)
    }
}

/// Room for one request. It never comes where the stream has ended: the responses say why.
async fn room(requests: Option<mpsc::Sender<PublishRequest>>) -> mpsc::OwnedPermit<PublishRequest> {
    if let Some(requests) = requests
        && let Ok(room) = requests.reserve_owned().await
    {
        return room;
    }
    std::future::pending().await
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { .. } => f.write_str("down"),
            Self::Opening { relay, .. } => write!(f, "opening {relay}"),
            Self::Up(up) => write!(f, "up {}", up.relay),
            Self::Ended => f.write_str("ended"),
        }
    }
}
