//! `logrelay dev`: everything in one process for one machine, with a Redis of its own.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::bail;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Misuse, hangup, open_files, progress, serve, shutdown, tail};
use crate::{
    config::{self, Effective, General, PathOptions, Settings},
    publish::{self, Publisher},
    record::Topic,
    store::{PrivateServer, RedisUrl, ServerOptions, Store},
    telemetry::{self, Terminal},
};

/// Follows files and serves their lines, all in one process, with a private Redis.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files and globs (in quotes); none: the inputs of the configuration
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Topic of the paths [default: of each file its name without extension]
    #[arg(long, value_name = "TOPIC", requires = "paths")]
    topic: Option<Topic>,
    /// Folder of the private Redis [default: logrelay in the user's data folder]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Program of the private Redis [default: redis-server or valkey-server on the PATH]
    #[arg(long, value_name = "FILE")]
    redis_server: Option<PathBuf>,
    /// Configuration file (TOML); flags and variables win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tail: config::Tail,
    #[command(flatten)]
    serve: config::Serve,
}

pub(super) async fn run(arguments: Arguments, general: General, terminal: Terminal) -> anyhow::Result<()> {
    let file = config::load(arguments.config.as_deref())?;
    let inputs = if arguments.paths.is_empty() {
        file.inputs.clone()
    } else {
        let topic = arguments.topic.map(|topic| topic.to_string());
        vec![PathOptions { topic, ..PathOptions::default() }.input(&arguments.paths)?]
    };
    if inputs.is_empty() {
        let text = "nothing to follow: give paths, or a --config with [[inputs]]";
        return Err(Misuse(text.to_owned()).into());
    }
    let data_dir = arguments.data_dir.map_or_else(default_data_dir, Ok)?;
    let (tail, serve) = (arguments.tail, arguments.serve);
    let flags = Settings { general, tail, serve, redis: config::Redis::default() };
    // Redis is the private one, whatever the file says of another.
    let mut settings = flags.over(&file);
    settings.redis = config::Redis {
        redis: None,
        redis_password_file: None,
        redis_ca_file: None,
        redis_cert_file: None,
        redis_key_file: None,
        durability: None,
        ..settings.redis
    };
    let mut effective = Effective::new(&settings, &inputs)?;
    telemetry::start_logs(&effective.log_level, effective.log_format, &terminal);
    let room = open_files::raise().half();
    effective.tail.max_open_files = room.fit("max_open_files", effective.tail.max_open_files);
    effective.serve.max_connections = room.fit("max_connections", effective.serve.max_connections);
    let stop = shutdown::on_signals(effective.shutdown_timeout_ms)?;

    let options = ServerOptions { binary: arguments.redis_server, ..ServerOptions::new(data_dir.clone()) };
    let mut private_redis = tokio::select! {
        server = PrivateServer::start(&options) => server?,
        () = stop.token.cancelled() => return Ok(()),
    };
    info!(data_dir = %data_dir.display(), "private redis");
    let url = private_redis.url();
    let served = tokio::select! {
        served = all(effective, url, &terminal, &stop.token) => served,
        how = private_redis.ended() => bail!("the private redis ended: {how}"),
    };
    private_redis.stop().await;
    served
}

/// Runs relay and tailer until the shutdown; then first the tailer appends what it has read.
async fn all(
    mut effective: Effective,
    url: RedisUrl,
    terminal: &Terminal,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    effective.redis.connect.url = url;
    // They stop one after the other.
    effective.tail.stop_timeout_ms /= 2;
    effective.serve.drain_ms /= 2;
    let store = Store::new(effective.redis.clone())?;
    let mut registry = Registry::default();
    let counters = publish::Metrics::register(&mut registry, "logrelay_publish");
    let relay = serve::bind(&effective, store.clone(), registry).await?;
    info!("read with: logrelay subscribe --relay {} TOPIC", relay.url());
    let reloader = relay.reloader();
    let _hangups = hangup::each(move || reloader.reload())?;
    let publisher = Publisher::new(store, effective.publish.clone(), counters.clone());
    let mut beside = JoinSet::new();
    if Terminal::is_watched() {
        beside.spawn(progress::of_tailer(progress::bar(terminal), publisher.clone(), counters));
    }
    let relay_stop = CancellationToken::new();
    let relaying = relay.run(relay_stop.clone());
    let tailing = async {
        let tailed = tail::follow(&effective, publisher, shutdown).await;
        relay_stop.cancel();
        tailed
    };
    let mut relaying = std::pin::pin!(relaying);
    tokio::select! {
        tailed = tailing => {
            relaying.await?;
            tailed
        }
        relayed = &mut relaying => Ok(relayed?),
    }
}

/// `logrelay` in the folder for data of this user.
fn default_data_dir() -> Result<PathBuf, Misuse> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    let data = variable("XDG_DATA_HOME").map(PathBuf::from);
    let home = variable("HOME").map(|home| Path::new(&home).join(".local/share"));
    match data.or(home) {
        Some(folder) => Ok(folder.join("logrelay")),
        None => Err(Misuse("no folder for the data: HOME is not set, give one with --data-dir".to_owned())),
    }
}
