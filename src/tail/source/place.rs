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
        identity::Surroundings,
        lineage::displayed,
        reader::{FIRST_BLOCK_BYTES, off_the_runtime},
        trail::Trail,
    },
};

impl Source {
    /// Goes where Redis has the source.
    pub(super) async fn settle_conflict(
        &mut self,
        course: &mut Course,
        outcome: Outcome,
    ) -> Result<(), Ended> {
        (course.reading, course.waiting, course.at_end) = (None, None, false);
        course.ahead.clear();
        if course.goal == Goal::MarkGone {
            (course.goal, course.is_last_look) = (Goal::Follow, false);
        }
        match outcome {
            Outcome::Stored => Ok(()),
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
                let (publisher, standing) = (self.context.publisher.clone(), Arc::clone(&self.standing));
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
        let Some(around) = self.reader.clone().surroundings(record).await? else { return Ok(false) };
        self.framer.seek(position, &around.head);
        self.is_dry = true;
        self.trail = Trail::new(position, around.head, around.before);
        self.group = Group::new(self.context.publisher.options(), &self.message, position, next_line);
        self.next_block_bytes = FIRST_BLOCK_BYTES;
        self.control.has_read(self.trail.read());
        Ok(true)
    }
}
