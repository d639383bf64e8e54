//! Standard output, and whether anybody still reads it.

use std::io;

use tokio::io::{Interest, Ready, unix::AsyncFd};

/// Resolves when the other end of standard output is closed. A reader with nothing to write would
/// not notice that: in `subscribe | head`, for example.
pub(super) async fn closed() {
    if watch().await.is_err() {
        // Standard output is a file, or something else that nobody can close.
        std::future::pending().await
    }
}

async fn watch() -> io::Result<()> {
    let stdout = AsyncFd::with_interest(io::stdout(), Interest::WRITABLE)?;
    loop {
        let mut ready = stdout.ready(Interest::WRITABLE).await?;
        if ready.ready().is_write_closed() || ready.ready().is_error() {
            return Ok(());
        }
        ready.clear_ready_matching(Ready::WRITABLE);
    }
}
