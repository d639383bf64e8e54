//! Fair turns where more files are followed than may be open.
//!
//! A file that is quiet is closed when others wait; when there is none, those give way
//! that were read for longest, after what was read of them is appended. What is away and was
//! drained is kept open as a courtesy only, and gives way too. What is renamed or deleted and
//! not drained stays open: there is no other way to it.

use std::{io, sync::Arc, time::Duration};

use rustix::io::Errno;
use tokio::time::Instant;
use tracing::warn;

use super::{
    Fleet, LeftOut,
    bench::{Closed, leave_place},
    member::{Leave, Member},
};
use crate::{
    record::Record,
    tail::{
        control::{Control, Fate, Read},
        discover::{FileId, Found, id_of},
        launch::Live,
        packed::Shelf,
        reader::{Reader, off_the_runtime},
    },
};

/// How long a file is read before it gives way to others that wait.
const SLICE: Duration = Duration::from_secs(1);
/// The same, where nothing of it could be appended meanwhile.
const LONG_SLICE: Duration = Duration::from_secs(10);
/// Shortest between two rounds in which files are asked to give way: a round looks at all.
const ROUND: Duration = Duration::from_millis(100);

/// Who has to give way first: the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It will have to when it was read for longer.
    NotYet,
    IsRead,
    /// It is away, and kept open in case that Redis forgets.
    Lingers,
    /// It has nothing to do.
    Idle,
}

/// As what a member gives way, and how long it has been that; none: it cannot.
fn rank(member: &Member) -> Option<(Rank, Duration)> {
    if let Some(lingers) = member.lingers_for() {
        // Its writer may still have it open, and nobody will look into it again.
        let is_short = lingers < SLICE && member.live.reader.is_deleted();
        return Some((if is_short { Rank::NotYet } else { Rank::Lingers }, lingers));
    }
    let running = member.running_for()?;
    let slice = if member.has_progressed() { SLICE } else { LONG_SLICE };
    Some(match running >= slice {
        _ if member.is_idle() => (Rank::Idle, running),
        true => (Rank::IsRead, running),
        false => (Rank::NotYet, running),
    })
}

impl Fleet {
    /// How many more files may be opened.
    pub(super) fn room(&self) -> usize {
        let most = self.options.max_open_files.max(2) + self.beyond;
        most.saturating_sub(self.members.len() + self.bench.still_open())
    }

    /// Whether some wait until others give way.
    pub(super) fn is_crowded(&self) -> bool {
        self.bench.waiting() > 0 || !self.left_out.is_empty()
    }

    /// Opens files whose turn has come, and makes room for those that wait still.
    pub(in crate::tail) async fn take_turns(&mut self) {
        if !self.is_crowded() {
            return self.tried.clear();
        }
        let newcomers: usize = self.left_out.values().map(|left| left.newcomers.len().max(1)).sum();
        if self.turns_at <= Instant::now() {
            self.make_room(self.bench.waiting() + newcomers);
            self.turns_at = Instant::now() + ROUND;
        }
        // Files that nobody has looked into yet get their share, some at a time: to find out
        // what they are, folders are listed.
        let share = newcomers.min(self.options.max_open_files.div_ceil(4));
        let share = if self.beyond > 0 { 1 } else { share };
        let closed = if newcomers == 0 || self.beyond > 0 { self.room() } else { self.room() / 2 };
        self.open_closed(closed).await;
        if newcomers > 0 && self.room() >= share {
            for (topic, LeftOut { mut newcomers, deserted }) in std::mem::take(&mut self.left_out) {
                // Some may have been found beside others.
                newcomers.retain(|it| !self.members.contains_key(&id_of(&it.found)));
                self.settle(&topic, newcomers, deserted).await;
            }
        }
    }

    /// Opens closed files whose turn has come, at most so many.
    async fn open_closed(&mut self, most: usize) {
        let next = self.bench.next(most, |closed| closed.comes(&self.lanes));
        if next.is_empty() {
            return;
        }
        let packs = Arc::clone(&self.shelf);
        let opened = off_the_runtime(move || {
            Ok(next.into_iter().map(|found| (id_of(&found), open(&found, &packs))).collect::<Vec<_>>())
        });
        for (id, reader) in opened.await.unwrap_or_default() {
            let Some(closed) = self.bench.remove(id) else { continue };
            let error = match reader {
                Ok(reader) => {
                    self.reopen(closed, reader);
                    continue;
                }
                Err(error) => error,
            };
            // Its turn comes when something else is closed.
            if Errno::from_io_error(&error).is_some_and(|errno| [Errno::MFILE, Errno::NFILE].contains(&errno))
            {
                self.bench.add(closed);
                continue;
            }
            // The next look finds out what has become of it.
            let unsettled = self.unsettled.entry(closed.standing.topic().clone()).or_default();
            unsettled.insert(closed.path.clone());
            self.is_waiting = true;
            if let Some(turn) = &closed.turn {
                turn.keep();
            }
            self.bench.add(Closed { waits: false, turn: None, ..closed });
        }
    }

