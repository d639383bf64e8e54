//! Paths and globs: no text breaks them, and name by name they match what globset
//! matches of a whole path.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use globset::GlobBuilder;
use logrelay::tail::discover::{Patterns, bases};

/// Parts of globs in which both dialects agree.
const PARTS: [&str; 12] = ["**", "*", "?", "a", "b", "a*", "*b", "[ab]", "{a,bb}", "[!a]", "a?b", "*.log"];
const NAMES: [&str; 8] = ["a", "b", "ab", "bb", "aab", "c", "x.log", "a.b"];

/// Bytes that are a way to go, and a glob and a path with a newline between them.
pub fn check(data: &[u8]) {
    let [way, rest @ ..] = data else { return };
    let mut texts = rest.splitn(2, |&byte| byte == b'\n');
    let (glob, path) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    if way % 2 == 1 {
        same_as_globset(glob, path);
        return;
    }
    let path = Path::new("/").join(OsStr::from_bytes(path));
    for base in bases(&path) {
        assert!(base != path && base.parent() == path.parent(), "{} of {}", base.display(), path.display());
    }
    match Patterns::parse(&[String::from_utf8_lossy(glob).into_owned()]) {
        Ok(patterns) => {
            patterns.matches(&path);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn same_as_globset(glob: &[u8], path: &[u8]) {
    let joined = |bytes: &[u8], words: &[&str]| {
        let parts = bytes.iter().take(12).map(|&byte| words[usize::from(byte) % words.len()]);
        parts.fold(String::new(), |text, part| format!("{text}/{part}"))
    };
    let (glob, path) = (joined(glob, &PARTS), joined(path, &NAMES));
    if glob.is_empty() || path.is_empty() {
        return;
    }
    let whole = GlobBuilder::new(&glob).literal_separator(true).build().expect("made of good parts");
    let ours = Patterns::parse(std::slice::from_ref(&glob)).expect("made of good parts");
    let (ours, theirs) = (ours.matches(Path::new(&path)), whole.compile_matcher().is_match(&path));
    assert_eq!(ours, theirs, "{glob} of {path}");
}

/// Globs with every special character, and names of rotated files.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 5] = [
        b"\0/var/log/**/{a,b}[0-9]?.log\nvar/log/x/a1b.log",
        b"\0relative/*.log\napp.log-20261120.gz",
        b"\0/a/\\*/[!a].log\na/app-2026-11-20T10:15.log",
        b"\0/../.*\n\xff\xfe.log.1",
        b"\x01\x00\x01\x03\n\x03\x02\x01",
    ];
    texts.map(<[u8]>::to_vec).into()
}
