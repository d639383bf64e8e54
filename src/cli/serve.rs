//! `logrelay serve`: the relay, which serves topics of Redis to any number of readers.

use std::path::PathBuf;

use prometheus_client::registry::Registry;

use super::{hangup, open_files, redis, shutdown};
use crate::{
    config::{self, Effective, General, Settings},
    hub::Hub,
    serve::Service,
    store::Store,
    telemetry::{self, Terminal},
};

/// Serves the topics in Redis to readers; run as many as you like.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file (TOML); flags and variables win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    redis: config::Redis,
    #[command(flatten)]
    serve: config::Serve,
}

pub(super) async fn run(arguments: Arguments, general: General, terminal: Terminal) -> anyhow::Result<()> {
    let Arguments { config, redis, serve } = arguments;
    let file = config::load(config.as_deref())?;
    let settings = Settings { general, redis, serve, ..Settings::default() }.over(&file);
    let mut effective = Effective::new(&settings, &[])?;
    telemetry::start_logs(&effective.log_level, effective.log_format, &terminal);
    effective.serve.max_connections =
        open_files::raise().fit("max_connections", effective.serve.max_connections);
    let stop = shutdown::on_signals(effective.shutdown_timeout_ms)?;
    let store = Store::new(effective.redis.clone())?;
    let relay = bind(&effective, store.clone(), Registry::default()).await?;
    let reloader = relay.reloader();
    let _hangups = hangup::each(move || reloader.reload())?;
    // It answers while Redis is away, that it does not serve.
    let mut serving = std::pin::pin!(relay.run(stop.token.clone()));
    tokio::select! {
        served = &mut serving => return Ok(served?),
        checked = redis::check(&store, &stop.token) => checked?,
    }
    Ok(serving.await?)
}

/// A relay that has its port, and counts in `registry`.
pub(super) async fn bind(
    effective: &Effective,
    store: Store,
    mut registry: Registry,
) -> anyhow::Result<Service> {
    let hub = Hub::new(effective.hub.clone(), store.clone(), &mut registry);
    Ok(Service::bind(effective.serve.clone(), store, hub, registry).await?)
}
