//! The program: takes its arguments, runs one command, and says by its exit code how that went.

use std::process::ExitCode;

fn main() -> ExitCode {
    logrelay::cli::main(std::env::args_os())
}
