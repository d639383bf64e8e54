//! Where in its file a source goes on: where Redis has it.

use std::{io, sync::Arc};

use futures_util::FutureExt as _;
use tracing::info;

use super::Source;
use crate::{
    publish::{Group, Outcome},
    record::{Details, Record, SourceState, Token},
    tail::{
        course::{Course, Ended, Goal},
        discover::displayed,
        identity::Surroundings,
        lane::{Order, Turn},
        reader::{FIRST_BLOCK_BYTES, off_the_runtime},
        trail::Trail,
    },
};

impl Source {
    /// What its next batch comes behind: its first lines wait for their turn. None: it is not
    /// there yet.
    pub(super) fn order(&self, course: &Course, turn: &Turn) -> Order {
        // What was read of a file that has other content now may be nowhere else.
        let is_only_here = course.goal == Goal::End(Ended::Replaced);
        if course.sending.is_some() || is_only_here || !self.standing.is_at_start() {
            return Order::Begins(None);
        }
        turn.order()
    }

    /// Waits for its turn with nothing read: that would take the room which those before it need.
    pub(super) async fn wait_for(&mut self, course: &mut Course, turn: &Turn) -> Result<(), Ended> {
        course.goes_back();
        self.control.is_quiet(None);
        let first = self.standing.confirmed();
        if !self.go_to(first).await.unwrap_or(false) {
            return Err(Ended::Replaced);
        }
        if turn.comes().await { Ok(()) } else { Err(Ended::Stopped) }
    }

    /// Goes where Redis has the source.
    pub(super) async fn settle_conflict(
        &mut self,
        course: &mut Course,
        turn: &Turn,
        outcome: Outcome,
    ) -> Result<(), Ended> {
        course.goes_back();
        // Before it is confirmed to be anywhere else: those behind it go by that.
        turn.is_drained(false);
        match outcome {
            Outcome::Stored => Ok(()),
            Outcome::Early => self.wait_for(course, turn).await,
            Outcome::Elsewhere(record) => {
                let (from, to) = (self.standing.confirmed().position, record.position);
                info!(
                    path = displayed(&self.path),
                    from, to, "redis has the source elsewhere: going on from there"
                );
                self.standing.confirm(record.clone());
                match self.go_to(record).await {
                    Ok(true) => Ok(()),
                    Ok(false) | Err(_) => Err(Ended::Replaced),
                }
            }
            Outcome::Forgotten => {
                let start = self.standing.confirmed().details.start;
                info!(
                    path = displayed(&self.path),
                    start, "redis has forgotten the source: sending it again"
                );
                let first = self.first_record(start).await.map_err(|_| Ended::Replaced)?;
                let (publisher, standing) = (Arc::clone(&self.context.publisher), Arc::clone(&self.standing));
                let again = async move {
                    match publisher.register_again(&standing, first).await {
                        Outcome::Stored => Outcome::Elsewhere(standing.confirmed()),
                        other => other,
                    }
                };
                course.sending = Some(again.boxed());
                Ok(())
            }
        }
    }

    /// The record of this source before its first line.
    async fn first_record(&self, start: u64) -> io::Result<Record> {
        let reader = self.reader.clone();
        let around = off_the_runtime(move || Surroundings::read(&reader, start));
        let identity = around.await?.identity(&self.reader);
        let last = self.standing.confirmed().details;
        let details = Details { next_line: 0, identity, state: SourceState::Active, ..last };
        Ok(Record { token: Token::random(), position: start, details })
    }

    /// Takes up the file at the position of a record; false when its content is not
    /// what the record says.
    pub(super) async fn go_to(&mut self, record: Record) -> io::Result<bool> {
        let (position, next_line) = (record.position, record.details.next_line);
        let Some(around) = Surroundings::of(self.reader.clone(), record).await? else { return Ok(false) };
        self.framer.seek(position, &around.head);
        self.is_dry = true;
        self.trail = Trail::new(position, around.head, around.before);
        self.group = Group::new(self.context.publisher.options(), &self.message, position, next_line);
        self.next_block_bytes = FIRST_BLOCK_BYTES;
        self.control.has_read(self.trail.read());
        Ok(true)
    }
}
