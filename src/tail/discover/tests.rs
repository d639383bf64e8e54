//! Scans of real folders.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A folder with these files, each with its own name as content.
fn tree(files: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    dir
}

fn patterns(dir: &TempDir, globs: &[&str]) -> Patterns {
    let paths: Vec<_> = globs.iter().map(|glob| format!("{}/{glob}", dir.path().display())).collect();
    Patterns::parse(&paths).unwrap()
}

fn below<'a>(dir: &TempDir, paths: impl IntoIterator<Item = &'a Path>) -> Vec<String> {
    let below = |path: &Path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
    paths.into_iter().map(below).collect()
}

fn files(dir: &TempDir, globs: &[&str]) -> Vec<String> {
    let scan = patterns(dir, globs).scan();
    assert!(scan.problems.is_empty(), "{:?}", scan.problems);
    below(dir, scan.files.iter().map(|found| found.path.as_path()))
}

fn folders(dir: &TempDir, glob: &str) -> Vec<String> {
    let scan = patterns(dir, &[glob]).scan();
    below(dir, scan.folders.iter().map(PathBuf::as_path))
}

const NESTED: [&str; 9] = [
    "a.log",
    "b.log",
    "b.txt",
    ".hidden.log",
    "x/c.log",
    "x/y/d.log",
    "x/y/z/a.log",
    "x/.git/e.log",
    "w/a.log",
];

#[test]
fn a_star_stays_in_its_folder_and_two_stars_do_not() {
    let dir = tree(&NESTED);
    assert_eq!(files(&dir, &["*.log"]), ["a.log", "b.log"]);
    assert_eq!(files(&dir, &["*/*.log"]), ["w/a.log", "x/c.log"]);
    assert_eq!(files(&dir, &["**/a.log"]), ["a.log", "w/a.log", "x/y/z/a.log"]);
    assert_eq!(files(&dir, &["x/**/*.log"]), ["x/c.log", "x/y/d.log", "x/y/z/a.log"]);
    assert_eq!(files(&dir, &["x/**"]), ["x/c.log", "x/y/d.log", "x/y/z/a.log"]);
    assert_eq!(files(&dir, &["**/y/**/a.log"]), ["x/y/z/a.log"]);
    assert_eq!(files(&dir, &["{a,b}.[lt]?[gt]"]), ["a.log", "b.log", "b.txt"]);
}

#[test]
fn hidden_names_match_only_where_the_pattern_has_their_dot() {
    let dir = tree(&NESTED);
    assert_eq!(files(&dir, &[".*.log"]), [".hidden.log"]);
    assert_eq!(files(&dir, &["?hidden.log", "{.,}hidden.log"]), [""; 0]);
    assert_eq!(files(&dir, &["**/.git/*"]), ["x/.git/e.log"]);
}

#[test]
fn a_special_character_can_be_taken_as_it_is() {
    let dir = tree(&["a[1].log", "a1.log", "b*.log"]);
    assert_eq!(files(&dir, &["a\\[1\\].log"]), ["a[1].log"]);
    assert_eq!(files(&dir, &["b\\*.log"]), ["b*.log"]);
}

#[test]
fn files_come_in_the_order_of_the_patterns_and_each_once() {
    let dir = tree(&["a.log", "b.log", "c.log"]);
    fs::hard_link(dir.path().join("a.log"), dir.path().join("0-hard.log")).unwrap();
    symlink("b.log", dir.path().join("z-soft.log")).unwrap();
    assert_eq!(files(&dir, &["c.log", "*.log"]), ["c.log", "0-hard.log", "b.log"]);
}

#[test]
fn a_link_to_a_file_is_found_under_its_own_name_and_its_target_is_known() {
    let dir = tree(&["data/real.log"]);
    symlink("data/real.log", dir.path().join("link.log")).unwrap();
    symlink("nowhere", dir.path().join("dangling.log")).unwrap();
    let scan = patterns(&dir, &["*.log"]).scan();
    assert_eq!(below(&dir, scan.files.iter().map(|found| found.path.as_path())), ["link.log"]);
    let real = fs::canonicalize(dir.path().join("data/real.log")).unwrap();
    assert_eq!(scan.links[&real], dir.path().join("link.log"));
    assert!(scan.folders.contains(&real.parent().unwrap().to_owned()));
    assert!(scan.problems.is_empty());
}

