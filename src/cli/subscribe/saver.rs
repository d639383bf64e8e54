//! When the place is saved, in the cursor file or by the relays: not for every line, and never late.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use crate::{
    cli::cursor_file::CursorFile,
    client::{Error, Event, Subscription},
};

/// How old what was printed may be before it is saved.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long relays that cannot save are left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Who keeps the place.
#[derive(Debug)]
pub(super) enum Keeper {
    /// A file of this host.
    File(CursorFile),
    /// The relays: the subscription is durable.
    Relays,
}

/// Who keeps the place, and when it has to be saved next.
#[derive(Debug)]
pub(super) struct Saver {
    keeper: Keeper,
    /// None while there is nothing to save.
    due: Option<Instant>,
    saved_at: Option<Instant>,
}

impl Saver {
    pub(super) fn new(keeper: Keeper) -> Self {
        Self { keeper, due: None, saved_at: None }
    }

    /// Notes that something happened after which the state may be another.
    pub(super) fn event(&mut self, event: &Event) {
        // A filter leaves lines out without a word: heartbeats tell how far it is.
        let tells = match event {
            Event::Heartbeat(_) => matches!(self.keeper, Keeper::Relays),
            Event::Disconnected { .. } => false,
            _ => true,
        };
        if self.due.is_none() && tells {
            let now = Instant::now();
            self.due = Some(self.saved_at.map_or(now, |at| now.max(at + INTERVAL)));
        }
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Saves the place where there is something to save.
    pub(super) async fn save(&mut self, subscription: &mut Subscription) -> anyhow::Result<()> {
        if self.due.is_some() {
            match &self.keeper {
                Keeper::File(file) => file.save(subscription.state())?,
                Keeper::Relays => subscription.commit().await.context("the place cannot be committed")?,
            }
            self.due = None;
            self.saved_at = Some(Instant::now());
        }
        Ok(())
    }

    /// As [`save`](Self::save), later where no relay can do it now.
    pub(super) async fn save_if_possible(&mut self, subscription: &mut Subscription) -> anyhow::Result<()> {
        match self.save(subscription).await {
            Err(error) if matches!(error.downcast_ref(), Some(Error::GaveUp { .. })) => {
                tracing::debug!("{error:#}");
                self.due = Some(Instant::now() + RETRY);
                Ok(())
            }
            saved => saved,
        }
    }
}

/// Sleeps until then; for ever where there is no time.
pub(super) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
