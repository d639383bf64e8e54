//! Every flag has an environment variable: `--poll-interval-ms` is `LOGRELAY_POLL_INTERVAL_MS`.
//!
//! The names follow from the flags, so that no flag can be without one.

use clap::{Arg, Command};

/// The command, and its subcommands, with a variable for every flag that takes part.
pub(super) fn with_variables(command: Command) -> Command {
    command.mut_args(with_variable).mut_subcommands(with_variables)
}

fn with_variable(arg: Arg) -> Arg {
    match arg.get_long() {
        Some(long) if !matches!(long, "help" | "version") => {
            let name = variable(long);
            // Help says which variable there is, not what may be a password in it.
            arg.env(name).hide_env_values(true)
        }
        _ => arg,
    }
}

/// The variable of a flag.
pub(super) fn variable(long: &str) -> String {
    format!("LOGRELAY_{}", long.replace('-', "_").to_ascii_uppercase())
}
