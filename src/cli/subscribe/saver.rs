//! When the cursor file is saved: not for every line, and never late.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    cli::cursor_file::{CursorFile, CursorFileError},
    client::{Event, State},
};

/// How old what was printed may be before it is saved.
const INTERVAL: Duration = Duration::from_millis(200);

/// A cursor file and the time at which it has to be saved next.
#[derive(Debug)]
pub(super) struct Saver {
    file: CursorFile,
    /// None while there is nothing to save.
    due: Option<Instant>,
    saved_at: Option<Instant>,
}

impl Saver {
    pub(super) fn new(file: CursorFile) -> Self {
        Self { file, due: None, saved_at: None }
    }

    /// Notes that something happened after which the state may be another.
    pub(super) fn event(&mut self, event: &Event) {
        if self.due.is_none() && !matches!(event, Event::Heartbeat(_) | Event::Disconnected { .. }) {
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

    /// Saves the state where there is something to save.
    pub(super) fn save(&mut self, state: &State) -> Result<(), CursorFileError> {
        if self.due.is_some() {
            self.file.save(state)?;
            self.due = None;
            self.saved_at = Some(Instant::now());
        }
        Ok(())
    }
}

/// Sleeps until then; for ever where there is no time.
pub(super) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
