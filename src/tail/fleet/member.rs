//! A file that is held open: read by a task of its own, or quiet without one.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use crate::tail::{
    Input,
    control::Fate,
    course::Ended,
    lane::Turn,
    launch::Live,
    lineage::FileId,
    source::{Context, Source},
};

/// The tasks of all sources.
pub(super) type Tasks = JoinSet<(FileId, Ended)>;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) live: Live,
    pub(super) input: Arc<Input>,
    turn: Arc<Turn>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A task reads it.
    Running,
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
    /// It goes on at once, as another input says.
    Reopen(Arc<Input>),
    /// Nobody wants it any more.
    LetGo,
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
        tasks.spawn(async move { (id, source.run(runs).await) });
        Self { live, input, turn, state: State::Running }
    }

    /// Says that the file may have changed.
    pub(super) fn wake(&mut self, context: &Context, tasks: &mut Tasks) {
        match &mut self.state {
            State::Quiet => return self.run(context, tasks),
            State::Leaving(Leave::Quiet { again }) => *again = true,
            State::Running | State::Leaving(_) => {}
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
        if matches!(self.state, State::Running)
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

    /// Its task has ended as it was told to; true when the file stays.
    pub(super) fn stays(&mut self, context: &Context, tasks: &mut Tasks) -> bool {
        match std::mem::replace(&mut self.state, State::Quiet) {
            State::Leaving(Leave::Quiet { again }) => {
                if again || self.live.control.quiet_for().is_none() {
                    self.run(context, tasks);
                }
            }
            State::Leaving(Leave::Reopen(input)) => {
                self.input = input;
                self.run(context, tasks);
            }
            State::Leaving(Leave::LetGo) | State::Running | State::Quiet => return false,
        }
        true
    }

    /// Goes on from what is confirmed, in a new task.
    fn run(&mut self, context: &Context, tasks: &mut Tasks) {
        self.state = State::Running;
        self.live.control.begin();
        let (id, context, turn) = (id_of(&self.live), context.clone(), Arc::clone(&self.turn));
        let (live, input) = (&self.live, Arc::clone(&self.input));
        let (place, reader) = (live.place.clone(), live.reader.clone());
        let (standing, control) = (Arc::clone(&live.standing), Arc::clone(&live.control));
        tasks.spawn(async move {
            let source = Source::open(context, place, reader, standing, control, &input).await;
            if let Ok(Some(source)) = source {
                return (id, Box::new(source).run(turn).await);
            }
            // The next look finds out what it is now.
            turn.keep();
            (id, Ended::Replaced)
        });
    }
}

fn id_of(live: &Live) -> FileId {
    (live.reader.device, live.reader.inode)
}
