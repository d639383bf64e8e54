//! A stream of events that outlives connections and relays.

use std::{collections::VecDeque, fmt, future::Future, ops::Range, pin::Pin, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, Streaming};

use super::{
    Error, Event, Jump, Lines, Options, RelayAddress, State,
    call::Call,
    commits::Commits,
    error::Failure,
    incoming::Incoming,
    lines::{BatchFault, cursor_of},
    link::{self, Client, Times},
    turn::Turn,
};
use crate::{
    proto::{self, subscribe_response::Event as Sent},
    record::{Cursor, EncodedLines, Offset, Topic},
    retry::Backoff,
};

/// What a relay asks for beyond this is not kept; and where there are others to ask, not beyond
/// the second: they are up, but must not be asked by everybody at once.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
const LONGEST_SPREAD: Duration = Duration::from_secs(5);

/// Reads topics until the caller stops asking.
#[derive(Debug)]
pub struct Subscription {
    pub(super) options: Options,
    pub(super) state: State,
    backoff: Backoff,
    failures: u32,
    turn: Turn,
    pub(super) link: Link,
    pub(super) commits: Commits,
    /// Since when the caller waits without a message.
    waits_since: Option<Instant>,
    /// What is missing of topics that were opened, and is still to be told: no more than there are topics.
    missing: VecDeque<Jump>,
}

type Opening = Pin<Box<dyn Future<Output = Result<(Client, Streaming<Incoming>), Failure>> + Send>>;

pub(super) enum Link {
    Down {
        until: Instant,
    },
    Opening {
        relay: RelayAddress,
        call: Call,
        answer: Opening,
    },
    Up {
        relay: RelayAddress,
        call: Call,
        client: Box<Client>,
        stream: Box<Streaming<Incoming>>,
        is_open: bool,
    },
    Ended,
}

impl Subscription {
    /// A subscription that connects at the first [`next`](Self::next).
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn new(options: Options) -> Result<Self, Error> {
        let turn = Turn::new(&options.relays);
        Self::in_turn(options, turn)
    }

    /// A subscription that asks the relays in this order.
    pub(super) fn in_turn(options: Options, turn: Turn) -> Result<Self, Error> {
        options.check()?;
        let ms = Duration::from_millis;
        let backoff = Backoff::new(ms(options.retry_first_ms), ms(options.retry_max_ms));
        let state = options.state.clone();
        let link = Link::Down { until: Instant::now() };
        let commits = Commits::default();
        let (waits_since, missing) = (None, VecDeque::new());
        Ok(Self { options, state, backoff, failures: 0, turn, link, commits, waits_since, missing })
    }

