//! The subscriber in Python: its packages, its stubs, and how it is run.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::make::{made, succeed};

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
        made("python");
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

#[test]
fn the_subscriber_runs_with_the_stubs_of_the_contract() {
    let run = PythonSubscriber::new().command().arg("--help").output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