#[test]
fn what_is_excluded_is_not_found_and_an_excluded_folder_is_not_walked() {
    let dir = tree(&NESTED);
    let without = |excludes: &[&str]| {
        let excludes: Vec<_> =
            excludes.iter().map(|glob| format!("{}/{glob}", dir.path().display())).collect();
        patterns(&dir, &["**/*.log"]).excluding(&excludes).unwrap()
    };
    let found = |excludes: &[&str]| {
        let scan = without(excludes).scan();
        below(&dir, scan.files.iter().map(|found| found.path.as_path()))
    };
    assert_eq!(found(&["a.log"]), ["b.log", "w/a.log", "x/c.log", "x/y/d.log", "x/y/z/a.log"]);
    assert_eq!(found(&["**/a.log"]), ["b.log", "x/c.log", "x/y/d.log"]);
    for folder in ["x", "x/", "[xyz]"] {
        assert_eq!(found(&[folder]), ["a.log", "b.log", "w/a.log"]);
        let walked = without(&[folder]).scan().folders;
        assert_eq!(below(&dir, walked.iter().map(PathBuf::as_path)), ["", "w"]);
    }
    assert_eq!(found(&["x/y", "w/*"]), ["a.log", "b.log", "x/c.log"]);
    assert_eq!(found(&[""]), [""; 0]);
    let patterns = without(&["x/y"]);
    let at = |path: &str| dir.path().join(path);
    assert!(patterns.matches(&at("x/c.log")) && patterns.concern(&at("x/c.log")));
    assert!(!patterns.matches(&at("x/y/z/a.log")) && !patterns.concern(&at("x/y/z/a.log")));
    assert!(patterns.excluding(&["/logs/[a".to_owned()]).unwrap_err().to_string().contains("no glob"));
}

#[test]
fn links_to_folders_are_followed_where_they_are_named_but_not_by_two_stars() {
    let dir = tree(&["real/a.log"]);
    let outside = tree(&["b.log"]);
    symlink(outside.path(), dir.path().join("link")).unwrap();
    symlink("..", dir.path().join("real/loop")).unwrap();
    assert_eq!(files(&dir, &["link/*.log"]), ["link/b.log"]);
    assert_eq!(files(&dir, &["*/*.log"]), ["link/b.log", "real/a.log"]);
    assert_eq!(files(&dir, &["**/*.log"]), ["real/a.log"]);
}

#[test]
fn folders_that_cannot_hold_a_match_are_not_walked() {
    let dir = tree(&NESTED);
    assert_eq!(folders(&dir, "*.log"), [""]);
    assert_eq!(folders(&dir, "x/*/*.log"), ["x", "x/y"]);
    assert_eq!(folders(&dir, "*/y/*.log"), ["", "w", "x", "x/y"]);
    assert_eq!(folders(&dir, "**/d.log"), ["", "w", "x", "x/y", "x/y/z"]);
}

