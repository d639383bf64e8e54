//! Replaces the connections of a pool that break, whoever is or is not asking.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::try_join_all};
use tokio::time::sleep;

use super::{Manager, State};
use crate::{
    retry::Backoff,
    store::{connect::Connector, error::Error},
};

/// Delays between tries to connect while Redis is away.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// Replaces what breaks, for as long as the pool lives.
pub(super) async fn keep(pool: bb8::Pool<Manager>, connector: Connector, state: Arc<State>, mut wanted: u32) {
    let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
    let mut master = None;
    loop {
        // The pool grows with its callers; as large as it was, it becomes again.
        wanted = wanted.max(pool.state().connections);
        drop_broken(&pool);
        match refill(&pool, wanted).await {
            Ok(()) => {
                backoff.reset();
                tokio::select! {
                    () = state.lost.notified() => {}
                    () = connector.master_moved(&mut master) => state.retire(0),
                }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot connect to redis");
                sleep(backoff.next_delay()).await;
            }
        }
    }
}

/// Takes every idle connection once: bb8 drops the broken ones of its own accord.
fn drop_broken(pool: &bb8::Pool<Manager>) {
    for _ in 0..pool.state().idle_connections {
        // Never waits: what is idle now and taken by a caller meanwhile needs no look.
        drop(pool.get().now_or_never());
    }
}

async fn refill(pool: &bb8::Pool<Manager>, wanted: u32) -> Result<(), Error> {
    while let missing @ 1.. = wanted.saturating_sub(pool.state().connections) {
        // The first one finds out alone whether Redis is there.
        add_one(pool).await?;
        try_join_all((1..missing).map(|_| add_one(pool))).await?;
    }
    Ok(())
}

async fn add_one(pool: &bb8::Pool<Manager>) -> Result<(), Error> {
    let connection = pool.dedicated_connection().await?;
    // Without room it is dropped: callers were faster.
    drop(pool.add(connection));
    Ok(())
}
