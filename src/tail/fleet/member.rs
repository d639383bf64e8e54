//! A file that is held open: read by a task of its own, or quiet without one.

use std::{panic::AssertUnwindSafe, path::Path, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{task::JoinSet, time::Instant};
use tracing::error;

use crate::tail::{
    Input,
    control::Fate,
    course::Ended,
    discover::FileId,
    lane::Turn,
    launch::Live,
    source::{Context, Source},
};

/// The tasks of all sources.
pub(super) type Tasks = JoinSet<(FileId, Ended)>;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) live: Live,
    pub(super) input: Arc<Input>,
    /// Since when it has not been where files are followed.
    away_since: Option<Instant>,
    pub(super) turn: Arc<Turn>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A task reads it, since then and from this position.
    Running(Instant, u64),
    /// The task was asked to end, for this.
    Leaving(Leave),
    /// All of it is confirmed: nobody reads it until it changes.
    Quiet,
}

/// What becomes of a file when its task has ended.
#[derive(Debug)]
pub(super) enum Leave {
    /// It stays open without a task. `again`: it has changed meanwhile.
    Quiet { again: bool },
    /// Others wait: it is closed until its turn comes again.
    GiveWay,
    /// The same, and nothing leads to it: it is marked as gone when no more is in it.
    Drained,
    /// It goes on at once, as another input says.
    Reopen(Arc<Input>),
    /// Nobody wants it any more.
    LetGo,
}

/// What becomes of a file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Stays,
    Closes,
    Goes,
}

impl State {
    fn running(live: &Live) -> Self {
        Self::Running(Instant::now(), live.standing.position())
    }
}

impl Member {
    /// A file whose source runs from now on.
    pub(super) fn new(
        live: Live,
        source: Box<Source>,
        turn: Turn,
        input: Arc<Input>,
        tasks: &mut Tasks,
    ) -> Self {
        let (id, turn) = (id_of(&live), Arc::new(turn));
        let runs = Arc::clone(&turn);
        let place = live.place.clone();
        tasks.spawn(async move { (id, guarded(source.run(Arc::clone(&runs)), &runs, &place).await) });
        let state = State::running(&live);
        Self { live, input, away_since: None, turn, state }
    }

    /// The file is nowhere where files are followed; since when, if it was so before.
    pub(super) fn is_away(&mut self, since: Option<Instant>) {
        self.away_since = self.away_since.or(since).or_else(|| Some(Instant::now()));
    }

    /// The file is where files are followed.
    pub(super) fn is_there(&mut self) {
        self.away_since = None;
        if matches!(self.state, State::Leaving(Leave::Drained)) {
            self.state = State::running(&self.live);
        }
    }

    pub(super) fn away_since(&self) -> Option<Instant> {
        self.away_since
    }

    /// Says that the file may have changed.
    pub(super) fn wake(&mut self, context: &Context, tasks: &mut Tasks) {
        match &mut self.state {
            State::Quiet => return self.run(context, tasks),
            State::Leaving(Leave::Quiet { again }) => *again = true,
            State::Running(..) | State::Leaving(_) => {}
        }
        self.live.control.wake();
    }

    /// Asks its task to end, for this; what it was asked before does not count any more.
    pub(super) fn leave(&mut self, leave: Leave, context: &Context, tasks: &mut Tasks) {
        match leave {
            Leave::Reopen(input) if matches!(self.state, State::Quiet) => {
                self.input = input;
                self.run(context, tasks);
            }
            leave => {
                // A task has to be there, as its end is what is acted on.
                if matches!(self.state, State::Quiet) {
                    self.run(context, tasks);
                }
                self.live.control.leave();
                self.state = State::Leaving(leave);
            }
        }
    }

    /// Goes on as this input says, which says nothing new.
    pub(super) fn goes_on(&mut self, input: Arc<Input>) {
        if let State::Leaving(leave @ (Leave::LetGo | Leave::Reopen(_))) = &mut self.state {
            *leave = Leave::Reopen(Arc::clone(&input));
        }
        self.input = input;
    }

    /// Whether it ends because nobody wants it any more.
    pub(super) fn is_let_go(&self) -> bool {
        matches!(self.state, State::Leaving(Leave::LetGo))
    }

    /// Ends its task when all of it has been confirmed for so long.
    pub(super) fn rest_after(&mut self, quiet: Duration) {
        let control = &self.live.control;
        if matches!(self.state, State::Running(..))
            && control.fate() != Fate::Away
            && control.quiet_for().is_some_and(|so_far| so_far >= quiet)
        {
            control.leave();
            self.state = State::Leaving(Leave::Quiet { again: false });
        }
    }

    /// Whether Redis has it elsewhere, and no task is there to hear of it.
    pub(super) fn is_challenged(&self) -> bool {
        matches!(self.state, State::Quiet) && self.live.standing.is_challenged()
    }

    /// Its task has ended as it was told to.
    pub(super) fn after(&mut self, context: &Context, tasks: &mut Tasks) -> After {
        match std::mem::replace(&mut self.state, State::Quiet) {
            State::Leaving(Leave::Quiet { again }) => {
                if again || !self.is_finished() || self.live.standing.is_challenged() {
                    self.run(context, tasks);
                }
            }
            State::Leaving(Leave::Reopen(input)) => {
                self.input = input;
                self.run(context, tasks);
            }
            State::Leaving(Leave::GiveWay) if self.can_be_found_again() => return After::Closes,
            State::Leaving(Leave::GiveWay | Leave::Drained) => self.run(context, tasks),
            State::Leaving(Leave::LetGo) | State::Running(..) | State::Quiet => return After::Goes,
        }
        After::Stays
    }

