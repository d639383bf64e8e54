//! SIGHUP: the wish that the configuration is read again. It ends no daemon of ours.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tracing::warn;

/// The signals as they come.
pub(super) fn signals() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Answers each signal with why nothing comes of it, until the answer is dropped.
pub(super) fn answered(why: &'static str) -> io::Result<JoinSet<()>> {
    let mut signals = signals()?;
    let mut answer = JoinSet::new();
    answer.spawn(async move {
        while signals.recv().await.is_some() {
            warn!("SIGHUP changes nothing: {why}");
        }
    });
    Ok(answer)
}
