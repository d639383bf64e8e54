//! The rules of the house that a machine can check: a test that fails the build
//! and says why. Not here: what rustfmt, clippy and cargo-deny check.

use std::{collections::BTreeSet, fs, path::Path};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const MAX_LINES: usize = 400;

/// The rooms of `src/`, each with those right below it: a room may look at
/// everything that can be reached downwards from it, and at nothing else.
const ROOMS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("record", &["proto"]),
    ("retry", &[]),
    ("files", &[]),
    ("telemetry", &[]),
    ("store", &["record", "retry", "telemetry"]),
    ("publish", &["store"]),
    ("tail", &["publish"]),
    ("hub", &["store"]),
    ("access", &["record", "files"]),
    ("serve", &["hub", "publish", "access"]),
    ("client", &["record", "retry", "files"]),
    ("config", &["tail", "serve", "client"]),
    ("cli", &["config"]),
    ("lib", &["cli"]),
    ("main", &["cli"]),
];

/// The crates that speak Redis, and the one room that may name them.
const REDIS_CRATES: &[&str] = &["redis", "bb8", "bb8_redis"];
const REDIS_ROOM: &str = "store";

/// What is wrong with a file, as `path:line: what, and why it matters`.
fn violations(path: &Path, text: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    if path.ends_with("mod.rs") {
        let why = "call it `foo.rs` beside `foo/`, so that file names alone tell where things are";
        found.insert((1, format!("a mod.rs: {why}")));
    }
    if !text.starts_with("//!") {
        found.insert((1, "no `//!` at its head: say what it is for, and what it is not".to_owned()));
    }
    if text.lines().count() > MAX_LINES {
        let why = "split it, one noun a file, small enough to read whole";
        found.insert((MAX_LINES + 1, format!("longer than {MAX_LINES} lines: {why}")));
    }
    if let Ok(inside) = path.strip_prefix("src") {
        let module: Vec<_> =
            inside.with_extension("").iter().map(|part| part.display().to_string()).collect();
        let room = &module[0];
        if !ROOMS.iter().any(|(name, _)| name == room) {
            found.insert((1, format!("`{room}` is no room of the house: give it a place in tests/tidy.rs")));
        }
        let used = paths(text.parse().expect("the compiler has parsed it too"));
        // A module of ours may have the name of a crate, and hides it where it is imported.
        let is_ours = |name: &str| used.iter().any(|used| used.ends_in_ours(name));
        let foreign: Vec<_> = REDIS_CRATES.iter().copied().filter(|name| !is_ours(name)).collect();
        found.extend(used.iter().filter_map(|used| Some((used.line, misplaced(&module, used, &foreign)?))));
    }
    found.into_iter().map(|(line, what)| format!("{}:{line}: {what}", path.display())).collect()
}

/// Why the file of `module` must not name the path, if its last word is the one
/// that decides.
fn misplaced(module: &[String], used: &UsedPath, redis_crates: &[&str]) -> Option<String> {
    let room = module[0].as_str();
    let depth = used.inline_mods + if matches!(room, "lib" | "main") { 0 } else { module.len() };
    let (target, before) = used.segments.split_last()?;
    let from_root = match before {
        [only] if redis_crates.contains(&only.as_str()) && room != REDIS_ROOM => {
            let why = "what it needs of Redis is a function there";
            return Some(format!("{room} names the crate `{only}`, as only {REDIS_ROOM} may: {why}"));
        }
        [only] if only == "crate" || only == "logrelay" => true,
        supers => {
            !supers.is_empty() && supers.len() == depth && supers.iter().all(|segment| segment == "super")
        }
    };
    let allowed = matches!(target.as_str(), "super" | "self") || target == room || is_below(target, room);
    let why = "imports point down, so that nothing knows who calls it";
    (from_root && !allowed).then(|| format!("{room} may not look at `{target}`: {why}"))
}

/// Whether one room can be reached downwards from another.
fn is_below(target: &str, room: &str) -> bool {
    let directly = ROOMS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, below)| below);
    directly.iter().any(|next| *next == target || is_below(target, next))
}

/// A path as the source names it, with the braces of an import written out.
struct UsedPath {
    segments: Vec<String>,
    /// How many `mod … { }` of its file are around it.
    inline_mods: usize,
    line: usize,
}

impl UsedPath {
    /// Whether it leads to something of this crate that has this name.
    fn ends_in_ours(&self, name: &str) -> bool {
        matches!(self.segments[0].as_str(), "crate" | "self" | "super")
            && self.segments.last().is_some_and(|last| last == name)
    }
}

