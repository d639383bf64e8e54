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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn check(command: &Command) {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long().filter(|long| !matches!(*long, "help" | "version")) else {
                continue;
            };
            let found = arg.get_env().map(|name| name.to_string_lossy().into_owned());
            assert_eq!(found, Some(variable(long)), "{} --{long}", command.get_name());
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn every_flag_of_every_command_has_its_variable() {
        let command = with_variables(crate::cli::Cli::command());
        command.clone().debug_assert();
        check(&command);
        assert_eq!(variable("poll-interval-ms"), "LOGRELAY_POLL_INTERVAL_MS");
    }
}
