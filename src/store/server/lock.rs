//! One owner at a time for a data folder: a locked file with the owner's pid in it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, test_kill_process},
};
use tokio::time::{Instant, sleep};

use super::ServerError;

/// How long the server of an owner that was killed may take to stop.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Locks the folder. The lock lasts as long as any process has the file open, and is
/// waited for only when the owner is dead and its server is about to follow.
pub(super) async fn take(dir: &Path) -> Result<File, ServerError> {
    let path = dir.join("lock");
    let failed = |what| {
        let path = path.clone();
        move |source: io::Error| ServerError::Io { what, path, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open"))?;
    let deadline = Instant::now() + GRACE;
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed("lock")(error.into()));
        }
        let owner = owner(&path);
        if owner.is_some_and(is_alive) || Instant::now() >= deadline {
            let pid = owner.map(|pid| pid.as_raw_nonzero().get());
            return Err(ServerError::InUse { dir: dir.to_owned(), pid });
        }
        sleep(POLL).await;
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed("write"))?;
    Ok(file)
}

/// None between the owner's locking and its writing.
fn owner(path: &Path) -> Option<Pid> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.lines().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw)
}

fn is_alive(pid: Pid) -> bool {
    // Without the right to signal it, it is there all the same.
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}