/// Every path of a file, with each of its beginnings: of imports, and inside
/// expressions, types and macros.
fn paths(tokens: TokenStream) -> Vec<UsedPath> {
    let mut found = Vec::new();
    collect(tokens, &[], 0, &mut found);
    found
}

fn collect(tokens: TokenStream, prefix: &[String], inline_mods: usize, found: &mut Vec<UsedPath>) {
    let mut segments = prefix.to_vec();
    let mut colons = 0;
    let mut after_mod = false;
    for token in tokens {
        let line = token.span().start().line;
        let colons_before = std::mem::take(&mut colons);
        let joined = colons_before == 2;
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons = colons_before + 1,
            TokenTree::Ident(name) => {
                if !joined {
                    segments = prefix.to_vec();
                }
                after_mod |= name == "mod";
                segments.push(name.to_string());
                found.push(UsedPath { segments: segments.clone(), inline_mods, line });
            }
            TokenTree::Punct(punct) if joined && punct.as_char() == '*' => {
                segments.push("*".to_owned());
                found.push(UsedPath { segments: segments.clone(), inline_mods, line });
            }
            TokenTree::Group(group) if joined && group.delimiter() == Delimiter::Brace => {
                collect(group.stream(), &segments, inline_mods, found);
            }
            TokenTree::Group(group) => {
                collect(group.stream(), &[], inline_mods + usize::from(after_mod), found);
                after_mod = false;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => after_mod = false,
        }
    }
}

#[test]
fn the_house_is_tidy() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz"] {
        visit(Path::new(folder), &mut |path, text| found.extend(violations(path, text)));
    }
    assert!(found.is_empty(), "{} rules broken:\n{}", found.len(), found.join("\n"));
}

fn visit(path: &Path, check: &mut impl FnMut(&Path, &str)) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries {
        let path = entry.expect("a folder of the project can be listed").path();
        if path.is_dir() {
            visit(&path, check);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            check(&path, &fs::read_to_string(&path).expect("source is text"));
        }
    }
}

/// Checks a fixture as if it were the file `path`: what is found must be on the
/// lines marked `//~ words`, and nowhere else, with those words in the message.
fn assert_finds_what_is_marked(path: &str, fixture: &str) {
    let marked: Vec<_> = fixture
        .lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((format!("{path}:{number}: "), line.split_once("//~ ")?.1)))
        .collect();
    let found = violations(Path::new(path), fixture);
    let same = found.len() == marked.len()
        && found
            .iter()
            .zip(&marked)
            .all(|(message, (at, words))| message.starts_with(at) && message.contains(words));
    assert!(same, "marked: {marked:#?}\nfound: {found:#?}");
}

#[test]
fn a_file_without_its_head_is_found() {
    assert_finds_what_is_marked("src/hub.rs", include_str!("tidy/no-head.rs.txt"));
    assert_finds_what_is_marked("tests/suite/hub.rs", include_str!("tidy/no-head.rs.txt"));
}

#[test]
fn imports_that_look_up_are_found_however_they_are_written() {
    assert_finds_what_is_marked("src/hub/window.rs", include_str!("tidy/upwards.rs.txt"));
    assert_finds_what_is_marked("src/client.rs", include_str!("tidy/upwards-client.rs.txt"));
}

#[test]
fn only_the_store_may_name_the_crates_that_speak_redis() {
    assert_finds_what_is_marked("src/publish/writer.rs", include_str!("tidy/redis.rs.txt"));
    assert_eq!(violations(Path::new("src/store/pool.rs"), include_str!("tidy/redis.rs.txt")), [""; 0]);
}

#[test]
fn a_tidy_file_passes() {
    assert_finds_what_is_marked("src/serve/convert.rs", include_str!("tidy/tidy.rs.txt"));
}

#[test]
fn a_file_may_have_400_lines_and_no_more() {
    let text = format!("//! Long.\n{}", "//\n".repeat(MAX_LINES - 1));
    assert_eq!(violations(Path::new("src/hub.rs"), &text), [""; 0]);
    let [found] = &violations(Path::new("benches/hub.rs"), &(text + "//\n"))[..] else { panic!("one rule") };
    assert!(found.starts_with("benches/hub.rs:401: longer than 400 lines"), "{found}");
}

#[test]
fn a_mod_rs_and_a_room_without_a_place_are_found() {
    let [found] = &violations(Path::new("tests/suite/mod.rs"), "//! A head.\n")[..] else {
        panic!("one rule")
    };
    assert!(found.contains("a mod.rs"), "{found}");
    let [found] = &violations(Path::new("src/attic.rs"), "//! A head.\nstruct Dust;\n")[..] else {
        panic!("one rule")
    };
    assert!(found.contains("`attic` is no room"), "{found}");
}
