//! SIGTERM and SIGINT: the first asks for a clean stop, the second does not ask.

use std::{io, process, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// The wish to stop, and who listens for it.
#[derive(Debug)]
pub(super) struct Stop {
    /// Cancelled by the first signal.
    pub(super) token: CancellationToken,
    /// The watch over the signals; it ends when this is dropped.
    _watch: JoinSet<()>,
}

/// Listens for signals. The process exits with 1 at the second one, or when `deadline_ms` have
/// passed since the first.
pub(super) fn on_signals(deadline_ms: u64) -> io::Result<Stop> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    let mut watch = JoinSet::new();
    watch.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancel.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = sleep(Duration::from_millis(deadline_ms)) => {
                tracing::error!(shutdown_timeout_ms = deadline_ms, "stopping took too long");
            }
        }
        // A writer may be blocked on a full pipe, which no task can interrupt.
        process::exit(1);
    });
    Ok(Stop { token, _watch: watch })
}
