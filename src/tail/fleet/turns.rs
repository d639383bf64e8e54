//! Fair turns where more files are followed than may be open.
//!
//! A file that is quiet is closed when others wait; when there is none, those give way
//! that were read for longest, after what was read of them is appended. What was renamed
//! and not drained, or is gone from disk, stays open: there is no other way to it.

use std::{io, path::Path, time::Duration};

use rustix::io::Errno;
use tokio::time::Instant;

use super::{
    Fleet, LeftOut,
    bench::Closed,
    member::{Leave, Member},
};
use crate::tail::{
    control::Control,
    discover::Found,
    launch::Live,
    lineage::{FileId, id_of},
    reader::{Reader, off_the_runtime},
};

/// How long a file is read before it gives way to others that wait.
const SLICE: Duration = Duration::from_secs(1);
/// The same, where nothing of it could be appended meanwhile.
const LONG_SLICE: Duration = Duration::from_secs(10);
/// Shortest between two rounds in which files are asked to give way: a round looks at all.
const ROUND: Duration = Duration::from_millis(100);

impl Fleet {
    /// How many more files may be opened.
    pub(super) fn room(&self) -> usize {
        self.options.max_open_files.max(2).saturating_sub(self.members.len())
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
        let closed = if newcomers == 0 { self.room() } else { self.room() / 2 };
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
        let lanes = &self.lanes;
        let is_time = |closed: &Closed| lanes.get(&closed.path).is_none_or(|lane| lane.is_drained());
        let next = self.bench.next(most, is_time);
        if next.is_empty() {
            return;
        }
        let opened = off_the_runtime(move || {
            Ok(next.into_iter().map(|(id, path)| (id, open(id, &path))).collect::<Vec<_>>())
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
            self.bench.add(Closed { waits: false, ..closed });
        }
    }

    fn reopen(&mut self, closed: Closed, reader: Reader) {
        let Closed { path, found, standing, input, .. } = closed;
        let control = Control::new(super::fate_of(&found, &path));
        let Found { path: place, modified, .. } = found;
        let live = Live { path, place, modified, reader, control: control.into(), standing };
        let turn = self.lanes.entry(live.path.clone()).or_default().join(&live.control);
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
        let mut longest: Vec<(Duration, FileId)> = Vec::new();
        for (id, member) in self.members.iter().filter(|_| missing > 0) {
            let slice = if member.has_progressed() { SLICE } else { LONG_SLICE };
            match member.running_for() {
                // One that has nothing to do goes before all others.
                Some(_) if member.is_idle() => longest.push((Duration::MAX, *id)),
                Some(running) if running >= slice => longest.push((running, *id)),
                Some(_) | None => {}
            }
        }
        longest.sort_unstable_by(|one, two| two.cmp(one));
        for (_, id) in longest.into_iter().take(missing) {
            if let Some(member) = self.members.get_mut(&id) {
                member.leave(Leave::GiveWay, &self.context, &mut self.tasks);
            }
        }
    }

    /// Closes a file that no task reads.
    pub(super) fn close(&mut self, id: FileId) {
        let Some(member) = self.members.remove(&id) else { return };
        let waits = !member.is_finished();
        let Member { live, input, .. } = member;
        self.places.insert(live.place.clone(), id);
        let read = live.control.read().position;
        let (device, inode) = id;
        let found = Found { path: live.place, device, inode, len: read, modified: live.modified };
        let Live { path, standing, .. } = live;
        self.bench.add(Closed { path, found, read, standing, input, waits, away_since: None });
    }
}

/// Opens the file that a path led to. Blocks.
fn open(id: FileId, path: &Path) -> io::Result<Reader> {
    let reader = Reader::open(path)?;
    if (reader.device, reader.inode) == id { Ok(reader) } else { Err(io::ErrorKind::NotFound.into()) }
}
