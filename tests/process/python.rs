//! The subscriber in Python: its packages, its stubs, and how it is run.

use std::{fs::File, path::Path, process::Command};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const CLIENT: &str = "tests/clients/python";

/// The subscriber with stubs that are generated for this test.
pub(crate) struct PythonSubscriber {
    stubs: TempDir,
}

impl PythonSubscriber {
    /// Generates the stubs, and installs the packages where `make test` has not.
    pub(crate) fn new() -> Self {
        let stubs = tempfile::tempdir().unwrap();
        // Only one test at a time may install.
        let lock = File::open(Path::new(ROOT).join(CLIENT)).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        succeed(Command::new("make").args(["--silent", "python"]).env_remove("MAKEFLAGS"));
        let out = stubs.path().display();
        succeed(Command::new(Self::python()).args([
            "-m",
            "grpc_tools.protoc",
            "--proto_path=proto",
            &format!("--python_out={out}"),
            &format!("--grpc_python_out={out}"),
            "proto/logrelay/v1/logrelay.proto",
        ]));
        Self { stubs }
    }

    /// A run of it; its arguments are in `subscriber.py`.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(Self::python());
        command.arg(Path::new(ROOT).join(CLIENT).join("subscriber.py")).env("PYTHONPATH", self.stubs.path());
        command
    }

    fn python() -> String {
        format!("{ROOT}/{CLIENT}/.venv/bin/python")
    }
}

fn succeed(command: &mut Command) {
    let ended = command.current_dir(ROOT).output().unwrap();
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn the_subscriber_runs_with_the_stubs_of_the_contract() {
    let run = PythonSubscriber::new().command().arg("--help").output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
