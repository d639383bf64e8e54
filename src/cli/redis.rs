//! A first word with Redis, before anything depends on it.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::{Error, Store};

/// How long an answer may take before it is said that one is waited for.
const SILENCE: Duration = Duration::from_millis(300);

/// Asks whether Redis serves, and warns of settings that put lines at risk. A Redis that
/// is away is waited for later, by whoever needs it.
///
/// # Errors
/// What waiting cannot heal: a wrong password, a missing right.
pub(super) async fn check(store: &Store, shutdown: &CancellationToken) -> Result<(), Error> {
    let mut probe = std::pin::pin!(ask(store));
    let mut is_said = false;
    let probed = loop {
        tokio::select! {
            probed = &mut probe => break probed,
            () = shutdown.cancelled() => return Ok(()),
            () = sleep(SILENCE), if !is_said => {
                warn!(redis = store.address(), "redis does not answer yet: waiting for it");
                is_said = true;
            }
        }
    };
    match probed {
        Err(error) if error.needs_an_operator() => Err(error),
        Err(error) => {
            warn!(%error, "redis does not answer yet: waiting for it");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn ask(store: &Store) -> Result<(), Error> {
    store.probe().await?;
    store.check_durability().await?;
    // A user without the right to INFO can do without the advice.
    for advice in store.advice().await.unwrap_or_default() {
        warn!("{advice}");
    }
    Ok(())
}
