//! What happens to a subscription, on standard error: log lines, or JSON objects.

use std::{collections::HashSet, io::Write as _};

use serde::Serialize;
use tracing::{debug, info, warn};
use tracing_subscriber::fmt::MakeWriter as _;

use super::Output;
use crate::{
    client::{Event, Jump},
    proto,
    telemetry::Terminal,
};

/// Tells events in the form of the output.
#[derive(Debug)]
pub(super) struct Report {
    output: Output,
    terminal: Terminal,
    connected_before: bool,
    /// The topics that were opened so far.
    topics: HashSet<String>,
    redis_ok: bool,
}

/// An event as a JSON object.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Object<'a> {
    Opened { relay: String, topics: Vec<OpenedTopic<'a>> },
    Joined { relay: String, topics: Vec<OpenedTopic<'a>> },
    Gap(Place<'a>),
    Rewound(Place<'a>),
    Reset(Place<'a>),
    CaughtUp { topic: &'a str, cursor: String },
    Redis { ok: bool },
    Closing { relay: String, reason: &'a str, retry_in_ms: u128 },
    Disconnected { relay: String, why: &'a str, retry_in_ms: u128 },
}

#[derive(Serialize)]
struct OpenedTopic<'a> {
    topic: &'a str,
    epoch: &'a str,
    first_offset: u64,
    next_offset: u64,
    cursor: &'a str,
    started_from: String,
}

#[derive(Serialize)]
struct Place<'a> {
    topic: &'a str,
    from_offset: u64,
    to_offset: u64,
    cursor: String,
    reason: &'a str,
}

impl Report {
    pub(super) fn new(output: Output, terminal: Terminal) -> Self {
        Self { output, terminal, connected_before: false, topics: HashSet::new(), redis_ok: true }
    }

    pub(super) fn event(&mut self, event: &Event) {
        let redis_was_ok = self.redis_ok;
        if let Event::Heartbeat(heartbeat) = event {
            self.redis_ok = heartbeat.redis_ok;
        }
        let redis_change = (redis_was_ok != self.redis_ok).then_some(self.redis_ok);
        match self.output {
            Output::Text => {
                log(event, redis_change, self.connected_before);
                self.log_new(event);
            }
            Output::Json => self.print(event, redis_change),
        }
        self.connected_before |= matches!(event, Event::Opened { .. });
    }

    /// Topics that have come since the first connection.
    fn log_new(&mut self, event: &Event) {
        let (Event::Opened { topics, .. } | Event::Joined { topics, .. }) = event else { return };
        for proto::OpenedTopic { topic, first_offset, .. } in topics {
            if self.topics.insert(topic.clone()) && self.connected_before {
                info!(topic, first_offset, "a new topic joins");
            }
        }
    }

    fn print(&self, event: &Event, redis_change: Option<bool>) {
        let Some(object) = object(event, redis_change) else { return };
        let Ok(mut text) = serde_json::to_vec(&object) else { return };
        text.push(b'\n');
        if self.terminal.make_writer().write_all(&text).is_err() {
            debug!("standard error is closed");
        }
    }
}

fn object(event: &Event, redis_change: Option<bool>) -> Option<Object<'_>> {
    Some(match event {
        Event::Lines(_) => return None,
        Event::Heartbeat(_) => Object::Redis { ok: redis_change? },
        Event::Opened { relay, topics } => {
            Object::Opened { relay: relay.to_string(), topics: topics.iter().map(opened_topic).collect() }
        }
        Event::Joined { relay, topics } => {
            Object::Joined { relay: relay.to_string(), topics: topics.iter().map(opened_topic).collect() }
        }
        Event::Gap(jump) => Object::Gap(place(jump)),
        Event::Rewound(jump) => Object::Rewound(place(jump)),
        Event::Reset(jump) => Object::Reset(place(jump)),
        Event::CaughtUp(cursor) => {
            Object::CaughtUp { topic: cursor.topic.as_str(), cursor: cursor.to_string() }
        }
        Event::Closing { relay, reason, retry_in } => {
            Object::Closing { relay: relay.to_string(), reason, retry_in_ms: retry_in.as_millis() }
        }
        Event::Disconnected { relay, why, retry_in } => {
            Object::Disconnected { relay: relay.to_string(), why, retry_in_ms: retry_in.as_millis() }
        }
    })
}

fn opened_topic(opened: &proto::OpenedTopic) -> OpenedTopic<'_> {
    let started_from = opened.started_from().as_str_name();
    OpenedTopic {
        topic: &opened.topic,
        epoch: &opened.epoch,
        first_offset: opened.first_offset,
        next_offset: opened.next_offset,
        cursor: &opened.cursor,
        started_from: started_from.trim_start_matches("STARTED_FROM_").to_ascii_lowercase(),
    }
}

fn place(jump: &Jump) -> Place<'_> {
    Place {
        topic: jump.topic.as_str(),
        from_offset: jump.from.get(),
        to_offset: jump.to.get(),
        cursor: jump.cursor.to_string(),
        reason: &jump.reason,
    }
}

fn log(event: &Event, redis_change: Option<bool>, connected_before: bool) {
    match event {
        Event::Lines(_) | Event::Joined { .. } => {}
        Event::Opened { relay, .. } if connected_before => info!(%relay, "connected again"),
        Event::Opened { relay, topics } => {
            debug!(%relay, "connected");
            if topics.is_empty() {
                info!("there is no such topic yet");
            }
            for topic in topics.iter().filter(|topic| topic.epoch.is_empty()) {
                match topic.cursor.as_str() {
                    "" => info!(topic = topic.topic, "the topic does not exist yet"),
                    cursor => warn!(topic = topic.topic, cursor, "the topic does not exist any more"),
                }
            }
        }
        Event::Gap(Jump { topic, from, to, reason, .. }) => {
            let lines = to.since(*from);
            warn!(%topic, %from, %to, lines, reason, "lines are not there any more");
        }
        Event::Rewound(Jump { topic, from, to, reason, .. }) => {
            warn!(%topic, %from, %to, reason, "redis lost lines that had been read, they are awaited again");
        }
        Event::Reset(Jump { topic, from, to, reason, .. }) => {
            warn!(%topic, %from, %to, reason, "the topic began anew, reading its earliest line");
        }
        Event::CaughtUp(cursor) => debug!(%cursor, "caught up"),
        Event::Heartbeat(_) => match redis_change {
            Some(true) => info!("the relay hears from redis again"),
            Some(false) => warn!("the relay does not hear from redis"),
            None => {}
        },
        Event::Closing { relay, reason, retry_in } => {
            info!(%relay, reason, retry_in_ms = retry_in.as_millis(), "the relay closes");
        }
        Event::Disconnected { relay, why, retry_in } => {
            warn!(%relay, why, retry_in_ms = retry_in.as_millis(), "disconnected");
        }
    }
}
