//! The parts that run: the built binary, each with its log in a file, gone at the end.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(
        binary: &Path,
        name: &'static str,
        arguments: &[&str],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        Ok(Self { name, child, log })
    }

    pub(crate) async fn wait_until_it_listens(&mut self, address: &str) -> anyhow::Result<()> {
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, fs::read_to_string(&self.log)?);
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// SIGKILL: it has no chance to say goodbye.
    pub(crate) async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// SIGTERM, after which it has to end by itself and well.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.with_context(|| format!("{} had ended already", self.name))?;
        kill_process(pid, Signal::TERM)?;
        let status = timeout(STOP_TIMEOUT, self.child.wait()).await.context("it did not stop")??;
        ensure!(status.success(), "{} ended with {status}: {}", self.name, fs::read_to_string(&self.log)?);
        Ok(())
    }
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
