//! What a publisher is asked for.

use std::time::Duration;

use super::super::{
    OptionsError, RelayAddress,
    options::{check_relays, check_times},
};
use crate::record::{Host, Instance, Labels, Topic};

/// What to publish where, and how to behave when things break.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// The relays, at least one; any of them will do.
    pub relays: Vec<RelayAddress>,
    /// The topic.
    pub topic: Topic,
    /// The name of the producer, which one instance at a time has.
    pub producer: Host,
    /// Names this run of the program.
    pub instance: Instance,
    /// Whether the program numbers its lines itself, the same in every run: it goes on where
    /// the producer stands, and sends from there (see [`Publisher::open`](super::Publisher::open)).
    pub resume: bool,
    /// What the source is labelled with.
    pub labels: Labels,
    /// What may wait to be confirmed, in bytes of lines; one line may exceed it.
    pub buffer_bytes: usize,
    /// After so long without a sign of life a connection counts as dead, in milliseconds.
    pub silence_ms: u64,
    /// How long one try to connect may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The first delay after a failure, in milliseconds; it doubles up to `retry_max_ms`.
    pub retry_first_ms: u64,
    /// The longest delay after a failure, in milliseconds.
    pub retry_max_ms: u64,
    /// How long to try again while another instance has the name, in milliseconds. One that
    /// was killed has it for 10 s, if the relays are not told otherwise.
    pub taken_wait_ms: u64,
    /// Give up after so many failures in a row; none: never.
    pub max_failures: Option<u32>,
}

impl PublishOptions {
    /// The defaults, for a producer of this name.
    pub fn new(relays: Vec<RelayAddress>, topic: Topic, producer: Host) -> Self {
        Self {
            relays,
            topic,
            producer,
            instance: Instance::random(),
            resume: false,
            labels: Labels::default(),
            buffer_bytes: 16 * 1024 * 1024,
            silence_ms: 30_000,
            connect_timeout_ms: 5_000,
            retry_first_ms: 100,
            retry_max_ms: 5_000,
            taken_wait_ms: 15_000,
            max_failures: None,
        }
    }

    /// Checks what the types cannot say.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        check_relays(&self.relays)?;
        check_times(&[
            ("silence_ms", self.silence_ms),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("retry_first_ms", self.retry_first_ms),
            ("retry_max_ms", self.retry_max_ms),
        ])
    }

    pub(super) fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }
}
