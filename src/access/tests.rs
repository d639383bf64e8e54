//! Whom rules know, and what becomes of them when the rules change.

use std::{fs, path::Path};

use futures_util::FutureExt as _;
use http::{HeaderValue, header::AUTHORIZATION};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::files::{Contents, FileError};

fn rules(text: &str) -> Rules {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.toml");
    fs::write(&path, text).unwrap();
    load(&path, &mut Contents::default()).unwrap()
}

/// A section for a token.
fn section(token: &str, rest: &str) -> String {
    let hash = token::Digest::of(token.as_bytes());
    format!("[[tokens]]\nname = \"n-{}\"\nsha256 = \"{hash}\"\n{rest}\n", token.len())
}

fn with_token(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

fn certificate(dns: &str) -> ClientCertificate {
    let params = CertificateParams::new([dns.to_owned()]).unwrap();
    ClientCertificate::parse(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
}

proptest! {
    #[test]
    fn whatever_is_shown_nobody_is_known_by_it_and_no_refusal_repeats_it(token in "[ -~]{0,300}") {
        let access = Access::ruled(rules(&section("a-token", "read = [\"web.*\"]")));
        let refusal = access.identify(&with_token(&token), None).unwrap_err();
        let said = format!("{refusal} {refusal:?}");
        prop_assert!(token.len() < 12 || !said.contains(&token), "{}", said);
    }

    #[test]
    fn whatever_stands_in_a_file_is_understood_or_refused_with_places_in_it(
        lines in prop::collection::vec(
            prop_oneof![
                Just("[[tokens]]".to_owned()),
                Just("[[jwt]]".to_owned()),
                "(name|sha256|read|expires|key_file|subject) = (\"[a-z*]{0,9}\"|\\[\"[a-z/]*\"\\]|2030-01-01|7)",
                "\\PC{0,20}",
            ],
            0..12,
        ),
    ) {
        let text = lines.join("\n");
        match parse(Path::new("access.toml"), &text, &mut Contents::default()) {
            Ok(rules) => prop_assert!(!rules.summary().is_empty()),
            Err(FileError::Wrong(problems)) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!((1..=lines.len().max(1)).contains(&problem.line), "{}", problem);
                }
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[test]
fn a_grant_is_for_one_action_and_its_topics() {
    let grants = Grants { read: vec!["web.*".parse().unwrap()], ..Grants::default() };
    let reader = Principal::new("reader", grants, None);
    assert!(reader.may(Action::Read, &"web.1".parse().unwrap()));
    assert!(!reader.may(Action::Read, &"db".parse().unwrap()));
    assert!(!reader.may(Action::Publish, &"web.1".parse().unwrap()));
    assert!(!reader.may(Action::Administer, &"web.1".parse().unwrap()));
}

#[test]
fn a_token_is_known_by_its_hash_and_by_nothing_else() {
    let text =
        section("a-token", "read = [\"web.*\"]") + &section("an-old-one", "expires = 2020-01-01T00:00:00Z");
    let access = Access::ruled(rules(&text));
    let identify = |token: &str| access.identify(&with_token(token), None);
    let principal = identify("a-token").unwrap();
    assert_eq!(principal.name(), "n-7");
    assert!(principal.may(Action::Read, &"web.1".parse().unwrap()));
    assert_eq!(identify("an-old-one").unwrap_err(), Refusal::ExpiredToken);
    for wrong in ["a-toke", "a-token2", "x", &token::Digest::of(b"a-token").to_string()] {
        assert_eq!(identify(wrong).unwrap_err().reason(), "BAD_TOKEN", "{wrong}");
    }
    assert_eq!(access.identify(&HeaderMap::new(), None).unwrap_err(), Refusal::NoCredentials);
}

#[test]
fn a_certificate_is_known_by_its_names_and_a_token_wins_over_it() {
    let text =
        section("a-token", "") + "[[certificates]]\nsubject = \"DNS:web.example.org\"\nread = [\"web\"]\n";
    let access = Access::ruled(rules(&text));
    let (known, unknown) = (certificate("web.example.org"), certificate("db.example.org"));
    let none = HeaderMap::new();
    let principal = access.identify(&none, Some(&known)).unwrap();
    assert_eq!((principal.name(), principal.expires()), ("DNS:web.example.org", Some(known.not_after())));
    assert_eq!(access.identify(&none, Some(&unknown)).unwrap_err(), Refusal::UnknownCertificate);
    assert_eq!(access.identify(&with_token("a-token"), Some(&known)).unwrap().name(), "n-7");
    assert_eq!(access.identify(&with_token("b"), Some(&known)).unwrap_err().reason(), "BAD_TOKEN");
    let any = Access::AnyCertificate;
    assert_eq!(any.identify(&none, Some(&unknown)).unwrap().name(), "DNS:db.example.org");
    assert_eq!(any.identify(&none, None).unwrap_err(), Refusal::NoCredentials);
}

#[test]
fn what_a_change_removes_lapses_and_what_it_leaves_does_not() {
    let stays = section("stays", "read = [\"a\"]");
    let text = |rest: &str| stays.clone() + rest;
    let changes = |grants: &str| section("changes-", &format!("read = [\"{grants}\"]"));
    let access = Access::ruled(rules(&text(&(changes("a") + &section("goes-away-", "")))));
    let lapse = |token: &str| access.identify(&with_token(token), None).unwrap().expired();
    let (stay, change, go) = (lapse("stays"), lapse("changes-"), lapse("goes-away-"));
    access.replace(rules(&text(&changes("b"))));
    assert_eq!(change.now_or_never(), Some(Lapse::Withdrawn));
    assert_eq!(go.now_or_never(), Some(Lapse::Withdrawn));
    let mut stay = Box::pin(stay);
    assert_eq!(stay.as_mut().now_or_never(), None);
    assert_eq!(lapse("changes-").now_or_never(), None);
    assert!(access.identify(&with_token("goes-away-"), None).is_err());
    access.replace(rules(&section("stays", "read = [\"a\"]\nexpires = 2090-01-01T00:00:00Z")));
    assert_eq!(stay.now_or_never(), Some(Lapse::Withdrawn));
}
