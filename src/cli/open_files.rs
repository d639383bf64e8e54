//! The system's limit of open files: raised as far as it goes, and what we open fitted in.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Files that a process has open besides those that a setting counts: connections to Redis,
/// what is looked at for a moment, the runtime's own.
const OTHER_FILES: u64 = 128;
/// The fewest of them: without these nothing works, however low the limit is.
const LEAST_OTHER_FILES: u64 = 36;

/// How many files may be open; none: as many as one likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room(Option<u64>);

/// Raises the limit of this process to the highest that it may set itself.
pub(super) fn raise() -> Room {
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum {
        return Room(before.current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before }) {
        Ok(()) => Room(before.maximum),
        Err(error) => {
            warn!(limit = before.current, %error, "the limit of open files cannot be raised");
            Room(before.current)
        }
    }
}

impl Room {
    /// For two parts of one process: each has a half.
    pub(super) fn half(self) -> Self {
        Self(self.0.map(|limit| limit / 2))
    }

    /// As many files as a setting wants; fewer where they do not fit, which is said.
    pub(super) fn fit(self, setting: &str, wanted: usize) -> usize {
        let fits = self.fitting(wanted);
        if fits < wanted {
            let limit = self.0;
            warn!(limit, wanted, fits, "{setting} does not fit into the limit of open files (ulimit -n)");
        }
        fits
    }

    fn fitting(self, wanted: usize) -> usize {
        let Some(limit) = self.0 else { return wanted };
        let most = limit.saturating_sub(OTHER_FILES.min(limit / 2).max(LEAST_OTHER_FILES)).max(1);
        wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_down_and_leaves_room_for_the_rest() {
        assert_eq!(Room(None).fitting(4096), 4096);
        assert_eq!(Room(Some(1_048_576)).fitting(4096), 4096);
        assert_eq!(Room(Some(1024)).fitting(4096), 896);
        assert_eq!(Room(Some(1024)).half().fitting(4096), 384);
        assert_eq!(Room(Some(100)).fitting(4096), 50);
        assert_eq!(Room(Some(40)).fitting(4096), 4);
        assert_eq!(Room(Some(0)).fitting(4096), 1);
    }
}
