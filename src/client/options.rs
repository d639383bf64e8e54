//! What a subscription is asked for.

use std::time::{Duration, SystemTime};

use super::{CredentialsError, RelayAddress, State};
use crate::{
    proto,
    record::{SubscriptionName, TopicGlob},
};

/// What to read, from where, and how to behave when things break.
#[derive(Debug, Clone)]
pub struct Options {
    /// The relays, at least one; any of them will do.
    pub relays: Vec<RelayAddress>,
    /// Names of topics or patterns of them, at least one. A topic that does not exist yet is
    /// waited for.
    pub topics: Vec<TopicGlob>,
    /// Where the topics begin that have no place in `state`. Those that are born later begin with
    /// their first line.
    pub start: Start,
    /// Which lines to send; none: all.
    pub filter: Option<proto::Filter>,
    /// Where an earlier subscription ended. What of it is not in `topics` stays as it is.
    pub state: State,
    /// Name of a durable subscription, of which relays keep where it goes on: what has no place in
    /// `state` begins where [`Subscription::commit`](super::Subscription::commit) left it, or where the
    /// first reader of this name began. None: it is none.
    pub subscription: Option<SubscriptionName>,
    /// End at the tail as it is when the subscription is first opened, or somewhat later.
    pub stop_at_tail: bool,
    /// End with an error instead of an event at a gap, rewound or reset.
    pub fail_on_gap: bool,
    /// Greatest number of lines in one event; 0: the relay's default.
    pub max_batch_lines: u32,
    /// Greatest size of one event in bytes; 0: the relay's default.
    pub max_batch_bytes: u32,
    /// How often the relay gives a sign of life, 1,000 to 300,000 ms; after three times this
    /// without a message a connection counts as dead.
    pub heartbeat_interval_ms: u64,
    /// How long one try to connect may take.
    pub connect_timeout_ms: u64,
    /// The first delay after a failure; it doubles up to `retry_max_ms`.
    pub retry_first_ms: u64,
    /// The longest delay after a failure.
    pub retry_max_ms: u64,
    /// Give up after so many failures in a row; none: never.
    pub max_failures: Option<u32>,
}

/// Where to begin in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// From the first line that is still there.
    Earliest,
    /// From the next line that is appended.
    Latest,
    /// From the first line appended at this time or later.
    Time(SystemTime),
    /// From this many lines before the tail.
    LastLines(u64),
}

/// Options that contradict themselves or a bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// There is nobody to ask.
    #[error("no relay is given")]
    NoRelay,
    /// There is nothing to read.
    #[error("no topic is given")]
    NoTopic,
    /// A topic or pattern is named more than once.
    #[error("topic {0} is given more than once")]
    TopicTwice(TopicGlob),
    /// Whoever is on the way to a relay could read the token.
    #[error("{}", CredentialsError::Plaintext(.0.clone()))]
    PlaintextToken(RelayAddress),
    /// The interval is out of its bounds.
    #[error("heartbeat_interval_ms is {0}, it can be 1000 to 300000")]
    Heartbeat(u64),
    /// Another time is out of its bounds.
    #[error("{0} is {1}, it can be 1 to 86400000")]
    Time(&'static str, u64),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            relays: Vec::new(),
            topics: Vec::new(),
            start: Start::Latest,
            filter: None,
            state: State::default(),
            subscription: None,
            stop_at_tail: false,
            fail_on_gap: false,
            max_batch_lines: 0,
            max_batch_bytes: 0,
            heartbeat_interval_ms: 10_000,
            connect_timeout_ms: 5_000,
            retry_first_ms: 100,
            retry_max_ms: 5_000,
            max_failures: None,
        }
    }
}

impl Options {
    /// Checks what the types cannot say.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        check_relays(&self.relays)?;
        if self.topics.is_empty() {
            return Err(OptionsError::NoTopic);
        }
        for (index, topic) in self.topics.iter().enumerate() {
            if self.topics[..index].contains(topic) {
                return Err(OptionsError::TopicTwice(topic.clone()));
            }
        }
        if !(1_000..=300_000).contains(&self.heartbeat_interval_ms) {
            return Err(OptionsError::Heartbeat(self.heartbeat_interval_ms));
        }
        check_times(&[
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("retry_first_ms", self.retry_first_ms),
            ("retry_max_ms", self.retry_max_ms),
        ])
    }

    /// How long a connection may be silent before it counts as dead.
    pub(super) fn silence(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval_ms.saturating_mul(3))
    }
}

pub(super) fn check_relays(relays: &[RelayAddress]) -> Result<(), OptionsError> {
    if relays.is_empty() { Err(OptionsError::NoRelay) } else { Ok(()) }
}

/// A time that is none, or more than a day, is a mistake.
pub(super) fn check_times(times: &[(&'static str, u64)]) -> Result<(), OptionsError> {
    match times.iter().find(|(_, ms)| !(1..=86_400_000).contains(ms)) {
        Some(&(name, ms)) => Err(OptionsError::Time(name, ms)),
        None => Ok(()),
    }
}

impl From<Start> for proto::Start {
    fn from(start: Start) -> Self {
        use proto::start::Position;
        let position = match start {
            Start::Earliest => Position::Earliest(true),
            Start::Latest => Position::Latest(true),
            Start::Time(time) => Position::Time(time.into()),
            Start::LastLines(lines) => Position::LastLines(lines),
        };
        Self { position: Some(position) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused_by_name() {
        let topic: TopicGlob = "app".parse().unwrap();
        let good = Options {
            relays: vec!["relay:7171".parse().unwrap()],
            topics: vec![topic.clone()],
            ..Options::default()
        };
        assert_eq!(good.check(), Ok(()));
        let wrong = |change: fn(&mut Options)| {
            let mut options = good.clone();
            change(&mut options);
            options.check().unwrap_err()
        };
        assert_eq!(wrong(|o| o.relays.clear()), OptionsError::NoRelay);
        assert_eq!(wrong(|o| o.topics.clear()), OptionsError::NoTopic);
        assert_eq!(wrong(|o| o.topics.push(o.topics[0].clone())), OptionsError::TopicTwice(topic));
        assert_eq!(wrong(|o| o.heartbeat_interval_ms = 999), OptionsError::Heartbeat(999));
        assert_eq!(wrong(|o| o.connect_timeout_ms = 0), OptionsError::Time("connect_timeout_ms", 0));
        assert!(matches!(wrong(|o| o.retry_max_ms = u64::MAX), OptionsError::Time("retry_max_ms", _)));
    }
}
