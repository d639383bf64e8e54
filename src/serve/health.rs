//! `grpc.health.v1`: serving only while Redis really answers, to a probe as well as
//! to the hub.

use std::{convert::Infallible, time::Duration};

use tokio::time::{sleep, timeout};
use tonic::service::Routes;
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};

use crate::{hub, store::Store};

/// What health is asked about: everything, and the one service that there is.
const SERVICES: [&str; 2] = ["", "logrelay.v1.LogRelay"];

/// Looks at Redis and says so.
#[derive(Debug)]
pub(super) struct Health {
    store: Store,
    hub: hub::Handle,
    probe: Duration,
    reporter: HealthReporter,
}

impl Health {
    /// The watcher, and the routes that it speaks through.
    pub(super) async fn new(store: Store, hub: hub::Handle, probe_ms: u64) -> (Self, Routes) {
        let (reporter, server) = health_reporter();
        let health = Self { store, hub, probe: Duration::from_millis(probe_ms.max(1)), reporter };
        health.say(ServingStatus::NotServing).await;
        (health, Routes::new(server))
    }

    /// Probes Redis, for ever.
    pub(super) async fn watch(&self) -> Infallible {
        let mut redis_ok = self.hub.redis_ok();
        let mut was = None;
        loop {
            // The hub notices first what became of its connections, and is believed at once.
            let serves = *redis_ok.borrow_and_update()
                && tokio::select! {
                    biased;
                    _ = redis_ok.wait_for(|ok| !ok) => false,
                    answer = timeout(self.probe, self.store.probe()) => matches!(answer, Ok(Ok(()))),
                };
            if was.replace(serves) != Some(serves) {
                tracing::info!(serving = serves, "health");
                let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
                self.say(status).await;
            }
            tokio::select! {
                () = sleep(self.probe) => {}
                changed = redis_ok.changed() => if changed.is_err() { sleep(self.probe).await },
            }
        }
    }

    /// The relay stops.
    pub(super) async fn stop(&self) {
        self.say(ServingStatus::NotServing).await;
    }

    async fn say(&self, status: ServingStatus) {
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
