//! The built tailer where the system refuses it something: watches, files, folders.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use logrelay::record::Topic;
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::{
    support::{TestRedis, eventually},
    tailing::append,
};

const BINARY: &str = env!("CARGO_BIN_EXE_logrelay");
/// Who owns nothing.
const NOBODY: u32 = 65534;

/// A tailer of the folder `logs`, and what it says.
struct Tailer {
    folder: TempDir,
    redis: TestRedis,
    child: Option<Child>,
}

impl Tailer {
    async fn prepare() -> Self {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        Self { folder, redis: TestRedis::with_port(&[]).await, child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    /// Runs it by a command that takes the program and its arguments.
    fn run(&mut self, mut command: Command) {
        let said = fs::File::create(self.folder.path().join("said")).unwrap();
        command.args(["tail", "--topic", "t", "--host", "h", "--poll-interval-ms", "100", "--redis"]);
        command.arg(self.redis.url().to_string()).arg(self.path("**/*.log"));
        self.child = Some(command.stdin(Stdio::null()).stderr(said).spawn().unwrap());
    }

    async fn until_lines(&self, count: u64) {
        let (store, topic): (_, Topic) = (self.redis.store(), "t".parse().unwrap());
        eventually(&format!("{count} lines: {}", self.said()), async || {
            let found = store.resolve(&topic).await.ok().flatten();
            found.is_some_and(|found| found.timeline.next().get() >= count)
        })
        .await;
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap()
    }

    fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success(), "{}", self.said());
    }
}

impl Drop for Tailer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The tailer in a user namespace with a limit of its own; none where there are no such.
fn limited(setting: &str, value: u32) -> Option<Command> {
    let set = format!("echo {value} > /proc/sys/user/{setting} && exec \"$@\"");
    let unshare = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", &set, "sh", program]);
        command
    };
    let works = unshare("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    works.then(|| unshare(BINARY))
}

async fn is_polled_with_one_warning(setting: &str, value: u32, sysctl: &str) {
    let Some(command) = limited(setting, value) else {
        eprintln!("not tested: no user namespaces here");
        return;
    };
    let mut tailer = Tailer::prepare().await;
    for folder in 0..20 {
        fs::create_dir(tailer.path(&format!("{folder}"))).unwrap();
        append(&tailer.path(&format!("{folder}/a.log")), "first\n");
    }
    tailer.run(command);
    tailer.until_lines(20).await;
    for folder in 0..20 {
        append(&tailer.path(&format!("{folder}/a.log")), "second\n");
        append(&tailer.path(&format!("{folder}/b.log")), "third\n");
    }
    tailer.until_lines(60).await;
    tailer.stop();
    let said = tailer.said();
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{said}");
    let now = fs::read_to_string(Path::new("/proc/sys").join(sysctl.replace('.', "/"))).unwrap();
    assert!(warnings[0].contains(sysctl) && warnings[0].contains(now.trim()), "{}", warnings[0]);
}

#[tokio::test]
async fn past_the_limit_of_watches_folders_are_polled_and_one_warning_names_the_sysctl() {
    is_polled_with_one_warning("max_inotify_watches", 5, "fs.inotify.max_user_watches").await;
}

#[tokio::test]
async fn past_the_limit_of_instances_all_is_polled_and_one_warning_names_the_sysctl() {
    is_polled_with_one_warning("max_inotify_instances", 0, "fs.inotify.max_user_instances").await;
}

#[tokio::test]
async fn files_and_folders_are_followed_when_they_may_be_read_and_as_long_as_they_are_open() {
    let mut tailer = Tailer::prepare().await;
    let permit = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    fs::create_dir(tailer.path("shut")).unwrap();
    let [open, closed, shut] = ["open.log", "closed.log", "shut/a.log"].map(|name| tailer.path(name));
    for path in [&open, &closed, &shut] {
        append(path, "first\n");
    }
    permit(&closed, 0o000);
    permit(&tailer.path("shut"), 0o000);

    // Permissions bite nobody but others than root; and those have to reach the program.
    let program = tailer.folder.path().join("logrelay");
    fs::hard_link(BINARY, &program).or_else(|_| fs::copy(BINARY, &program).map(drop)).unwrap();
    let mut command = Command::new(program);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    tailer.run(command);
    tailer.until_lines(1).await;
    permit(&closed, 0o644);
    tailer.until_lines(2).await;
    permit(&tailer.path("shut"), 0o755);
    tailer.until_lines(3).await;
    append(&shut, "second\n");
    tailer.until_lines(4).await;

    let mut file = fs::File::options().append(true).open(&open).unwrap();
    permit(&open, 0o000);
    std::io::Write::write_all(&mut file, b"second\n").unwrap();
    tailer.until_lines(5).await;
    permit(&tailer.path("shut"), 0o000);
    permit(&tailer.path("shut"), 0o755);
    append(&shut, "third\n");
    tailer.until_lines(6).await;
    tailer.stop();
    let said = tailer.said();
    assert!(said.contains("closed.log") && said.contains("shut"), "{said}");
    assert_eq!(said.matches("ermission denied").count(), 2, "{said}");
}
