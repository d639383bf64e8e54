//! The reader of the demo: the client library, and what it has given so far.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use logrelay::client::{Event, Lines, Options, Start, Subscription};

use crate::screen::Screen;

pub(crate) struct Reader {
    subscription: Subscription,
    /// The relays that served it, in their order.
    relays: Vec<String>,
    by_service: BTreeMap<String, Vec<String>>,
    count: usize,
    cut_at: Option<Instant>,
    longest_wait: Duration,
}

impl Reader {
    pub(crate) fn new(
        relays: &[String],
        topic: &str,
        start: Start,
        stop_at_tail: bool,
    ) -> anyhow::Result<Self> {
        let relays = relays.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        let options =
            Options { relays, topics: vec![topic.parse()?], start, stop_at_tail, ..Options::default() };
        Ok(Self {
            subscription: Subscription::new(options)?,
            relays: Vec::new(),
            by_service: BTreeMap::new(),
            count: 0,
            cut_at: None,
            longest_wait: Duration::ZERO,
        })
    }

    /// Reads until it has `lines` in all, or the subscription ends.
    pub(crate) async fn read(&mut self, lines: usize, screen: &mut Screen) -> anyhow::Result<()> {
        while self.count < lines {
            match self.subscription.next().await? {
                None => break,
                Some(Event::Lines(lines)) => self.take(&lines, screen)?,
                Some(Event::Opened { relay, .. }) => {
                    screen.note(&format!("the reader is connected to {relay}"));
                    self.relays.push(relay.to_string());
                }
                Some(Event::Disconnected { relay, .. }) => {
                    screen.note(&format!("the reader has lost {relay}"));
                    self.cut_at = Some(Instant::now());
                }
                Some(Event::Gap(jump) | Event::Rewound(jump) | Event::Reset(jump)) => {
                    bail!("the relay went from offset {} to {}: {}", jump.from, jump.to, jump.reason);
                }
                Some(
                    Event::Joined { .. } | Event::CaughtUp(_) | Event::Heartbeat(_) | Event::Closing { .. },
                ) => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, lines: &Lines, screen: &mut Screen) -> anyhow::Result<()> {
        if let Some(cut_at) = self.cut_at.take() {
            self.longest_wait = self.longest_wait.max(cut_at.elapsed());
            screen.note(&format!("and goes on after {} ms", cut_at.elapsed().as_millis()));
        }
        let service = Path::new(lines.path()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let known = self.by_service.entry(service.clone()).or_default();
        for line in lines.iter() {
            let offset = line.offset.get();
            ensure!(offset == self.count as u64, "offset {offset} came where {} was due", self.count);
            let text = String::from_utf8_lossy(line.content).into_owned();
            screen.line(offset, &service, &text);
            known.push(text);
            self.count += 1;
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The lines of a service, in the order in which they came.
    pub(crate) fn lines_of(&self, service: &str) -> &[String] {
        self.by_service.get(service).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn relays_seen(&self) -> &[String] {
        &self.relays
    }

    pub(crate) fn longest_wait_ms(&self) -> u128 {
        self.longest_wait.as_millis()
    }
}
