//! What is reported by the system is enough to know what a new scan would find.

use std::{fs, os::unix::fs::symlink};

use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Write(String),
    Rename(String, String),
    Remove(String),
    Link(String, String),
    MakeFolder(String),
}

fn folders() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b"]);
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn files() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["c.log", "d.log", "e.tmp"]);
    (folders(), name, any::<bool>()).prop_map(
        |(folder, name, deep)| {
            if deep { format!("{folder}/{name}") } else { name.to_owned() }
        },
    )
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![folders(), files()]
}

/// Two of a kind.
fn pairs() -> impl Strategy<Value = (String, String)> {
    prop_oneof![(folders(), folders()), (files(), files())]
}

/// Names that nothing but a link has: where one link leads to another, only a look at
/// everything notices that the other has changed.
fn links() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["link", "link.log", "a/link", "a/b/link.log", "a/link.log"])
        .prop_map(str::to_owned)
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => files().prop_map(Action::Write),
        3 => pairs().prop_map(|(from, to)| Action::Rename(from, to)),
        3 => prop_oneof![names(), links()].prop_map(Action::Remove),
        2 => (names(), links()).prop_map(|(to, at)| Action::Link(to, at)),
        2 => folders().prop_map(Action::MakeFolder),
    ];
    prop::collection::vec(action, 1..30)
}

impl Action {
    /// Does what can be done.
    fn act(&self, dir: &Path) {
        let at = |name: &String| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).ok();
            path
        };
        match self {
            Self::Write(name) => fs::write(at(name), "line\n").ok(),
            Self::Rename(from, to) => fs::rename(dir.join(from), at(to)).ok(),
            Self::Remove(name) => {
                let path = dir.join(name);
                fs::remove_file(&path).or_else(|_| fs::remove_dir_all(path)).ok()
            }
            Self::Link(to, name) => symlink(dir.join(to), at(name)).ok(),
            Self::MakeFolder(name) => fs::create_dir_all(dir.join(name)).ok(),
        };
    }
}

/// Everything that was reported until now.
async fn reported(watcher: &Watcher, sentinel: &Path) -> Changes {
    fs::write(sentinel, "now").unwrap();
    let mut all = Changes::default();
    while !all.written.contains(sentinel) {
        let changes = timeout(Duration::from_secs(20), watcher.changed()).await.expect("a report");
        all.written.extend(changes.written);
        all.entries.extend(changes.entries);
        all.below.extend(changes.below);
        all.folders.extend(changes.folders);
        all.everything |= changes.everything;
    }
    all
}

/// Growth is told to the sources past the looks.
fn id(found: &Found) -> (PathBuf, u64, u64) {
    (found.path.clone(), found.device, found.inode)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn looks_at_what_is_reported_know_what_a_scan_of_everything_finds() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
    let globs =
        prop::sample::select(vec!["**/*.log", "*/*.log", "a/b/*.log", "a/*/c.log", "a/c.log", "*/b/**"]);
    let rounds = prop::collection::vec(actions(), 1..4);
    let result = runner.run(&(globs, rounds), |(glob, rounds)| {
        runtime().block_on(async {
            let (dir, beside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
            let sentinel = beside.path().join("sentinel");
            fs::write(&sentinel, "").unwrap();
            let root = dir.path().canonicalize().unwrap();
            let patterns = Patterns::parse(&[root.join(glob).display().to_string()]).unwrap();
            let watcher = Arc::new(Watcher::new(true));
            assert!(watcher.watch(beside.path()));
            let mut eyes = Eyes { tree: Tree::new([&patterns]), watcher: Arc::clone(&watcher) };
            let mut sight = eyes.look(Some(&HashSet::new()));
            let watch = |folder: &Path| watcher.watch(folder);
            eyes.tree.look(&watch);
            for actions in rounds {
                for action in &actions {
                    action.act(&root);
                }
                let mut changed = Changed::default();
                let reports = reported(&watcher, &sentinel).await;
                changed.note(reports, std::slice::from_ref(&patterns), &sight.links);
                changed.add(eyes.tree.unwatched());
                sight = eyes.look(Some(&changed.folders));
                // A look names a file by each of its paths, a scan by the first.
                let mut seen = HashSet::new();
                let first = sight.files.iter().filter(|(_, found)| seen.insert((found.device, found.inode)));
                let found: Vec<_> = first.map(|(_, found)| id(found)).collect();
                prop_assert_eq!(found, patterns.scan().files.iter().map(id).collect::<Vec<_>>());
            }
            Ok(())
        })
    });
    result.unwrap();
}

#[test]
fn folders_that_come_and_go_thousands_of_times_leave_no_watch_behind() {
    runtime().block_on(async {
        let dir = TempDir::new().unwrap();
        let patterns = Patterns::parse(&[dir.path().join("*/*.log").display().to_string()]).unwrap();
        let watcher = Arc::new(Watcher::new(true));
        let mut eyes = Eyes { tree: Tree::new([&patterns]), watcher: Arc::clone(&watcher) };
        for round in 0..1000 {
            let folder = dir.path().join(format!("{}", round % 7));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("a.log"), "line\n").unwrap();
            assert_eq!(eyes.look(Some(&[dir.path().to_owned()].into())).files.len(), usize::from(round > 0));
            eyes.look(None);
            fs::remove_dir_all(&folder).unwrap();
        }
        let sight = eyes.look(None);
        assert!(sight.files.is_empty() && sight.unwatched.is_empty());
    });
}