    /// What to save in order to go on after the last event that [`next`](Self::next) gave.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The next event; none after the end of a subscription that stops at the tail. May be
    /// cancelled at any time without losing anything.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`]; the subscription has then ended.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        if let Some(missing) = self.missing.pop_front() {
            return self.tell(missing).map(Some);
        }
        loop {
            match &mut self.link {
                Link::Ended => return Ok(None),
                Link::Down { until } => {
                    sleep_until(*until).await;
                    self.link = self.ask_next_relay();
                }
                Link::Opening { relay, call, answer } => match answer.await {
                    Ok((client, stream)) => {
                        let (relay, call, stream) = (relay.clone(), call.clone(), Box::new(stream));
                        self.waits_since = None;
                        self.link =
                            Link::Up { relay, call, client: Box::new(client), stream, is_open: false };
                    }
                    Err(failure) => {
                        let relay = relay.clone();
                        return self.fail(relay, &failure).map(Some);
                    }
                },
                Link::Up { relay, stream, .. } => {
                    let silence = self.options.silence();
                    let since = *self.waits_since.get_or_insert_with(Instant::now);
                    let message = match timeout_at(since + silence, stream.message()).await {
                        Ok(message) => message.map_err(Failure::from),
                        Err(_) => Err(Failure::Silent(silence.as_millis())),
                    };
                    self.waits_since = None;
                    let relay = relay.clone();
                    let event = match message {
                        Ok(None) if self.options.stop_at_tail => {
                            self.link = Link::Ended;
                            return Ok(None);
                        }
                        Ok(None) => Err(Failure::Ended),
                        Ok(Some(message)) => self.receive(&relay, message),
                        Err(failure) => Err(failure),
                    };
                    match event {
                        Ok(None) => {}
                        Ok(Some(event)) => return Ok(Some(event)),
                        Err(failure) => return self.fail(relay, &failure).map(Some),
                    }
                }
            }
        }
    }

    fn ask_next_relay(&mut self) -> Link {
        let Some(ask) = self.turn.next() else { return Link::Ended };
        let relay = ask.relay.clone();
        let call = Call::next(&self.options.topics, &self.state, self.options.start);
        let request = self.request(&call);
        let heartbeat = Duration::from_millis(self.options.heartbeat_interval_ms);
        let connect = Duration::from_millis(self.options.connect_timeout_ms);
        let times = Times { connect, keep_alive: heartbeat, answer: self.options.silence() };
        let answer = Box::pin(link::subscribe(ask, times, request));
        Link::Opening { relay, call, answer }
    }

    fn request(&self, call: &Call) -> proto::SubscribeRequest {
        let on_gap = if self.options.fail_on_gap { proto::OnGap::Fail } else { proto::OnGap::Report };
        let heartbeat = Duration::from_millis(self.options.heartbeat_interval_ms);
        proto::SubscribeRequest {
            topics: call.topics.iter().map(ToString::to_string).collect(),
            cursors: call.cursors.iter().map(ToString::to_string).collect(),
            start: Some(call.start.into()),
            filter: self.options.filter.clone(),
            stop_at_tail: self.options.stop_at_tail,
            on_gap: on_gap.into(),
            max_batch_lines: self.options.max_batch_lines,
            max_batch_bytes: self.options.max_batch_bytes,
            heartbeat_interval: heartbeat.try_into().ok(),
            subscription: self.options.subscription.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// Takes in one message: first the state, then the event.
    fn receive(&mut self, relay: &RelayAddress, message: Incoming) -> Result<Option<Event>, Failure> {
        let sent = message.event.ok_or(BatchFault::Empty)?;
        if !matches!(sent, Sent::Opened(_) | Sent::Closing(_)) {
            self.backoff.reset();
            self.failures = 0;
        }
        Ok(match sent {
            Sent::Opened(opened) => {
                self.commits.opened(opened.commit_token);
                self.open(relay, opened.topics)?
            }
            Sent::Batch(batch) => {
                self.take_in(batch, message.lines)?.map(|lines| Event::Lines(Box::new(lines)))
            }
            Sent::Gap(it) => {
                let offsets = it.from_offset..it.to_offset;
                Some(Event::Gap(self.jump(&it.topic, offsets, &it.cursor, it.reason)?))
            }
            Sent::Rewound(it) => {
                let offsets = it.from_offset..it.to_offset;
                Some(Event::Rewound(self.jump(&it.topic, offsets, &it.cursor, it.reason)?))
            }
            Sent::Reset(it) => {
                let offsets = it.from_offset..it.to_offset;
                Some(Event::Reset(self.jump(&it.topic, offsets, &it.cursor, it.reason)?))
            }
            Sent::CaughtUp(caught_up) => {
                let cursor = cursor_of(&self.asked(&caught_up.topic)?, &caught_up.cursor)?;
                self.observe(cursor.clone());
                Some(Event::CaughtUp(cursor))
            }
            Sent::Heartbeat(heartbeat) => {
                for topic in heartbeat.topics.iter().filter(|topic| !topic.cursor.is_empty()) {
                    self.observe(cursor_of(&self.asked(&topic.topic)?, &topic.cursor)?);
                }
                Some(Event::Heartbeat(heartbeat))
            }
            Sent::Closing(closing) if closing.taken_over => return Err(Failure::TakenOver(closing.reason)),
            Sent::Closing(closing) => {
                let retry_after = closing.retry_after.as_ref().and_then(proto::duration);
                let retry_in = self.go_down(retry_after.unwrap_or_default());
                Some(Event::Closing { relay: relay.clone(), reason: closing.reason, retry_in })
            }
        })
    }

    fn open(
        &mut self,
        relay: &RelayAddress,
        topics: Vec<proto::OpenedTopic>,
    ) -> Result<Option<Event>, Failure> {
        let (mut places, mut missing) = (Vec::with_capacity(topics.len()), VecDeque::new());
        for opened in &topics {
            let topic = self.asked(&opened.topic)?;
            let cursor =
                (!opened.cursor.is_empty()).then(|| cursor_of(&topic, &opened.cursor)).transpose()?;
            match cursor {
                // Born since, and its first lines are gone: the relay was only asked for the earliest.
                Some(cursor) if is_earliest(opened, &cursor) && self.state.wants_all(&topic) => {
                    let (from, to, reason) = (Offset::ZERO, cursor.offset, "trimmed".to_owned());
                    missing.push_back(Jump { topic, from, to, cursor, reason });
                }
                cursor => places.push((topic, cursor)),
            }
        }
        let Link::Up { call, is_open, .. } = &mut self.link else { return Ok(None) };
        call.open(&mut self.state, places);
        if call.is_part {
            // All topics have a place now: the whole call goes to the same relay.
            self.turn.again();
            self.link = Link::Down { until: Instant::now() };
            return Ok(None);
        }
        self.missing.append(&mut missing);
        let is_first = !std::mem::replace(is_open, true);
        let relay = relay.clone();
        Ok(Some(if is_first { Event::Opened { relay, topics } } else { Event::Joined { relay, topics } }))
    }

    /// Goes past lines that were gone when a topic was opened.
    fn tell(&mut self, missing: Jump) -> Result<Event, Error> {
        if self.options.fail_on_gap
            && let Link::Up { relay, .. } = &self.link
        {
            let Jump { topic, from, to, reason, .. } = &missing;
            let error = Error::Refused {
                relay: relay.clone(),
                code: Code::OutOfRange,
                reason: "CURSOR_TRIMMED".to_owned(),
                message: format!("the lines {from} to {to} of {topic} are missing: {reason}"),
            };
            self.link = Link::Ended;
            self.missing.clear();
            return Err(error);
        }
        self.state.move_to(missing.cursor.clone());
        Ok(Event::Gap(missing))
    }

    /// The lines of a batch that were not seen before; none where all of them were.
    fn take_in(&mut self, batch: proto::Batch, lines: EncodedLines) -> Result<Option<Lines>, Failure> {
        let mut lines = Lines::parse(batch, lines)?;
        let topic = self.asked_topic(lines.topic().clone())?;
        if let (Some(expected), Some(found)) = (self.state.next_offset(&topic), lines.first_offset()) {
            // What a relay leaves out, but for a filter, it says by an event: this would be a loss
            // or a repeat in silence.
            let is_left_out = self.options.filter.is_some() && found > expected;
            if found != expected && !is_left_out {
                return Err(BatchFault::Order { topic, expected, found }.into());
            }
        }
        if !lines.source_key().is_empty() {
            let source = lines.source_key();
            let next_line = self.state.marks().next_line(&topic, source);
            let source = source.to_owned();
            self.state.marks_mut().raise(&topic, &source, lines.next_line());
            lines.drop_before(next_line);
        }
        self.state.move_to(lines.next_cursor().clone());
        Ok((!lines.is_empty()).then_some(lines))
    }

    /// The relay says where it stands. What a filter leaves out is passed in silence.
    fn observe(&mut self, cursor: Cursor) {
        let is_past = |known| self.options.filter.is_some() && cursor.offset > known;
        if self.state.next_offset(&cursor.topic).is_some_and(is_past) {
            self.state.move_to(cursor);
        } else {
            self.state.observe(cursor);
        }
    }

    fn jump(
        &mut self,
        topic: &str,
        offsets: Range<u64>,
        cursor: &str,
        reason: String,
    ) -> Result<Jump, BatchFault> {
        let jump = Jump::parse(self.asked(topic)?, offsets, cursor, reason)?;
        self.state.move_to(jump.cursor.clone());
        Ok(jump)
    }

    /// The topic of this name, which has to be one of those asked for.
    fn asked(&self, name: &str) -> Result<Topic, BatchFault> {
        self.asked_topic(name.parse()?)
    }

    fn asked_topic(&self, topic: Topic) -> Result<Topic, BatchFault> {
        let is_asked = self.options.topics.iter().any(|pattern| pattern.matches(&topic));
        if is_asked { Ok(topic) } else { Err(BatchFault::Unasked(topic)) }
    }

    fn fail(&mut self, relay: RelayAddress, failure: &Failure) -> Result<Event, Error> {
        self.failures = self.failures.saturating_add(1);
        let given_up = self
            .options
            .max_failures
            .is_some_and(|most| self.failures >= most)
            .then(|| Error::GaveUp { failures: self.failures, last: format!("relay {relay} {failure}") });
        if let Some(error) = failure.permanent(&relay).or(given_up) {
            self.link = Link::Ended;
            return Err(error);
        }
        let retry_in = self.go_down(Duration::ZERO);
        Ok(Event::Disconnected { relay, why: failure.to_string(), retry_in })
    }

    /// Leaves the relay for a while, which is returned: at least as long as it asks for.
    fn go_down(&mut self, at_least: Duration) -> Duration {
        let most = if self.turn.has_choice() { LONGEST_SPREAD } else { LONGEST_RETRY_AFTER };
        let retry_in = self.backoff.next_delay().max(at_least.min(most));
        self.link = Link::Down { until: Instant::now() + retry_in };
        retry_in
    }
}

/// Whether a topic begins with the earliest line that is there, and that is not its first one.
fn is_earliest(opened: &proto::OpenedTopic, cursor: &Cursor) -> bool {
    opened.started_from() == proto::StartedFrom::Earliest && cursor.offset > Offset::ZERO
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { .. } => f.write_str("down"),
            Self::Opening { relay, .. } => write!(f, "opening {relay}"),
            Self::Up { relay, .. } => write!(f, "up {relay}"),
            Self::Ended => f.write_str("ended"),
        }
    }
}
