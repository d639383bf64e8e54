//! `logrelay tail`: follows files, or reads standard input, and appends their lines to a topic.

mod changes;
mod config_file;
mod pushed;
mod status;

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use prometheus_client::registry::Registry;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::{
    changes::{Changes, Origins},
    config_file::ConfigFile,
    pushed::Pushed,
};
use super::{Misuse, hangup, open_files, progress, redis, shutdown, subscribe::Output};
use crate::{
    config::{self, ConfigError, Effective, File, General, Input, PathOptions, Settings},
    publish::{self, Publisher},
    record::{Host, Topic},
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
    Stdin(Topic, PathOptions),
}

pub(super) async fn run(arguments: Arguments, general: General, terminal: Terminal) -> anyhow::Result<()> {
    let file = config::load(arguments.config.as_deref())?;
    if arguments.status {
        return show_status(arguments, general, &terminal, &file).await;
    }
    let Arguments { paths, options, config, redis, tail, .. } = arguments;
    let flags = Settings { general, redis, tail, serve: config::Serve::default() };
    let settings = flags.clone().over(&file);
    let (inputs, stdin) = match what(&paths, options, &file, &settings.tail)? {
        What::Files(inputs) => (inputs, None),
        What::Stdin(topic, options) => (Vec::new(), Some((topic, options))),
    };
    let mut effective = Effective::new(&settings, &inputs)?;
    let lines = |options: PathOptions| options.lines_of_stdin(effective.tail.max_line_bytes);
    let stdin = stdin.map(|(topic, options)| Ok::<_, ConfigError>((topic, lines(options)?))).transpose()?;
    let logs = telemetry::start_logs(&effective.log_level, effective.log_format, &terminal);
    effective.tail.max_open_files = open_files::raise().fit("max_open_files", effective.tail.max_open_files);
    let stop = shutdown::on_signals(effective.shutdown_timeout_ms)?;
    if settings.tail.host.is_none() {
        say_where_the_host_comes_from(&effective);
    }
    let metrics_port = match effective.metrics_listen {
        Some(address) => Some(MetricsListener::bind(address).await?),
        None => None,
    };
    let hangups = hangup::signals()?;
    let store = Store::new(effective.redis.clone())?;
    redis::check(&store, &stop.token).await?;

    let mut registry = Registry::default();
    let counters = publish::Metrics::register(&mut registry, "logrelay_publish");
    let looks = tail::Metrics::default();
    looks.show(&mut registry);
    let publisher = Publisher::new(store.clone(), effective.publish.clone(), counters.clone());
    let mut beside = JoinSet::new();
    if let Some(port) = metrics_port {
        beside.spawn(serve_metrics(port, registry, stop.token.clone()));
    }
    if Terminal::is_watched() {
        beside.spawn(progress::of_tailer(progress::bar(&terminal), publisher.clone(), counters));
    }
    if let Some((topic, lines)) = stdin {
        let _hangups = hangup::answered("standard input is read until its end")?;
        return read_stdin(&effective, &publisher, &topic, &lines, &stop.token).await;
    }
    let file = config.map(|path| ConfigFile::new(path, file.text().to_owned()));
    let pushed = effective.inputs_from_redis.then(|| Pushed::new(store, owners(&effective)));
    let origins = Origins { local: inputs, are_of_file: paths.is_empty(), file, pushed };
    let mut changes = Changes::new(origins, flags, effective.clone(), logs, hangups);
    effective.tail.inputs = tokio::select! {
        inputs = changes.first_inputs() => inputs,
        () = stop.token.cancelled() => return Ok(()),
    };
    say_what_is_absent(&effective.tail.inputs);
    let inputs = effective.tail.inputs.len();
    info!(host = %effective.tail.host, inputs, redis = publisher.store().address(), "following files");
    let service = tail::Service::new(effective.tail, publisher).counting_in(looks);
    let handle = service.handle();
    tokio::select! {
        done = until_stopped(service, &stop.token) => done,
        () = changes.run(handle) => Ok(()),
    }
}

/// Whose inputs in Redis are followed: those of this host, and then those of its groups.
fn owners(effective: &Effective) -> Vec<Host> {
    let host = std::iter::once(&effective.tail.host);
    let mut owners = Vec::new();
    for owner in host.chain(&effective.groups) {
        if !owners.contains(owner) {
            owners.push(owner.clone());
        }
    }
    owners
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
    say_what_is_absent(&effective.tail.inputs);
    until_stopped(tail::Service::new(effective.tail.clone(), publisher), shutdown).await
}

fn say_what_is_absent(inputs: &[tail::Input]) {
    for path in inputs.iter().flat_map(|input| input.patterns.absent()) {
        warn!(path = &*path.to_string_lossy(), "there is no such file: waiting for it");
    }
}

async fn until_stopped(service: tail::Service, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let said = async {
        say_when_stopping(shutdown).await;
        std::future::pending::<Infallible>().await
    };
    let is_done = tokio::select! {
        is_done = service.run(shutdown.clone()) => is_done,
        never = said => match never {},
    };
    if !is_done {
        bail!("stopping took too long: the next run reads again what was not appended, and loses nothing");
    }
    Ok(())
}

async fn say_when_stopping(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    info!("stopping: what was read is appended first");
}

async fn read_stdin(
    effective: &Effective,
    publisher: &Publisher,
    topic: &Topic,
    lines: &tail::LineOptions,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let host = &effective.tail.host;
    info!(%host, %topic, redis = publisher.store().address(), "reading standard input");
    let reading = tail::publish_stdin(publisher, topic, host, lines, tokio::io::stdin(), shutdown.clone());
    let late = async {
        say_when_stopping(shutdown).await;
        sleep(Duration::from_millis(effective.tail.stop_timeout_ms)).await;
    };
    tokio::select! {
        read = reading => read.context("standard input"),
        never = publisher.audit() => match never {},
        () = late => bail!(
            "stopping took too long: what was read of standard input and redis has not confirmed is lost"
        ),
    }
}

fn read_topic(text: &str) -> anyhow::Result<Topic> {
    Ok(text.parse().map_err(|error| Misuse(format!("--topic: {error}")))?)
}

/// The files of the command line, or else those of the file.
fn what(paths: &[String], options: PathOptions, file: &File, tail: &config::Tail) -> anyhow::Result<What> {
    let misuse = |text: &str| Err(Misuse(text.to_owned()).into());
    let from_redis = tail.inputs_from_redis == Some(true);
    if tail.group.is_some() && !from_redis {
        return misuse("--group says whose inputs in Redis are followed, too: it needs --inputs-from-redis");
    }
    if paths.is_empty() {
        if options.topic.is_some() {
            return misuse("--topic is that of paths: give some");
        }
        if file.inputs.is_empty() && !from_redis {
            return misuse(
                "nothing to follow: give --topic and paths, a --config with [[inputs]], or --inputs-from-redis",
            );
        }
        return Ok(What::Files(file.inputs.clone()));
    }
    let Some(topic) = &options.topic else { return misuse("paths on the command line need a --topic") };
    match paths {
        [only] if only == STDIN && from_redis => {
            misuse("- (standard input) cannot be read together with inputs: leave out --inputs-from-redis")
        }
        [only] if only == STDIN => Ok(What::Stdin(read_topic(topic)?, options)),
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
