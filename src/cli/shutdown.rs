//! SIGTERM and SIGINT: the first asks for a clean stop, the second does not ask.

use std::{io, process, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// A token that the first signal cancels. The process exits with 1 at the second one, or when
/// `deadline` has passed since the first. The watch ends when the set is dropped.
pub(super) fn on_signals(deadline: Duration) -> io::Result<(CancellationToken, JoinSet<()>)> {
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
            () = sleep(deadline) => tracing::error!(timeout_ms = deadline.as_millis(), "stopping took too long"),
        }
        // A writer may be blocked on a full pipe, which no task can interrupt.
        process::exit(1);
    });
    Ok((token, watch))
}
