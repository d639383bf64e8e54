//! One file, from where Redis has it to its end, for as long as it is of interest.

mod place;
mod sending;
mod taking;

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
use tracing::warn;

use self::sending::BATCHES_AHEAD;
use super::{
    Input,
    control::{Control, Fate, Word},
    course::{Course, Ended, Goal, Reading, when_ready},
    discover::displayed,
    framing::Framer,
    lane::{Order, Turn},
    limits::{Limiter, Limiters},
    reader::{Block, FIRST_BLOCK_BYTES, MAX_BLOCK_BYTES, Reader},
    trail::Trail,
};
use crate::{
    proto,
    publish::{Group, Outcome, Predecessor, Publisher, Standing},
    record::SourceState,
};

/// What a source needs besides its file.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) publisher: Arc<Publisher>,
    /// How long a file that is gone from its place is kept open after its last line.
    pub(super) linger: Duration,
    /// How fast lines are taken.
    pub(super) limiters: Limiters,
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
    framer: Framer,
    limiter: Limiter,
    /// No line can be taken before more is read, or more time has gone by.
    is_dry: bool,
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
            framer: Framer::new(&input.lines, record.position, &[]),
            limiter: context.limiters.of(input),
            is_dry: true,
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
    pub(super) async fn run(mut self, turn: Arc<Turn>) -> Ended {
        if !turn.comes().await {
            return Ended::Stopped;
        }
        let ended = self.follow(&turn).await;
        if ended == Ended::Replaced {
            turn.keep();
        }
        ended
    }

    async fn follow(&mut self, turn: &Turn) -> Ended {
        let control = Arc::clone(&self.control);
        let mut course = Course::new(control.fate());
        turn.is_drained(false);
        loop {
            let Order::Begins(before) = self.order(&course, turn) else {
                match self.wait_for(&mut course, turn).await {
                    Ok(()) => continue,
                    Err(ended) => return ended,
                }
            };
            if let Some(ended) = self.advance(&mut course, turn, before) {
                return ended;
            }
            let lingers_until = course.lingers_until(self.active_at, self.context.linger);
            let waits_until = self.framer.deadline().filter(|_| course.at_end && course.goal == Goal::Follow);
            let happened = tokio::select! {
                outcome = when_ready(&mut course.sending) => self.sent(&mut course, turn, outcome).await,
                challenge = self.standing.challenged(), if course.sending.is_none() => {
                    let outcome = challenge.stored.map_or(Outcome::Forgotten, Outcome::Elsewhere);
                    self.settle_conflict(&mut course, turn, outcome).await
                }
                (room, block) = when_ready(&mut course.reading) => {
                    self.take_block(&mut course, room, block);
                    Ok(())
                }
                grant = when_ready(&mut course.waiting) => {
                    course.waiting = None;
                    self.take_lines(grant);
                    Ok(())
                }
                () = control.woken(), if course.at_end => {
                    course.at_end = false;
                    Ok(())
                }
                word = control.told(), if course.goal != Goal::End(Ended::Stopped) => {
                    match word {
                        Word::Fate(fate) => course.moves(fate),
                        Word::Leave => self.stop(&mut course),
                        Word::Close => course.is_hurried = true,
                    }
                    Ok(())
                }
                () = sleep_until(waits_until.map_or(lingers_until, Instant::from_std)), if waits_until.is_some() => {
                    // There may be more in the file by now that nobody has told.
                    course.at_end = false;
                    Ok(())
                }
                () = sleep_until(lingers_until), if course.lingers() => {
                    self.close(&mut course);
                    Ok(())
                }
            };
            if let Err(ended) = happened {
                return ended;
            }
        }
    }

    /// Does what can be done now without waiting; says when there is no more to do.
    fn advance(&mut self, course: &mut Course, turn: &Turn, before: Option<Predecessor>) -> Option<Ended> {
        self.cut_lines(course);
        if course.sending.is_none() {
            let next = course.ahead.pop_front().or_else(|| self.seal());
            course.sending = next.map(|sealed| self.send(sealed, before));
            // The next block comes only when all lines of this one are taken.
            self.cut_lines(course);
        }
        while course.sending.is_some()
            && self.group.is_full()
            && course.ahead.len() < BATCHES_AHEAD
            && let Some(sealed) = self.seal()
        {
            course.ahead.push_back(sealed);
            self.cut_lines(course);
        }
        if course.sending.is_none() && course.reading.is_none() && course.waiting.is_none() {
            match course.goal {
                Goal::Follow => {}
                Goal::End(ended) => return Some(ended),
                Goal::MarkGone => course.sending = Some(self.mark_gone()),
            }
        }
        let is_quiet = course.is_quiet() && self.framer.deadline().is_none();
        self.control.is_quiet(is_quiet.then_some(self.active_at));
        if course.is_quiet() {
            self.rest();
        }
        turn.is_drained(is_quiet && course.fate != Fate::InPlace);
        let has_room = self.is_dry && !self.group.is_full();
        if course.goal == Goal::Follow && course.reading.is_none() && !course.at_end && has_room {
            course.reading = Some(self.read());
        }
        None
    }

    /// An append has ended.
    async fn sent(&mut self, course: &mut Course, turn: &Turn, outcome: Outcome) -> Result<(), Ended> {
        course.sending = None;
        self.active_at = Instant::now();
        match (outcome, course.goal) {
            (Outcome::Stored, Goal::MarkGone)
                if self.standing.confirmed().details.state == SourceState::Gone =>
            {
                Err(Ended::Drained)
            }
            (Outcome::Stored, _) => Ok(()),
            (conflict, _) => self.settle_conflict(course, turn, conflict).await,
        }
    }

    /// The time of a file that is gone from its place is over, when one more look finds no
    /// more in it. It will not end its last line any more.
    fn close(&mut self, course: &mut Course) {
        if !course.is_last_look {
            (course.is_last_look, course.at_end) = (true, false);
            return;
        }
        course.goal = Goal::MarkGone;
        self.framer.finish();
        self.is_dry = false;
    }

    fn read(&mut self) -> Reading {
        let publisher = Arc::clone(&self.context.publisher);
        let (position, before) = (self.trail.read_position(), self.trail.recent().into_owned());
        let (reader, most) = (self.reader.clone(), self.framer.most_bytes(self.block_bytes()));
        let is_in_hole = self.framer.is_in_hole();
        async move {
            let room = publisher.room(most).await;
            let block = if is_in_hole {
                reader.block_behind_hole(position, before, most).await
            } else {
                reader.block(position, before, most).await
            };
            (room, block)
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
                let line_ends = self.framer.possible_ends();
                self.framer.extend(&bytes, Instant::now().into_std());
                self.is_dry = false;
                self.trail.push(bytes, &line_ends);
                if let Some(room) = room {
                    self.group.pay(room);
                }
                self.active_at = Instant::now();
                course.is_last_look = false;
                self.control.has_read(self.trail.read());
            }
            Ok(Block::Hole(end)) => {
                self.trail.pass_hole(end, &self.framer.possible_ends());
                self.framer.pass_hole(end);
                self.control.has_read(self.trail.read());
            }
            Ok(Block::End) => self.reached_end(course),
            Ok(Block::Replaced) if course.goal == Goal::Follow => {
                // What was read may be nowhere else.
                self.framer.end_groups();
                self.is_dry = false;
                course.goal = Goal::End(Ended::Replaced);
            }
            Ok(Block::Replaced) => {}
            Err(error) => {
                warn!(path = displayed(&self.path), %error, "cannot read: trying again when the file changes");
                self.reached_end(course);
            }
        }
    }

    /// There is no more to read now: what has waited for more may have waited enough.
    fn reached_end(&mut self, course: &mut Course) {
        course.at_end = true;
        self.is_dry = self.framer.deadline().is_none();
        self.framer.expire(Instant::now().into_std());
    }

    /// At the end of the file, with everything confirmed: gives back what idle files
    /// need not hold.
    fn rest(&mut self) {
        self.next_block_bytes = FIRST_BLOCK_BYTES;
        self.trail.settle(&self.framer.possible_ends());
        self.framer.shrink();
    }
}
