//! What can happen to log files, to the tailer and to Redis, and a plan of it: values that
//! are printed as JSON and read back.

use serde::{Deserialize, Serialize};

pub(crate) const LOGS: usize = 2;

/// A sequence: its surroundings and what happens. What a pasted plan leaves out is as in the
/// simplest one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Plan {
    /// Whether rotated files match the glob too.
    pub(crate) inside: bool,
    pub(crate) style: Style,
    /// Every file begins with the same kilobyte.
    pub(crate) has_banner: bool,
    /// The writers keep their offset when their file is emptied, which leaves a hole.
    pub(crate) keeps_offset: bool,
    /// What is a line elsewhere is a group of lines, which are joined.
    pub(crate) has_groups: bool,
    pub(crate) linger_ms: u64,
    /// Room for lines that are read and not appended: a small one makes sources wait.
    pub(crate) budget_bytes: u32,
    /// After how long a quiet file has no task.
    pub(crate) rest_after_ms: u64,
    /// How many files may be open. With few of them, those that linger keep others waiting.
    pub(crate) max_open_files: usize,
    pub(crate) actions: Vec<Action>,
}

/// Where a rotation puts the old file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Style {
    /// Beside the new one: `app.log.1`.
    #[default]
    Beside,
    /// Into another folder: `old/app.log.1`.
    Folder,
    /// Nowhere: the log is a link, which then leads to a new file: `runs/app.log.100002`.
    Link,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Whole lines, padded to about so many bytes.
    Append {
        log: usize,
        lines: u32,
        bytes: usize,
    },
    /// The beginning of a line; what is written next to the file ends it.
    Partial {
        log: usize,
    },
    /// The file is rotated, those rotated before move up; the new one is there at once or
    /// with its first line.
    Rotate {
        log: usize,
        create: bool,
    },
    /// So many rotations in a row, each of a file of so many lines.
    Rotations {
        log: usize,
        count: u32,
        lines: u32,
    },
    /// The writer has not noticed the rotation yet.
    LateAppend {
        log: usize,
        lines: u32,
    },
    /// Copied and emptied, with so many lines written in between.
    CopyTruncate {
        log: usize,
        between: u32,
    },
    /// Of the rotated files, the newest but for `age` is compressed, and then deleted.
    Gzip {
        log: usize,
        age: usize,
        takes_ms: u64,
    },
    /// Deleted when everything in it has arrived.
    DeleteDrained {
        log: usize,
    },
    /// The same, and made anew at once, most often with the same inode.
    Recreate {
        log: usize,
        lines: u32,
    },
    /// Deleted while the tailer has it open, with lines that it has not read.
    DeleteHeld {
        log: usize,
        lines: u32,
    },
    /// The oldest rotated file is deleted when everything in it has arrived.
    DeleteOldest {
        log: usize,
    },
    /// The file gets a second name in the glob.
    HardLink {
        log: usize,
    },
    /// The second name is removed when everything in that file has arrived.
    Unlink {
        log: usize,
    },
    /// The task is dropped, the process killed, at whatever it waits for then.
    Kill {
        after_us: u64,
    },
    Stop,
    Start,
    /// What is followed becomes another glob for the same files.
    Replace,
    RedisKill {
        away_ms: u64,
    },
    RedisPause {
        pause_ms: u64,
    },
    /// Waits until everything has arrived.
    Sync,
    Pause {
        ms: u64,
    },
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            inside: false,
            style: Style::Beside,
            has_banner: false,
            keeps_offset: false,
            has_groups: false,
            linger_ms: 60_000,
            budget_bytes: 64 << 20,
            rest_after_ms: 10_000,
            max_open_files: 4096,
            actions: Vec::new(),
        }
    }
}

impl Plan {
    /// As one line, to be pasted into `LOGRELAY_MODEL_PLAN` or a test.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap()
    }

    /// Reads what [`text`](Self::text) has written.
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}
