//! One file, from where Redis has it to its end, for as long as it is of interest.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Input,
    control::{Control, Fate},
    course::{Course, Ended, Goal, Reading, Sending, when_ready},
    identity::Surroundings,
    lane::Turn,
    lines::Lines,
    reader::{Block, MAX_BLOCK_BYTES, Reader, off_the_runtime},
    trail::Trail,
};
use crate::{
    proto,
    publish::{Group, Outcome, Publisher, Standing},
    record::{Details, Identity, Record, SourceState, Token},
};

/// The first block after a pause: most files grow by little.
const FIRST_BLOCK_BYTES: usize = 16 * 1024;

/// What a source needs besides its file.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) publisher: Publisher,
    /// How long a file that is gone from its place is kept open after its last line.
    pub(super) linger: Duration,
    pub(super) stop: CancellationToken,
}

/// A file that is being followed.
#[derive(Debug)]
pub(super) struct Source {
    context: Context,
    path: PathBuf,
    reader: Reader,
    standing: Arc<Standing>,
    control: Arc<Control>,
    message: proto::Source,
    lines: Lines,
    trail: Trail,
    group: Group,
    next_block_bytes: usize,
    /// When the file grew, or an append was confirmed, the last time.
    active_at: Instant,
}

impl Source {
    /// A source that goes on where `standing` has it; none when the file is not that
    /// source (any more).
    pub(super) async fn open(
        context: Context,
        path: PathBuf,
        reader: Reader,
        standing: Arc<Standing>,
        control: Arc<Control>,
        input: &Input,
    ) -> io::Result<Option<Self>> {
        let record = standing.confirmed();
        let message = proto::Source {
            key: standing.key().to_string(),
            host: standing.key().host().to_owned(),
            path: record.details.path.clone(),
            labels: input.labels_of(Path::new(&record.details.path)),
        };
        let mut source = Self {
            lines: Lines::new(record.position, input.lines.max_line_bytes),
            trail: Trail::new(record.position, Vec::new(), Vec::new()),
            group: Group::new(
                context.publisher.options(),
                &message,
                record.position,
                record.details.next_line,
            ),
            context,
            path,
            reader,
            standing,
            control,
            message,
            next_block_bytes: FIRST_BLOCK_BYTES,
            active_at: Instant::now(),
        };
        Ok(source.go_to(record).await?.then_some(source))
    }

    /// Follows the file until it ends for one of the reasons of [`Ended`]; begins when
    /// its turn comes.
    pub(super) async fn run(mut self, turn: Turn) -> Ended {
        tokio::select! {
            // First: those before this one stop too, and so give up their places undrained.
            biased;
            () = self.context.stop.cancelled() => return Ended::Stopped,
            () = turn.comes() => {}
        }
        let ended = self.follow(&turn).await;
        if ended == Ended::Replaced {
            turn.keep();
        }
        ended
    }

    async fn follow(&mut self, turn: &Turn) -> Ended {
        let control = Arc::clone(&self.control);
        let stop = self.context.stop.clone();
        let mut fates = control.fate();
        let mut course = Course::new(*fates.borrow_and_update());
        loop {
            if let Some(ended) = self.advance(&mut course, turn) {
                return ended;
            }
            let lingers_until = self.active_at.max(course.moved_at) + self.context.linger;
            let happened = tokio::select! {
                outcome = when_ready(&mut course.sending) => self.sent(&mut course, outcome).await,
                challenge = self.standing.challenged(), if course.sending.is_none() => {
                    let outcome = challenge.stored.map_or(Outcome::Forgotten, Outcome::Elsewhere);
                    self.settle_conflict(&mut course, outcome).await
                }
                (room, block) = when_ready(&mut course.reading) => {
                    self.take_block(&mut course, room, block);
                    Ok(())
                }
                () = control.woken(), if course.at_end => {
                    course.at_end = false;
                    Ok(())
                }
                _ = fates.changed() => {
                    course.fate = *fates.borrow_and_update();
                    course.moved_at = Instant::now();
                    course.at_end = false;
                    Ok(())
                }
                () = sleep_until(lingers_until), if course.lingers() => {
                    self.close(&mut course);
                    Ok(())
                }
                () = stop.cancelled(), if course.goal != Goal::End(Ended::Stopped) => {
                    course.reading = None;
                    course.goal = Goal::End(Ended::Stopped);
                    Ok(())
                }
            };
            if let Err(ended) = happened {
                return ended;
            }
        }
    }

    /// Does what can be done now without waiting; says when there is no more to do.
    fn advance(&mut self, course: &mut Course, turn: &Turn) -> Option<Ended> {
        self.cut_lines();
        if course.sending.is_none() {
            course.sending = self.send();
            // The next block comes only when all lines of this one are taken.
            self.cut_lines();
        }
        if course.sending.is_none() && course.reading.is_none() {
            match course.goal {
                Goal::Follow => {}
                Goal::End(ended) => return Some(ended),
                Goal::MarkGone => course.sending = Some(self.mark_gone()),
            }
        }
        if course.is_quiet() {
            self.rest();
            turn.is_drained(course.fate != Fate::InPlace);
        }
        if course.goal == Goal::Follow && course.reading.is_none() && !course.at_end && !self.group.is_full()
        {
            course.reading = Some(self.read());
        }
        None
    }

    /// An append has ended.
    async fn sent(&mut self, course: &mut Course, outcome: Outcome) -> Result<(), Ended> {
        course.sending = None;
        self.active_at = Instant::now();
        match (outcome, course.goal) {
            (Outcome::Stored, Goal::MarkGone)
                if self.standing.confirmed().details.state == SourceState::Gone =>
            {
                Err(Ended::Drained)
            }
            (Outcome::Stored, _) => Ok(()),
            (conflict, _) => self.settle_conflict(course, conflict).await,
        }
    }

