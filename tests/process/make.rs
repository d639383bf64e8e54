//! What `make test` installs, for tests that are run without it.

use std::{fs::File, path::Path, process::Command};

use rustix::fs::{FlockOperation, flock};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Makes a target of the Makefile.
pub(crate) fn made(target: &str) {
    // Only one test at a time may install.
    let lock = File::open(Path::new(ROOT).join("tests")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    succeed(Command::new("make").args(["--silent", target]).env_remove("MAKEFLAGS"));
}

/// Runs a command in the project's folder.
pub(crate) fn succeed(command: &mut Command) {
    let ended = command.current_dir(ROOT).output().unwrap();
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}
