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

/// Does something for each signal, until the answer is dropped.
pub(super) fn each(mut answer: impl FnMut() + Send + 'static) -> io::Result<JoinSet<()>> {
    let mut signals = signals()?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        while signals.recv().await.is_some() {
            answer();
        }
    });
    Ok(task)
}

/// Answers each signal with why nothing comes of it, until the answer is dropped.
pub(super) fn answered(why: &'static str) -> io::Result<JoinSet<()>> {
    each(move || warn!("SIGHUP changes nothing: {why}"))
}
