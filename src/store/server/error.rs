//! Why there is no private server, told so that the user can help.

use std::{io, path::PathBuf};

use super::{super::error::Error, MAX_SOCKET_PATH_BYTES};

/// Why there is no private server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program is not installed.
    #[error(
        "no redis-server (or valkey-server) on the PATH: install one (Debian and Ubuntu: apt install \
         redis-server, macOS: brew install redis)"
    )]
    NotInstalled,
    /// Another process keeps its data there.
    #[error("data folder {} is in use{}: stop that one, or choose another folder", .dir.display(), by(*.pid))]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Who uses it, where that is known.
        pid: Option<i32>,
    },
    /// The path of the socket would not fit into the address of a unix socket.
    #[error(
        "data folder {} is too deep: its socket has a path of {bytes} bytes, and {max} are possible",
        .dir.display(), max = MAX_SOCKET_PATH_BYTES
    )]
    PathTooLong {
        /// The folder.
        dir: PathBuf,
        /// Length of the path of the socket.
        bytes: usize,
    },
    /// The system refused something.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it answered.
    #[error("{} ended at once ({how}){said}", .binary.display())]
    Ended {
        /// The program.
        binary: PathBuf,
        /// Its exit status.
        how: String,
        /// The last lines that it wrote, each after a line break.
        said: String,
    },
    /// It runs but does not answer.
    #[error("the private redis is not ready after {after_ms} ms: {why}{said}")]
    Silent {
        /// How long was waited.
        after_ms: u128,
        /// The last error of a try to speak to it.
        why: Error,
        /// The last lines that it wrote, each after a line break.
        said: String,
    },
}

fn by(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}