    /// A file that was closed, and goes on from what is confirmed.
    pub(super) fn reopen(
        live: Live,
        turn: Arc<Turn>,
        input: Arc<Input>,
        context: &Context,
        tasks: &mut Tasks,
    ) -> Self {
        let mut member = Self { live, input, away_since: None, turn, state: State::Quiet };
        member.run(context, tasks);
        member
    }

    pub(super) fn id(&self) -> FileId {
        id_of(&self.live)
    }

    /// Whether all that was in it when it was read last is confirmed.
    pub(super) fn is_finished(&self) -> bool {
        self.live.control.quiet_for().is_some()
    }

    /// Whether it can be closed at once.
    pub(super) fn is_closable(&self) -> bool {
        matches!(self.state, State::Quiet) && self.live.control.fate() != Fate::Away
    }

    /// Whether its task has nothing to do, and it may be closed.
    pub(super) fn is_idle(&self) -> bool {
        self.live.control.fate() != Fate::Away && self.is_finished()
    }

    /// Whether it was asked to give way.
    pub(super) fn gives_way(&self) -> bool {
        match self.state {
            State::Leaving(Leave::GiveWay) => true,
            State::Leaving(Leave::Drained) => self.is_finished(),
            _ => false,
        }
    }

    /// Whether it may be closed and opened again. What was renamed and not drained may not:
    /// those behind it would begin meanwhile.
    fn can_be_found_again(&self) -> bool {
        match self.live.control.fate() {
            Fate::InPlace => true,
            Fate::Moved => self.is_finished(),
            Fate::Away => self.is_finished() && !self.live.reader.is_deleted(),
        }
    }

    /// For how long a file that is away has been kept open with nothing to do.
    pub(super) fn lingers_for(&self) -> Option<Duration> {
        let lingers = matches!(self.state, State::Running(..)) && self.live.control.fate() == Fate::Away;
        self.live.control.quiet_for().filter(|_| lingers)
    }

    /// Asks one that lingers to give way: it is closed, to be looked for again until its
    /// time is over; then, and where nothing leads to it, it is marked as gone.
    pub(super) fn lingers_no_more(&mut self, linger: Duration) {
        let is_over = self.away_since.is_some_and(|since| since.elapsed() >= linger);
        if is_over || self.live.reader.is_deleted() {
            self.live.control.close();
            self.state = State::Leaving(Leave::Drained);
        } else {
            self.live.control.leave();
            self.state = State::Leaving(Leave::GiveWay);
        }
    }

    /// How long it has been read; none where it may not be closed.
    pub(super) fn running_for(&self) -> Option<Duration> {
        match self.state {
            State::Running(since, _) if self.live.control.fate() == Fate::InPlace || self.is_idle() => {
                Some(since.elapsed())
            }
            _ => None,
        }
    }

    /// Whether something was appended since its task began.
    pub(super) fn has_progressed(&self) -> bool {
        matches!(self.state, State::Running(_, from) if self.live.standing.position() != from)
    }

    /// Goes on from what is confirmed, in a new task.
    fn run(&mut self, context: &Context, tasks: &mut Tasks) {
        self.state = State::running(&self.live);
        self.live.control.begin();
        let (id, context, turn) = (id_of(&self.live), context.clone(), Arc::clone(&self.turn));
        let (live, input) = (&self.live, Arc::clone(&self.input));
        let (place, reader) = (live.place.clone(), live.reader.clone());
        let (standing, control) = (Arc::clone(&live.standing), Arc::clone(&live.control));
        tasks.spawn(async move {
            let run = async {
                let source = Source::open(context, place.clone(), reader, standing, control, &input).await;
                if let Ok(Some(source)) = source {
                    return Box::new(source).run(Arc::clone(&turn)).await;
                }
                // The next look finds out what it is now.
                turn.keep();
                Ended::Replaced
            };
            (id, guarded(run, &turn, &place).await)
        });
    }
}

fn id_of(live: &Live) -> FileId {
    (live.reader.device, live.reader.inode)
}

/// Runs a task to its end. One that panics ends as if its file had been replaced: the next
/// look takes the file up again from what is confirmed, before those behind it.
async fn guarded(run: impl Future<Output = Ended>, turn: &Turn, place: &Path) -> Ended {
    // What it shares with others is behind locks that are taken also after a panic.
    AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
        error!(path = %place.display(), "the task of a file has panicked: the file is taken up again");
        turn.keep();
        Ended::Replaced
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::{
        control::Control,
        lane::{Lane, tests::standing},
    };

    #[tokio::test]
    async fn a_task_that_panics_ends_and_those_behind_it_wait_for_what_is_found() {
        let lane = Arc::new(Lane::default());
        let [first, second] = [Fate::Moved, Fate::InPlace].map(|fate| Arc::new(Control::new(fate)));
        let turn = lane.join(&first, &standing(0));
        let behind = lane.join(&second, &standing(0));
        let ended = guarded(async { panic!("a bug") }, &turn, Path::new("app.log.1")).await;
        assert_eq!(ended, Ended::Replaced);
        drop(turn);
        assert!(behind.comes().now_or_never().is_none(), "it has overtaken");
        lane.forget_replaced();
        assert_eq!(behind.comes().now_or_never(), Some(true));
    }
}
