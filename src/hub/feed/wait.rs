//! How a feed waits for new entries: in one blocking read over its topics, or, where a node
//! of a cluster has too many topics for a connection each, by asking now and then.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::yield_now, time::sleep};

use super::{
    Feed, Followed,
    take::{look_closely, take},
};
use crate::{
    hub::roster::Waiting,
    record::{Offset, Topic},
    retry::Backoff,
    store::{self, BlockingConnection, Item},
};

/// A blocking read that answers within this time found the entry waiting.
const PROMPT: Duration = Duration::from_millis(2);
/// After about this time a read that should have been unblocked is unblocked again:
/// the command may have come before the read began to wait.
const NUDGE_AGAIN: Duration = Duration::from_millis(20);
/// How long a topic is read by pages before it is waited for again, while its keys move.
const MOVING: Duration = Duration::from_millis(20);
/// Least time between two questions after new entries, and what each topic adds to it.
const POLL: Duration = Duration::from_millis(50);
const POLL_A_TOPIC: Duration = Duration::from_micros(500);
/// How many topics are asked for at once: their sum is what is held beside the windows.
const POLLED_AT_ONCE: usize = 100;

impl Feed {
    /// Waits for the next entries of all topics that are not behind.
    pub(super) async fn wait(&mut self, connection: &mut BlockingConnection) -> Result<(), store::Error> {
        let some_behind = self.followed.iter().any(Followed::is_behind);
        let waiting = self.followed.iter().filter(|followed| !followed.is_behind());
        let wanted: Vec<_> = waiting.filter_map(Followed::wanted).collect();
        if wanted.is_empty() {
            if !some_behind {
                self.pause(self.block() / 4).await;
            }
            return Ok(());
        }
        match self.roster.waiting {
            Waiting::Blocked => self.read(connection, &wanted, some_behind).await,
            Waiting::Polling => self.poll(connection, &wanted, some_behind).await,
        }
    }

    async fn read(
        &mut self,
        connection: &mut BlockingConnection,
        wanted: &[(Topic, Offset)],
        some_behind: bool,
    ) -> Result<(), store::Error> {
        // The first answer after an outage is what ends it.
        let is_short = some_behind || self.is_out;
        let block_ms = if is_short { 1 } else { self.hub.options.block_ms.max(1) };
        let began = Instant::now();
        let (node, id) = (self.node, connection.id());
        let found = tokio::select! {
            biased;
            found = self.hub.store.wait(node, connection, wanted, block_ms) => found,
            never = self.nudge(id) => match never {},
        };
        let is_prompt = began.elapsed() < PROMPT;
        match found {
            Ok(found) => {
                // A line goes on without waiting for another thread: this one runs what was woken
                // last, up to three times in a row, which are a reader, its stream and its
                // connection. So the row begins here, and Redis is asked for more behind it.
                yield_now().await;
                for (name, items) in found {
                    self.found(&name, items, is_prompt).await?;
                }
                yield_now().await;
                Ok(())
            }
            Err(error) => self.failed(error).await,
        }
    }

    /// Asks for all of them once; waits for a while when there is nothing.
    async fn poll(
        &mut self,
        connection: &mut BlockingConnection,
        wanted: &[(Topic, Offset)],
        some_behind: bool,
    ) -> Result<(), store::Error> {
        let (mut is_quiet, mut elsewhere) = (!some_behind, None);
        for some in wanted.chunks(POLLED_AT_ONCE) {
            let answers = self.hub.store.poll(self.node, connection, some).await?;
            for ((name, _), answer) in some.iter().zip(answers) {
                match answer {
                    Ok(items) => {
                        is_quiet &= items.is_empty();
                        self.found(name, items, true).await?;
                    }
                    Err(error) if error.is_elsewhere() => elsewhere = Some(error),
                    Err(error) => self.failed(error).await?,
                }
            }
        }
        if let Some(error) = elsewhere {
            self.failed(error).await?;
        } else if is_quiet {
            let topics = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
            self.pause(POLL.max(POLL_A_TOPIC * topics).min(self.block())).await;
        }
        Ok(())
    }

    /// Takes what was read of a topic; nothing, when there was nothing.
    async fn found(&mut self, name: &Topic, items: Vec<Item>, is_prompt: bool) -> Result<(), store::Error> {
        let Some(followed) = self.followed.iter_mut().find(|one| one.topic.name == *name) else {
            return Ok(());
        };
        let counts = is_prompt && !items.is_empty();
        followed.prompt_reads = if counts { followed.prompt_reads + 1 } else { 0 };
        take(&self.hub, followed, items).await
    }

    /// What a read that was refused calls for.
    async fn failed(&mut self, error: store::Error) -> Result<(), store::Error> {
        if error.is_elsewhere() {
            // Looked for anew; while keys move, pages are read, which find them.
            self.moves.mark_changed();
            self.followed.iter_mut().for_each(|followed| followed.fresh_at = None);
            self.pause(MOVING).await;
            return Ok(());
        }
        if error.is_of_one_topic() && self.find_broken().await? {
            return Ok(());
        }
        Err(error)
    }

    /// Waits for this long, or until a topic joined.
    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.roster.wake.notified() => {}
            () = sleep(time) => {}
        }
    }

    /// Finds the topics whose keys cannot be read, after all were read at once; false: there
    /// is none that was not known.
    async fn find_broken(&mut self) -> Result<bool, store::Error> {
        let broken = |all: &[Followed]| all.iter().filter(|followed| followed.broken).count();
        let before = broken(&self.followed);
        for followed in &mut self.followed {
            look_closely(&self.hub, followed).await?;
        }
        Ok(broken(&self.followed) > before)
    }

    /// Unblocks the blocking read whenever a topic joined.
    async fn nudge(&self, connection: i64) -> Infallible {
        self.roster.wake.notified().await;
        let mut backoff = Backoff::new(NUDGE_AGAIN, Duration::from_secs(1));
        loop {
            let (hub, node) = (Arc::clone(&self.hub), self.node);
            // Not as a part of this future, which is dropped as soon as it worked:
            // that would cost a connection of the pool.
            self.hub.errands.spawn(async move {
                if let Err(error) = hub.store.unblock(node, connection).await {
                    tracing::debug!(%error, "a blocking read could not be ended");
                }
            });
            sleep(backoff.next_delay()).await;
        }
    }
}
