//! The command line: one file a command.
//!
//! Data goes to standard output, everything else to standard error. Exit codes:
//! 0 done, 1 failed, 2 used wrongly.

mod cursor_file;
mod environment;
mod shutdown;
mod subscribe;
mod topics;

use std::{ffi::OsString, fmt, io, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::{
    client,
    telemetry::{LogFormat, LogLevel, Terminal},
};

/// Carries log lines from files to any number of live readers through Redis, every line once.
#[derive(Debug, Parser)]
#[command(name = "logrelay", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
struct Common {
    /// How much to log: error, warn, info, debug, trace, off, or a list of target=level [default: info]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logs")]
    log_level: Option<LogLevel>,
    /// What logs look like [default: text; json where the output is JSON]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logs")]
    log_format: Option<LogFormat>,
    /// How long a stop may take after the first SIGTERM or SIGINT, in milliseconds
    #[arg(long, global = true, value_name = "MS", default_value_t = 10_000)]
    shutdown_timeout_ms: u64,
}

#[derive(Debug, Subcommand)]
enum Command {
    Subscribe(subscribe::Arguments),
    Topics(topics::Arguments),
}

/// What a command is given beside its arguments.
#[derive(Debug, Clone)]
struct Context {
    /// Cancelled when the process has to stop.
    shutdown: CancellationToken,
    terminal: Terminal,
}

/// The command was used wrongly: exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// Runs the command that the arguments name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = environment::with_variables(Cli::command())
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let terminal = Terminal::stderr();
    match run(cli, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where standard error is closed, too.
            let told = io::Write::write_fmt(&mut io::stderr(), format_args!("logrelay: {error:#}\n"));
            ExitCode::from(if told.is_ok() { exit_code(&error) } else { 1 })
        }
    }
}

fn run(cli: Cli, terminal: &Terminal) -> anyhow::Result<()> {
    let Cli { common, command } = cli;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let deadline = Duration::from_millis(common.shutdown_timeout_ms);
        let (shutdown, _watch) = shutdown::on_signals(deadline)?;
        let context = Context { shutdown, terminal: terminal.clone() };
        match command {
            Command::Subscribe(arguments) => subscribe::run(arguments, &common, context).await,
            Command::Topics(arguments) => topics::run(arguments, &common, context).await,
        }
    })
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let refused_as_wrong = |error: &client::Error| match error {
        client::Error::Options(_) => true,
        client::Error::Refused { code, .. } => *code == tonic::Code::InvalidArgument,
        client::Error::GaveUp { .. } => false,
    };
    let misused = error.chain().any(|cause| {
        cause.is::<Misuse>() || cause.downcast_ref::<client::Error>().is_some_and(refused_as_wrong)
    });
    if misused { 2 } else { 1 }
}
