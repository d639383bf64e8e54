//! Matching name by name against globset, which matches whole paths.

use proptest::prelude::*;

use super::*;

fn error(text: &str) -> String {
    Pattern::parse(text).unwrap_err().to_string()
}

#[test]
fn a_pattern_that_cannot_work_is_named_with_the_reason() {
    assert!(error("").contains("is empty"));
    assert!(error("/a/\0").contains("NUL"));
    assert_eq!(error("/logs/"), "path \"/logs/\" is a folder: name the files in it, such as /logs/*.log");
    assert!(error("/logs/[a.log").contains("\"/logs/[a.log\" is no glob: unclosed character class"));
    assert!(error("/logs/{a,b").contains("unclosed alternate group"));
    assert!(error("/logs/{a/b,c}.log").contains("has a '/' inside"));
    assert!(error("/logs/*/../a").contains("'..' after a wildcard"));
    assert!(error(&format!("/{}a", "*/".repeat(70))).contains("more than 62 parts"));
}

#[test]
fn as_many_parts_as_there_may_be_still_match() {
    let pattern = Pattern::parse(&"/*".repeat(MAX_PARTS)).unwrap();
    assert!(pattern.matches(Path::new(&"/a".repeat(MAX_PARTS))));
    assert!(!pattern.matches(Path::new(&"/a".repeat(MAX_PARTS + 1))));
}

#[test]
fn names_that_are_not_utf_8_match_too() {
    let pattern = Pattern::parse("/logs/*.log").unwrap();
    assert!(pattern.matches(&Path::new("/logs").join(OsStr::from_bytes(b"\xff\xfe.log"))));
}

fn globs() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["**", "*", "?", "a", "b", "a*", "*b", "[ab]", "{a,bb}", "[!a]"]);
    prop::collection::vec(part, 1..6).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn paths() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "ab", "bb", "c"]);
    prop::collection::vec(name, 1..7).prop_map(|names| format!("/{}", names.join("/")))
}

#[test]
fn what_comes_or_goes_matters_as_a_file_that_matches_or_as_a_link_on_the_way_to_one() {
    let concerns = |glob: &str, path: &str| Pattern::parse(glob).unwrap().concerns(Path::new(path));
    assert!(concerns("/logs/*.log", "/logs/a.log") && !concerns("/logs/*.log", "/logs/a.tmp"));
    assert!(concerns("/logs/**/*.log", "/logs/x/a.log") && !concerns("/logs/**/*.log", "/logs/x/a.tmp"));
    assert!(concerns("/logs/*/*.log", "/logs/link") && !concerns("/logs/*/*.log", "/logs/x/link"));
    assert!(
        concerns("/a/b/*.log", "/a/b") && concerns("/a/b/*.log", "/a") && !concerns("/a/b/*.log", "/a/c")
    );
    assert!(concerns("/logs/a.log", "/logs/a.log") && !concerns("/logs/a.log", "/logs/a.log.1"));
}

proptest! {
    #[test]
    fn what_matches_concerns(glob in globs(), path in paths()) {
        let pattern = Pattern::parse(&glob).unwrap();
        prop_assert!(!pattern.matches(Path::new(&path)) || pattern.concerns(Path::new(&path)));
    }

    #[test]
    fn name_by_name_matches_what_the_whole_path_matches(glob in globs(), path in paths()) {
        let whole = GlobBuilder::new(&glob).literal_separator(true).build().unwrap().compile_matcher();
        prop_assert_eq!(Pattern::parse(&glob).unwrap().matches(Path::new(&path)), whole.is_match(&path));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[/.*?a{}\\[\\],!\\\\-]{0,20}", any in "\\PC{0,30}") {
        prop_assert!(Pattern::parse(&text).is_ok() || !error(&text).is_empty());
        prop_assert!(Pattern::parse(&any).is_ok() || !error(&any).is_empty());
    }
}
