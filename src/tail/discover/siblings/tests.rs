//! Which names are siblings, and in which order.

use std::time::{Duration, SystemTime};

use super::*;

fn is_sibling(live: &str, name: &str) -> bool {
    let is_ranked = Rank::of_path(Path::new(live), Path::new(name)).is_some();
    assert_eq!(bases(Path::new(name)).contains(&PathBuf::from(live)), is_ranked, "{live} {name}");
    is_ranked
}

fn beside(live: &Path) -> Vec<Found> {
    siblings(&BTreeSet::from([live.to_owned()])).remove(live).unwrap()
}

#[test]
fn what_rotations_make_of_a_name_is_a_sibling() {
    for name in [
        "app.log.1",
        "app.log.10",
        "app.log-20261120",
        "app.log-20261120-1763600000",
        "app.log.2026-11-20",
        "app.log.2026-11-20_10-15",
        "app.log.20261120T101500Z",
        "app.log.old",
        "app.log.1.bak",
        "app.log~1",
        "app-20261120.log",
        "app.1.log",
        "app-2026-11-20T18-30-00.000.log",
        "app.2026-11-20.3.log",
        "app.log.gz",
        "app.log.1.gz",
        "app-20261120.log.zst",
        "app.1.log.GZ",
    ] {
        assert!(is_sibling("app.log", name), "{name}");
    }
    assert!(is_sibling("messages", "messages-20261120") && is_sibling("syslog", "syslog.1"));
    assert!(is_sibling("0.log", "0.log.20261120-101500"));
}

#[test]
fn other_files_are_no_siblings() {
    for name in [
        "app.log",
        "app.log.1.bz2",
        "app.log.1.gz.gz",
        "app.txt.gz",
        "app.log.xz",
        "app.logs",
        "app.log.lock",
        "app.log.1a",
        "app.log.",
        "app.log1",
        "app.txt.1",
        "app-2.log",
        "app-eu.log",
        "app.error.log",
        "other.log.1",
        "app",
        ".log.1",
    ] {
        assert!(!is_sibling("app.log", name), "{name}");
    }
    assert!(!is_sibling("app1", "app12") && !is_sibling("messages", "messages.txt"));
}

fn names(live: &Path) -> Vec<String> {
    let name = |found: Found| found.path.file_name().unwrap().to_str().unwrap().to_owned();
    beside(live).into_iter().map(name).collect()
}

#[test]
fn the_newest_sibling_is_first_by_time_and_then_by_number_or_date() {
    let dir = tempfile::TempDir::new().unwrap();
    let live = dir.path().join("app.log");
    let then = SystemTime::now() - Duration::from_secs(1000);
    for (name, later_s) in [
        ("app.log", 0),
        ("app.log.1", 0),
        ("app.log.10", 0),
        ("app.log.2", 0),
        ("app.log.3", 9),
        ("app.log.4.gz", 0),
        ("app-20261119.log", 5),
        ("app-20261120.log", 5),
        ("other.log.1", 0),
    ] {
        let file = fs::File::create(dir.path().join(name)).unwrap();
        file.set_modified(then + Duration::from_secs(later_s)).unwrap();
    }
    fs::create_dir(dir.path().join("app.log.7")).unwrap();
    fs::hard_link(&live, dir.path().join("app.log.8")).unwrap();
    let expected = [
        "app.log.3",
        "app-20261120.log",
        "app-20261119.log",
        "app.log.1",
        "app.log.2",
        "app.log.4.gz",
        "app.log.10",
    ];
    assert_eq!(names(&live), expected);
}

#[test]
fn a_file_that_was_just_renamed_away_still_has_its_siblings() {
    let dir = tempfile::TempDir::new().unwrap();
    fs::write(dir.path().join("app.log.1"), "").unwrap();
    assert_eq!(names(&dir.path().join("app.log")), ["app.log.1"]);
    assert!(beside(&dir.path().join("none/app.log")).is_empty());
}

#[test]
fn the_folder_is_no_log_of_which_a_file_is_a_version() {
    for name in ["/log/.+7", "/log/..1", "/log/...2", "/log/.-old"] {
        let bases = bases(Path::new(name));
        assert!(
            bases.iter().all(|base| base.file_name() != Path::new("/log").file_name()),
            "{name}: {bases:?}"
        );
    }
}