    fn cut_lines(&mut self) {
        while !self.group.is_full()
            && let Some(line) = self.lines.next_line()
        {
            self.group.push(line.content, line.truncated_bytes);
        }
        self.group.release_if_empty();
    }

    /// The time of a file that is gone from its place is over, when one more look finds no
    /// more in it. It will not end its last line any more.
    fn close(&mut self, course: &mut Course) {
        if !course.is_last_look {
            (course.is_last_look, course.at_end) = (true, false);
            return;
        }
        course.goal = Goal::MarkGone;
        if let Some(line) = self.lines.finish() {
            self.group.push(line.content, line.truncated_bytes);
        }
    }

    /// Appends what the group holds: at once when nothing is in flight, so that a
    /// quiet file has no added delay and a busy one has large batches.
    fn send(&mut self) -> Option<Sending> {
        let position = self.lines.position();
        let (batch, room) = self.group.seal(position)?;
        let (head, tail) = self.trail.prints(position);
        let last = self.standing.confirmed().details;
        let identity = Identity { device: self.reader.device, inode: self.reader.inode, head, tail };
        let size = Some(self.reader.size());
        let details =
            Details { next_line: batch.next_line, identity, state: SourceState::Active, size, ..last };
        let record = Record { token: Token::random(), position, details };
        let (publisher, standing) = (self.context.publisher.clone(), Arc::clone(&self.standing));
        let append = async move {
            let outcome = publisher.append(&standing, record, Some(batch)).await;
            drop(room);
            outcome
        };
        Some(append.boxed())
    }

    fn mark_gone(&self) -> Sending {
        let (publisher, standing) = (self.context.publisher.clone(), Arc::clone(&self.standing));
        async move {
            let last = standing.confirmed();
            let details = Details { state: SourceState::Gone, ..last.details };
            let record = Record { token: Token::random(), position: last.position, details };
            publisher.append(&standing, record, None).await
        }
        .boxed()
    }

    fn read(&mut self) -> Reading {
        let publisher = self.context.publisher.clone();
        let (position, before) = (self.trail.read_position(), self.trail.recent());
        let (reader, most) = (self.reader.clone(), self.next_block_bytes);
        async move {
            let room = publisher.room(most).await;
            (room, reader.block(position, before, most).await)
        }
        .boxed()
    }

    fn take_block(
        &mut self,
        course: &mut Course,
        room: Option<OwnedSemaphorePermit>,
        block: io::Result<Block>,
    ) {
        course.reading = None;
        match block {
            Ok(Block::Bytes(bytes)) => {
                if bytes.len() == self.next_block_bytes {
                    self.next_block_bytes = (self.next_block_bytes * 4).min(MAX_BLOCK_BYTES);
                }
                self.lines.extend(&bytes);
                self.trail.push(bytes, self.lines.position());
                if let Some(room) = room {
                    self.group.pay(room);
                }
                self.active_at = Instant::now();
                course.is_last_look = false;
                self.control.has_read(self.trail.read());
            }
            Ok(Block::End) => course.at_end = true,
            Ok(Block::Replaced) if course.goal == Goal::Follow => course.goal = Goal::End(Ended::Replaced),
            Ok(Block::Replaced) => {}
            Err(error) => {
                warn!(path = %self.path.display(), %error, "cannot read: trying again when the file changes");
                course.at_end = true;
            }
        }
    }

    /// At the end of the file, with everything confirmed: gives back what idle files
    /// need not hold.
    fn rest(&mut self) {
        self.next_block_bytes = FIRST_BLOCK_BYTES;
        self.trail.settle(self.lines.position());
        self.lines.shrink();
    }

    /// Goes where Redis has the source.
    async fn settle_conflict(&mut self, course: &mut Course, outcome: Outcome) -> Result<(), Ended> {
        let path = self.path.display();
        (course.reading, course.at_end) = (None, false);
        if course.goal == Goal::MarkGone {
            (course.goal, course.is_last_look) = (Goal::Follow, false);
        }
        match outcome {
            Outcome::Stored => Ok(()),
            Outcome::Elsewhere(record) => {
                let (from, to) = (self.standing.confirmed().position, record.position);
                info!(%path, from, to, "redis has the source elsewhere: going on from there");
                self.standing.confirm(record.clone());
                match self.go_to(record).await {
                    Ok(true) => Ok(()),
                    Ok(false) | Err(_) => Err(Ended::Replaced),
                }
            }
            Outcome::Forgotten => {
                let start = self.standing.confirmed().details.start;
                info!(%path, start, "redis has forgotten the source: sending it again");
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
        let identity = around.await?.identity(self.reader.device, self.reader.inode);
        let last = self.standing.confirmed().details;
        let details = Details { next_line: 0, identity, state: SourceState::Active, ..last };
        Ok(Record { token: Token::random(), position: start, details })
    }

    /// Takes up the file at the position of a record; false when its content is not
    /// what the record says.
    async fn go_to(&mut self, record: Record) -> io::Result<bool> {
        let (position, next_line) = (record.position, record.details.next_line);
        let Some(around) = self.reader.clone().surroundings(record).await? else { return Ok(false) };
        self.lines.seek(position);
        self.trail = Trail::new(position, around.head, around.before);
        self.group = Group::new(self.context.publisher.options(), &self.message, position, next_line);
        self.next_block_bytes = FIRST_BLOCK_BYTES;
        self.control.has_read(self.trail.read());
        Ok(true)
    }
}
