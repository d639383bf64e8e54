//! `logrelay tail`: follows files, or reads standard input, and appends their lines to a topic.

mod status;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Misuse, progress, redis, shutdown, subscribe::Output};
use crate::{
    config::{self, Effective, File, General, Input, PathOptions, Settings},
    publish::{self, Publisher},
    record::Topic,
    store::Store,
    tail,
    telemetry::{self, MetricsListener, Terminal},
};

const STDIN: &str = "-";

/// Follows files and appends their lines to a topic, every line once.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files and globs (in quotes); - is standard input; none: the inputs of the configuration
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    options: PathOptions,
    /// Print where the sources of this host (or --host) stand, of all topics or --topic, and exit
    #[arg(long, conflicts_with = "paths")]
    status: bool,
    /// With --status: a table, or one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// Configuration file (TOML); flags and variables win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    redis: config::Redis,
    #[command(flatten)]
    tail: config::Tail,
}

/// What is read.
enum What {
    Files(Vec<Input>),
    Stdin(Topic),
}

pub(super) async fn run(arguments: Arguments, general: General, terminal: Terminal) -> anyhow::Result<()> {
    let file = config::load(arguments.config.as_deref())?;
    if arguments.status {
        return show_status(arguments, general, &terminal, &file).await;
    }
    let (inputs, stdin) = match what(&arguments.paths, arguments.options, &file)? {
        What::Files(inputs) => (inputs, None),
        What::Stdin(topic) => (Vec::new(), Some(topic)),
    };
    let flags =
        Settings { general, redis: arguments.redis, tail: arguments.tail, serve: config::Serve::default() };
    let settings = flags.over(&file);
    let effective = Effective::new(&settings, &inputs)?;
    telemetry::start_logs(&effective.log_level, effective.log_format, &terminal);
    let stop = shutdown::on_signals(effective.shutdown_timeout_ms)?;
    if settings.tail.host.is_none() {
        say_where_the_host_comes_from(&effective);
    }
    let metrics_port = match effective.metrics_listen {
        Some(address) => Some(MetricsListener::bind(address).await?),
        None => None,
    };
    let store = Store::new(effective.redis.clone())?;
    redis::check(&store, &stop.token).await?;

    let mut registry = Registry::default();
    let counters = publish::Metrics::register(&mut registry);
    let publisher = Publisher::new(store, effective.publish.clone(), counters.clone());
    let mut beside = JoinSet::new();
    if let Some(port) = metrics_port {
        beside.spawn(serve_metrics(port, registry, stop.token.clone()));
    }
    if Terminal::is_watched() {
        beside.spawn(progress::of_tailer(progress::bar(&terminal), publisher.clone(), counters));
    }
    if let Some(topic) = stdin {
        return read_stdin(&effective, &publisher, &topic, &stop.token).await;
    }
    let inputs = effective.tail.inputs.len();
    info!(host = %effective.tail.host, inputs, redis = publisher.store().address(), "following files");
    follow(&effective, publisher, &stop.token).await
}

async fn show_status(
    arguments: Arguments,
    general: General,
    terminal: &Terminal,
    file: &File,
) -> anyhow::Result<()> {
    let Arguments { options, output, redis, tail, .. } = arguments;
    let topic = options.topic.as_deref().map(read_topic).transpose()?;
    let log_format = Some(output.log_format(&general));
    let general = General { log_format, ..general };
    let settings = Settings { general, redis, tail, serve: config::Serve::default() }.over(file);
    let effective = Effective::new(&settings, &[])?;
    telemetry::start_logs(&effective.log_level, effective.log_format, terminal);
    status::print(&Store::new(effective.redis)?, &effective.tail.host, topic, output).await
}

/// Follows the files of the configuration until the shutdown.
pub(super) async fn follow(
    effective: &Effective,
    publisher: Publisher,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let service = tail::Service::new(effective.tail.clone(), publisher);
    if !service.run(shutdown.clone()).await {
        bail!("stopping took too long: the next run reads again what was not appended, and loses nothing");
    }
    Ok(())
}

async fn read_stdin(
    effective: &Effective,
    publisher: &Publisher,
    topic: &Topic,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let tail::Options { host, max_line_bytes, .. } = &effective.tail;
    info!(%host, %topic, redis = publisher.store().address(), "reading standard input");
    let reading =
        tail::publish_stdin(publisher, topic, host, *max_line_bytes, tokio::io::stdin(), shutdown.clone());
    tokio::select! {
        read = reading => read.context("standard input"),
        () = publisher.audit() => Ok(()),
    }
}

fn read_topic(text: &str) -> anyhow::Result<Topic> {
    Ok(text.parse().map_err(|error| Misuse(format!("--topic: {error}")))?)
}

/// The files of the command line, or else those of the file.
fn what(paths: &[String], options: PathOptions, file: &File) -> anyhow::Result<What> {
    let misuse = |text: &str| Err(Misuse(text.to_owned()).into());
    if paths.is_empty() {
        if options.topic.is_some() {
            return misuse("--topic is that of paths: give some");
        }
        return match file.inputs.as_slice() {
            [] => misuse("nothing to follow: give --topic and paths, or a --config with [[inputs]]"),
            inputs => Ok(What::Files(inputs.to_vec())),
        };
    }
    let Some(topic) = &options.topic else { return misuse("paths on the command line need a --topic") };
    match paths {
        [only] if only == STDIN => Ok(What::Stdin(read_topic(topic)?)),
        paths if paths.iter().any(|path| path == STDIN) => {
            misuse("- (standard input) cannot be followed together with files")
        }
        paths => Ok(What::Files(vec![options.input(paths)?])),
    }
}

fn say_where_the_host_comes_from(effective: &Effective) {
    let host = &effective.tail.host;
    let in_container = ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists());
    if in_container || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        warn!(%host, "this is a container: its host name is not the same for ever, set --host to one that is");
    } else {
        info!(%host, "sources are known under the host name; --host sets another one");
    }
}

async fn serve_metrics(port: MetricsListener, registry: Registry, shutdown: CancellationToken) {
    info!(address = %port.address(), "metrics");
    if let Err(error) = port.serve(Arc::new(registry), shutdown).await {
        error!(%error, "metrics are not served any more");
    }
}
