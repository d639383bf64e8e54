//! What is wrong with a file of rules is said with its place.

use std::fs;

use super::*;

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// The problems of a file, without its folder.
fn problems(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.toml");
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("short.key"), "hunter2\n").unwrap();
    fs::write(
        folder.path().join("pem.key"),
        "-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----\n",
    )
    .unwrap();
    let Err(FileError::Wrong(problems)) = load(&path, &mut Contents::default()) else { return Vec::new() };
    let prefix = format!("{}/", folder.path().display());
    problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
}

#[test]
fn every_section_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.toml");
    fs::write(folder.path().join("id.key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let text = format!(
        "[[tokens]]\nname = \"web\"\nsha256 = \"{HASH}\"\nread = [\"web.*\", \"app\"]\npublish = [\"app\"]\n\
         administer = [\"*\"]\nexpires = 2027-06-30T02:00:00+02:00\n\
         [[certificates]]\nsubject = \"CN=web\"\nread = [\"*\"]\n\
         [[jwt]]\nname = \"id\"\nissuer = \"https://id\"\naudience = \"logs\"\nalgorithm = \"HS256\"\n\
         key_file = \"id.key\"\nkid = \"1\"\nleeway_ms = 0\n"
    );
    fs::write(&path, text).unwrap();
    let rules = load(&path, &mut Contents::default()).unwrap();
    assert_eq!(rules.summary(), "1 tokens, 1 certificates, 1 JWT keys");
    let time: jiff::Timestamp = "2027-06-30T00:00:00Z".parse().unwrap();
    assert_eq!(rules.tokens[0].principal.expires(), Some(time.into()));
    assert!(problems("").is_empty());
}

#[test]
fn what_is_wrong_is_said_with_line_and_key() {
    let token = |rest: &str| format!("[[tokens]]\nname = \"a\"\nsha256 = \"{HASH}\"\n{rest}");
    for (text, expected) in [
        (
            token("raed = []"),
            "access.toml:4:1: unknown field `raed`, expected one of `name`, `sha256`, `read`",
        ),
        (token("read = \"web\""), "access.toml:4:8: read: invalid type: a text, expected a sequence"),
        (token("read = [\"web\", \"a/b\"]"), "access.toml:4:16: tokens.read: "),
        (
            token("expires = 2027-06-30"),
            "access.toml:4:11: tokens.expires: expected is a date and a time with its zone",
        ),
        (
            token("[[tokens]]\nname = \"a\"\nsha256 = \"ab\""),
            "access.toml:5:8: tokens.name: a is there already",
        ),
        (
            token(&format!("[[tokens]]\nname = \"b\"\nsha256 = \"{HASH}\"")),
            "access.toml:6:10: tokens.sha256: another",
        ),
        ("[[tokens]]\nname = \"a\"\n".to_owned(), "access.toml:1:1: missing field `sha256`"),
        ("[[tokens]]\nname = \"a b\"\nsha256 = \"hunter2\"".to_owned(), "access.toml:2:8: tokens.name: "),
        (
            "[[certificates]]\nsubject = \"web\"".to_owned(),
            "access.toml:2:11: certificates.subject: expected is a name",
        ),
        ("[[jwt]\n".to_owned(), "access.toml:1:"),
    ] {
        let found = problems(&text);
        assert!(found.first().is_some_and(|found| found.starts_with(expected)), "{text}\n{found:#?}");
        assert!(!found.concat().contains("hunter"), "{found:?}");
    }
}

#[test]
fn a_key_has_to_be_one_of_its_algorithm() {
    for (algorithm, file, expected) in [
        ("HS256", "short.key", "short.key: a secret for HS256 has at least 32 bytes"),
        ("HS256", "pem.key", "pem.key: it is a PEM file"),
        ("RS256", "pem.key", "pem.key: expected is a public key for RS256"),
        ("ES256", "short.key", "short.key: expected is a public key for ES256"),
        ("EdDSA", "none.key", "none.key: No such file"),
        ("none", "short.key", "jwt.algorithm: expected is one of: HS256, RS256, ES256, EdDSA"),
    ] {
        let text = format!(
            "[[jwt]]\nname = \"id\"\nissuer = \"i\"\naudience = \"a\"\nalgorithm = \"{algorithm}\"\nkey_file = \"{file}\"\n"
        );
        let found = problems(&text);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        assert!(!found.concat().contains("hunter"), "{found:?}");
    }
}
