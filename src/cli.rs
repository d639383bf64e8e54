//! The command line: one file a command.
//!
//! Data goes to standard output, everything else to standard error. Exit codes:
//! 0 done, 1 failed, 2 used wrongly.

mod check_config;
mod cursor_file;
mod dev;
mod environment;
mod hangup;
mod inputs;
mod memory;
mod open_files;
mod progress;
mod publish;
mod redis;
mod relays;
mod serve;
mod shutdown;
mod sources;
mod subscribe;
mod table;
mod tail;
mod token;
mod topics;

use std::{ffi::OsString, fmt, io, process::ExitCode};

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    client,
    config::{ConfigError, General},
    telemetry::Terminal,
};

/// Carries log lines from files to any number of live readers through Redis, every line once.
#[derive(Debug, Parser)]
#[command(name = "logrelay", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    general: General,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Arguments),
    Tail(tail::Arguments),
    Serve(serve::Arguments),
    Subscribe(subscribe::Arguments),
    Publish(publish::Arguments),
    Topics(topics::Arguments),
    Inputs(inputs::Arguments),
    Token(token::Arguments),
    CheckConfig(check_config::Arguments),
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
        .and_then(|matches| Cli::from_arg_matches(&matches).map(|cli| (cli, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    match run(cli, &matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where standard error is closed, too.
            let written =
                io::Write::write_fmt(&mut io::stderr(), format_args!("logrelay: {}\n", told(&error)));
            ExitCode::from(if written.is_ok() { exit_code(&error) } else { 1 })
        }
    }
}

fn run(cli: Cli, matches: &ArgMatches) -> anyhow::Result<()> {
    let Cli { general, command } = cli;
    let terminal = Terminal::stderr();
    memory::keep_large_blocks();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Dev(arguments) => Box::pin(dev::run(arguments, general, terminal)).await,
            Command::Serve(arguments) => Box::pin(serve::run(arguments, general, terminal)).await,
            Command::Tail(arguments) => Box::pin(tail::run(arguments, general, terminal)).await,
            Command::Subscribe(arguments) => Box::pin(subscribe::run(arguments, general, terminal)).await,
            Command::Publish(arguments) => Box::pin(publish::run(arguments, general, terminal)).await,
            Command::Topics(arguments) => topics::run(arguments, general, terminal).await,
            Command::Inputs(arguments) => Box::pin(inputs::run(arguments, general, matches, terminal)).await,
            Command::Token(arguments) => token::run(&arguments),
            Command::CheckConfig(arguments) => check_config::run(arguments, general, matches),
        }
    });
    // A read of standard input cannot be interrupted and is not waited for.
    runtime.shutdown_background();
    result
}

/// The error and its causes; a cause that is said already is not said again.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        already if already.contains(&cause) => told,
        already => format!("{already}: {cause}"),
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
        client::Error::GaveUp { .. } | client::Error::OutOfStep { .. } => false,
    };
    let misused = error.chain().any(|cause| {
        cause.is::<Misuse>()
            || cause.is::<ConfigError>()
            || cause.downcast_ref::<client::Error>().is_some_and(refused_as_wrong)
            || cause.downcast_ref::<crate::serve::Error>().is_some_and(crate::serve::Error::is_misuse)
    });
    if misused { 2 } else { 1 }
}
