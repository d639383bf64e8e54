//! Standard output, and whether anybody still reads it.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use tokio::{io::Interest, net::unix::pipe};

/// Resolves when the other end of standard output is closed. A reader with nothing to write would
/// not notice that: in `subscribe | head`, for example.
pub(super) async fn closed() {
    if watch().await.is_err() {
        // Standard output is a file, or something else that nobody can close.
        std::future::pending::<()>().await;
    }
}

async fn watch() -> io::Result<()> {
    // A second descriptor that is never written to, so that the first may go on blocking.
    let stdout: OwnedFd = io::stdout().as_fd().try_clone_to_owned()?;
    pipe::Sender::from_owned_fd_unchecked(stdout)?.ready(Interest::ERROR).await.map(drop)
}