#[test]
fn what_is_not_there_yet_is_no_problem_and_the_folder_above_is_watched() {
    let dir = tree(&["a/b.log"]);
    for (glob, watched) in
        [("a/c.log", "a"), ("a/new/c.log", "a"), ("new/er/**/*.log", ""), ("a/new/*.log", "a")]
    {
        let scan = patterns(&dir, &[glob]).scan();
        assert!(scan.files.is_empty() && scan.problems.is_empty(), "{glob}: {scan:?}");
        assert_eq!(below(&dir, scan.folders.iter().map(PathBuf::as_path)), [watched], "{glob}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_named_and_the_rest_is_found() {
    let dir = tree(&["a.log", "b/c.log"]);
    symlink("loop.log", dir.path().join("loop.log")).unwrap();
    let problem_of = |globs: &[&str]| {
        let scan = patterns(&dir, globs).scan();
        assert_eq!(scan.files.len(), 1, "{scan:?}");
        assert_eq!(scan.problems.len(), 1, "{scan:?}");
        scan.problems[0].to_string()
    };
    assert!(problem_of(&["loop.log", "a.log"]).contains("loop.log"));
    assert!(problem_of(&["a.log/*.log", "a.log"]).to_lowercase().contains("not a directory"));
    assert!(problem_of(&["b", "a.log"]).contains("is a directory"));
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("s.log")).unwrap();
    assert!(problem_of(&["s.log", "a.log"]).contains("not a regular file"));
    assert_eq!(patterns(&dir, &["[as].log"]).scan().problems.len(), 0);
    drop(socket);
}

#[test]
fn files_past_the_bound_are_left_out_and_that_is_said_once() {
    let dir = tree(&NESTED);
    let all = patterns(&dir, &["**/*.log", "b.txt"]);
    let mut tree = Tree::within([&all], 3, MAX_FOLDERS);
    let looked = tree.look(&|_| false);
    assert_eq!((tree.files().len(), looked.problems.len()), (3, 1), "{looked:?}");
    assert!(looked.problems[0].to_string().contains("max_files (3)"), "{looked:?}");
    fs::remove_file(dir.path().join("a.log")).unwrap();
    assert!(tree.look(&|_| false).problems.is_empty());
    assert_eq!(tree.files().len(), 3);
    let mut tree = Tree::within([&patterns(&dir, &["*.log"])], 2, MAX_FOLDERS);
    assert!(tree.look(&|_| false).problems.is_empty());
}

#[test]
fn folders_past_the_bound_are_not_walked_and_that_is_said_once() {
    let dir = tree(&NESTED);
    let mut tree = Tree::within([&patterns(&dir, &["**/*.log", "x/**"])], MAX_FILES, 2);
    let looked = tree.look(&|_| false);
    let found = tree.files();
    assert_eq!(
        below(&dir, found.iter().map(|(_, found)| found.path.as_path())),
        ["a.log", "b.log", "w/a.log"]
    );
    assert_eq!((looked.folders, looked.problems.len()), (2, 1), "{looked:?}");
    assert!(looked.problems[0].to_string().contains("max_folders (2)"), "{looked:?}");
    assert!(tree.look(&|_| false).problems.is_empty());
}

#[test]
fn a_plain_path_to_a_folder_is_told_what_was_probably_meant() {
    let dir = tree(&["logs/a.log"]);
    let error = patterns(&dir, &["none.log", "logs"]).check_plain().unwrap_err().to_string();
    assert!(error.contains("is a directory; did you mean") && error.contains("logs/*.log?"), "{error}");
    assert_eq!(patterns(&dir, &["none.log", "logs/a.log", "log?"]).check_plain(), Ok(()));
}

#[test]
fn relative_paths_start_at_the_current_folder() {
    let scan = Patterns::parse(&["./src/tail/disc*.rs".to_owned()]).unwrap().scan();
    let expected = std::env::current_dir().unwrap().join("src/tail/discover.rs");
    assert_eq!(scan.files.len(), 1);
    assert_eq!(scan.files[0].path, expected);
}

fn globs() -> impl Strategy<Value = String> {
    let part =
        prop::sample::select(vec!["**", "*", "?", "x", "y", "a*", "*.log", "{a,c}.log", "[ab].log", "d.log"]);
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

proptest! {
    #[test]
    fn a_scan_finds_exactly_the_files_that_match(glob in globs(), other in globs()) {
        let dir = tree(&NESTED);
        let patterns = patterns(&dir, &[&glob, &other]);
        let mut found: Vec<_> = patterns.scan().files.into_iter().map(|found| found.path).collect();
        found.sort();
        let all = NESTED.iter().map(|file| dir.path().join(file));
        let mut matching: Vec<_> = all.filter(|path| patterns.matches(path)).collect();
        matching.sort();
        prop_assert_eq!(found, matching);
    }
}