    fn reopen(&mut self, closed: Closed, reader: Reader) {
        let Closed { path, found, standing, input, turn, .. } = closed;
        let fate = super::fate_of(&found, &path);
        // What is at its path again is the newest of it.
        let turn = turn.filter(|_| fate != Fate::InPlace);
        let control = turn.as_ref().map(|turn| Arc::clone(turn.control()));
        let control = control.unwrap_or_else(|| Arc::new(Control::new(fate)));
        control.meets(fate);
        // Until it is read: what it has to be, for those who look for copies of it meanwhile.
        let Record { position, details, .. } = standing.confirmed();
        control.has_read(Read { position, print: details.identity.tail });
        let Found { path: place, modified, .. } = found;
        let live = Live { path, place, modified, reader, control, standing };
        let turn = turn.unwrap_or_else(|| {
            let lane = self.lanes.entry(live.path.clone()).or_default();
            Arc::new(lane.join(&live.control, &live.standing))
        });
        let member = Member::reopen(live, turn, input, &self.context, &mut self.tasks);
        self.places.insert(member.live.place.clone(), member.id());
        self.members.insert(member.id(), member);
    }

    /// Closes so many files, or asks them to give way, as far as that is possible now.
    fn make_room(&mut self, wanted: usize) {
        let leaving = self.members.values().filter(|member| member.gives_way()).count();
        let mut missing = wanted.saturating_sub(self.room() + leaving);
        let quiet: Vec<FileId> =
            self.members.iter().filter(|(_, it)| it.is_closable()).map(|(id, _)| *id).collect();
        for id in quiet.into_iter().take(missing) {
            missing -= 1;
            self.close(id);
        }
        let mut longest: Vec<(Rank, Duration, FileId)> = Vec::new();
        for (id, member) in self.members.iter().filter(|_| missing > 0) {
            longest.extend(rank(member).map(|(rank, since)| (rank, since, *id)));
        }
        let nobody = wanted > self.room() + leaving && missing > 0 && longest.is_empty();
        longest.retain(|(rank, ..)| *rank != Rank::NotYet);
        longest.sort_unstable_by(|one, two| two.cmp(one));
        for (rank, _, id) in longest.into_iter().take(missing) {
            let Some(member) = self.members.get_mut(&id) else { continue };
            if rank == Rank::Lingers {
                member.lingers_no_more(self.context.linger);
            } else {
                member.leave(Leave::GiveWay, &self.context, &mut self.tasks);
            }
        }
        self.exceed(nobody && leaving == 0 && self.room() == 0);
    }

    /// Opens one file more where nobody gives way and nothing was appended for long: those
    /// that are open may wait for one that is not.
    fn exceed(&mut self, is_stuck: bool) {
        let most = self.options.max_open_files.max(2);
        self.beyond = self.beyond.min(self.members.len().saturating_sub(most));
        let positions =
            self.members.values().fold(0_u64, |sum, it| sum.wrapping_add(it.live.standing.position()));
        match self.stuck {
            _ if !is_stuck => self.stuck = None,
            Some((since, then)) if then == positions => {
                if since.elapsed() >= LONG_SLICE {
                    self.beyond += 1;
                    self.stuck = None;
                    let max_open_files = self.options.max_open_files;
                    let problem = "none of the open files can give way: more than max_open_files are opened";
                    if self.said.insert(problem.to_owned()) {
                        warn!(max_open_files, "{problem}");
                    }
                }
            }
            _ => self.stuck = Some((Instant::now(), positions)),
        }
    }

    /// Closes a file that no task reads.
    pub(super) fn close(&mut self, id: FileId) {
        let Some(member) = self.members.remove(&id) else { return };
        let waits = !member.is_finished() || member.live.standing.is_challenged();
        let away_since = member.away_since();
        let Member { live, input, turn, .. } = member;
        if away_since.is_none() {
            self.places.insert(live.place.clone(), id);
        } else {
            leave_place(&mut self.places, &live.place, id);
        }
        let read = live.control.read().position;
        let (device, inode) = id;
        let found = Found { path: live.place, device, inode, len: read, modified: live.modified };
        let Live { path, standing, reader, control, .. } = live;
        let turn = (control.fate() != Fate::InPlace).then_some(turn);
        if let Some(turn) = &turn {
            // Its task may have ended before it heard that the file was moved.
            turn.is_drained(!waits);
        }
        self.bench.let_go(reader);
        self.bench.add(Closed { path, found, read, standing, input, waits, away_since, turn });
    }
}

/// Opens a file where it was found. Blocks.
fn open(found: &Found, shelf: &Shelf) -> io::Result<Reader> {
    let reader =
        if found.is_packed() { Reader::open_packed(found, shelf)? } else { Reader::open(&found.path)? };
    if (reader.device, reader.inode) == id_of(found) {
        Ok(reader)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}
