//! How far a subscription is, for somebody who looks at standard error.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use crate::{cli::progress::bar, client::Event, record::Topic, telemetry::Terminal};

/// Lines, rate and lag; draws nothing where nobody looks.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    topics: BTreeMap<Topic, Way>,
}

/// How far a topic goes and how far it was read, as offsets.
#[derive(Debug, Default)]
struct Way {
    next: u64,
    tail: u64,
}

impl Progress {
    pub(super) fn new(terminal: Option<&Terminal>) -> Self {
        Self { bar: terminal.map(bar), topics: BTreeMap::new() }
    }

    pub(super) fn event(&mut self, event: &Event) {
        let Some(bar) = &self.bar else { return };
        match event {
            Event::Opened { topics, .. } | Event::Joined { topics, .. } => {
                for opened in topics {
                    let Ok(topic) = opened.topic.parse::<Topic>() else { continue };
                    self.topics.entry(topic).or_default().tail = opened.next_offset;
                }
            }
            Event::Heartbeat(heartbeat) => {
                for beat in &heartbeat.topics {
                    let Ok(topic) = beat.topic.parse::<Topic>() else { continue };
                    self.topics.entry(topic).or_default().tail = beat.tail_offset;
                }
            }
            Event::Lines(lines) => {
                bar.inc(lines.len() as u64);
                self.topics.entry(lines.topic().clone()).or_default().next = lines.next_cursor().offset.get();
            }
            Event::CaughtUp(cursor) => {
                let next = cursor.offset.get();
                self.topics.insert(cursor.topic.clone(), Way { next, tail: next });
            }
            Event::Gap(jump) | Event::Rewound(jump) | Event::Reset(jump) => {
                self.topics.entry(jump.topic.clone()).or_default().next = jump.to.get();
            }
            Event::Closing { .. } | Event::Disconnected { .. } => {
                bar.set_message("disconnected");
                return;
            }
        }
        let lag: u64 = self.topics.values().map(|way| way.tail.saturating_sub(way.next)).sum();
        bar.set_message(format!("{lag} to go"));
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
