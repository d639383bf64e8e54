//! A first word with Redis, before anything depends on it.

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::{Error, Store};

/// Asks whether Redis serves, and warns of settings that put lines at risk. A Redis that
/// is away is waited for later, by whoever needs it.
///
/// # Errors
/// What waiting cannot heal: a wrong password, a missing right.
pub(super) async fn check(store: &Store, shutdown: &CancellationToken) -> Result<(), Error> {
    let probed = tokio::select! {
        probed = ask(store) => probed,
        () = shutdown.cancelled() => return Ok(()),
    };
    match probed {
        Err(error) if error.needs_an_operator() => Err(error),
        Err(error) => {
            warn!(%error, "redis does not answer yet, waiting for it");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn ask(store: &Store) -> Result<(), Error> {
    store.probe().await?;
    // A user without the right to INFO can do without the advice.
    for advice in store.advice().await.unwrap_or_default() {
        warn!("{advice}");
    }
    Ok(())
}
