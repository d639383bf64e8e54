//! Which value wins, and what the parts are given.

use std::path::Path;

use super::*;

fn file(text: &str) -> File {
    File::parse(Path::new("relay.toml"), text, Whose::Ours).unwrap()
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = file("[tail]\nhost = \"web\"\npoll_interval_ms = 50\nlinger_ms = 6\n");
    let flags =
        Settings { tail: Tail { poll_interval_ms: Some(7), ..Tail::default() }, ..Settings::default() };
    let effective = Effective::new(&flags.over(&file), &[]).unwrap();
    assert_eq!(effective.tail.poll_interval_ms, 7);
    assert_eq!(effective.tail.linger_ms, 6);
    let defaults = tail::Options::new("web".parse().unwrap(), Vec::new());
    assert_eq!(effective.tail.max_line_bytes, defaults.max_line_bytes);
    assert_eq!(effective.redis.connect.url.to_string(), "redis://127.0.0.1:6379/0");
}

#[test]
fn every_setting_is_shown_once_and_no_password_is() {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    let mut settings = Settings::default();
    settings.redis.redis = Some(value::Value::read("redis://user:hunter1@relay-redis").unwrap());
    settings.redis.redis_password_file = Some(password);
    let effective = Effective::new(&settings, &[]).unwrap();
    let shown = effective.shown();
    assert!(shown.contains(&("", "redis", "redis://user@relay-redis:6379/0".to_owned())), "{shown:?}");
    assert!(!format!("{shown:?}").contains("hunter"), "{shown:?}");
    for key in [General::KEYS, Redis::KEYS, Tail::KEYS, Serve::KEYS].concat() {
        let times = shown.iter().filter(|(_, shown, _)| *shown == key).count();
        assert_eq!(times, usize::from(key != "redis_password_file"), "{key}");
    }
}

#[test]
fn a_password_file_that_is_not_there_is_named() {
    let mut settings = Settings::default();
    settings.redis.redis_password_file = Some("/no/such/file".into());
    let error = Effective::new(&settings, &[]).unwrap_err().to_string();
    assert!(error.contains("/no/such/file"), "{error}");
}

#[test]
fn a_folder_among_the_paths_is_named_with_its_place_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("\n[[inputs]]\npaths = [\"/x\",\n  {:?}]\n", dir.path());
    let error = File::parse(Path::new("relay.toml"), &text, Whose::Ours).unwrap_err().to_string();
    assert!(error.starts_with("relay.toml:4:3: inputs.paths = "), "{error}");
    assert!(File::parse(Path::new("relay.toml"), &text, Whose::Others).is_ok());
}
