//! rsyslog from a file to a list of Redis: imfile and omhiredis, one RPUSH a line.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use tokio::process::{Child, Command};

/// Where packages put it: not on the PATH of every user.
const PROGRAM: &str = "/usr/sbin/rsyslogd";
/// Where packages put its modules.
const MODULES: [&str; 3] =
    ["/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog", "/usr/lib64/rsyslog"];

/// How rsyslog queues lines before it sends them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Queue {
    /// As it comes.
    Default,
    /// Up to ten thousand lines at once, in a queue of half a million.
    LargeBatches,
}

impl Queue {
    fn config(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::LargeBatches => {
                "main_queue(queue.type=\"FixedArray\" queue.size=\"500000\" queue.dequeueBatchSize=\"10000\" \
                 queue.workerThreads=\"1\")"
            }
        }
    }
}

/// Whether rsyslog and both modules are there.
pub(crate) fn is_installed() -> bool {
    Path::new(PROGRAM).exists()
        && MODULES.iter().any(|folder| Path::new(folder).join("omhiredis.so").exists())
}

/// Starts rsyslog from a file to the list `key` of the Redis at a port; it is killed when the
/// child is dropped. `folder` is for what it keeps.
pub(crate) fn start(file: &Path, key: &str, port: u16, queue: Queue, folder: &Path) -> anyhow::Result<Child> {
    fs::create_dir_all(folder)?;
    let config = format!(
        r#"global(workDirectory="{folder}")
module(load="imfile")
module(load="omhiredis")
{queue}
template(name="line" type="string" string="%msg%")
input(type="imfile" file="{file}" tag="bench")
action(type="omhiredis" server="127.0.0.1" serverport="{port}" mode="queue" userpush="on" key="{key}" template="line")
"#,
        folder = folder.display(),
        queue = queue.config(),
        file = file.display(),
    );
    let path = folder.join("rsyslog.conf");
    fs::write(&path, config)?;
    let mut command = Command::new(PROGRAM);
    command.args(["-n", "-iNONE", "-f"]).arg(path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join("said"))?);
    Ok(command.kill_on_drop(true).spawn()?)
}
