//! How the lines of a block come into the group: no faster than the limits of its input.

use futures_util::FutureExt as _;
use tracing::warn;

use super::Source;
use crate::tail::{
    control::Fate,
    course::{Course, Ended, Goal},
    discover::displayed,
    limits::{Grant, Limiter},
};

impl Source {
    /// Takes the lines that there are, and as many as there may be; else begins to wait for
    /// a grant.
    pub(super) fn cut_lines(&mut self, course: &mut Course) {
        while !self.is_dry && !self.group.is_full() && course.waiting.is_none() {
            match self.limiter.try_grant() {
                Some(grant) => self.take_lines(grant),
                // They are read again by the next run.
                None if course.goal == Goal::End(Ended::Stopped) => self.is_dry = true,
                None => course.waiting = Some(self.limiter.clone().grant().boxed()),
            }
        }
        self.group.release_if_empty();
    }

    /// Takes lines while it is granted.
    pub(super) fn take_lines(&mut self, mut grant: Grant) {
        let mut may_go_on = true;
        // A batch ends only where a position does.
        while (may_go_on && !self.group.is_full()) || self.framer.is_within_unit() {
            let Some(line) = self.framer.next_line() else {
                self.is_dry = true;
                break;
            };
            may_go_on = grant.took_line(line.content.len() + 1);
            self.group.push(&line);
        }
        if let Some(position) = self.framer.take_malformed() {
            let path = displayed(&self.path);
            warn!(
                path,
                position, "a line is not of the format of its input: such lines are published as they are"
            );
        }
    }

    /// Ends as soon as what was taken is appended. What was only read is read again by the
    /// next run; where the file may be gone by then, it is taken now.
    pub(super) fn stop(&mut self, course: &mut Course) {
        (course.reading, course.waiting) = (None, None);
        if course.goal != Goal::Follow || course.fate == Fate::Away {
            self.limiter = Limiter::default();
        }
        course.goal = Goal::End(Ended::Stopped);
    }

    /// Size of the next block in bytes: small where it may take long until its lines are
    /// taken.
    pub(super) fn block_bytes(&self) -> usize {
        self.next_block_bytes.min(self.limiter.max_block_bytes())
    }
}
