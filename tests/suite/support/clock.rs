//! A server whose clock a test sets. The scripts ask that clock and no other.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::{TestRedis, program};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/clock.c");

/// The clock of one server.
pub(crate) struct Clock {
    folder: TempDir,
}

impl Clock {
    /// A server and its clock, which is right at first.
    pub(crate) async fn start() -> (Self, TestRedis) {
        let clock = Self { folder: TempDir::new().unwrap() };
        let (library, wrapper) = (clock.path("clock.so"), clock.path("redis-server"));
        clock.set_ahead_s(0);
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(SOURCE)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let real = program().unwrap_or_else(|| "redis-server".into());
        let script = format!(
            "#!/bin/sh\nCLOCK_FILE='{}' LD_PRELOAD='{}' exec '{}' \"$@\"\n",
            clock.path("ahead").display(),
            library.display(),
            real.display(),
        );
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o700)).unwrap();
        let redis = TestRedis::with_program(Some(wrapper), &[]).await;
        (clock, redis)
    }

    /// From now on it is ahead of the true time by so many seconds; behind it, where there
    /// are fewer than none.
    pub(crate) fn set_ahead_s(&self, seconds: i64) {
        use std::io::Write as _;
        // In place: the server has mapped the file.
        let mut file = fs::File::options().create(true).truncate(false).write(true).open(self.path("ahead"));
        file.as_mut().unwrap().write_all(&(seconds * 1_000_000).to_ne_bytes()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
