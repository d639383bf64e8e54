//! What is a Redis URL, what is none, and that no message gives the password away.

use super::*;

fn parse(text: &str) -> RedisUrl {
    text.parse().unwrap()
}

fn error(text: &str) -> String {
    text.parse::<RedisUrl>().unwrap_err().to_string()
}

#[test]
fn every_part_but_the_host_may_be_left_out() {
    for (text, address, printed) in [
        ("redis://h", "h:6379", "redis://h:6379/0"),
        ("redis://h:7000/", "h:7000", "redis://h:7000/0"),
        ("redis://h/3", "h:6379", "redis://h:6379/3"),
        ("redis://[::1]", "[::1]:6379", "redis://[::1]:6379/0"),
        ("redis://[::1]:7000/2", "[::1]:7000", "redis://[::1]:7000/2"),
        ("redis://me:pw@h", "h:6379", "redis://me@h:6379/0"),
        ("rediss://me:pw@h:7000/2", "h:7000", "rediss://me@h:7000/2"),
        ("redis+sentinel://h/m", "m of h:26379", "redis+sentinel://h:26379/m/0"),
        (
            "rediss+sentinel://me:pw@h,[::1]:7/m/3?sentinel_user=s&sentinel_password=pw",
            "m of h:26379,[::1]:7",
            "rediss+sentinel://me@h:26379,[::1]:7/m/3",
        ),
        ("redis+cluster://h", "h:6379", "redis+cluster://h:6379"),
        ("rediss+cluster://:pw@h,i:7000/0", "h:6379,i:7000", "rediss+cluster://h:6379,i:7000"),
        ("redis+unix:///run/r.sock", "/run/r.sock", "redis+unix:///run/r.sock?db=0"),
        ("redis+unix:///run/a%20b?db=4&user=me&password=pw", "/run/a b", "redis+unix://me@/run/a b?db=4"),
        ("redis+unix://me:pw@/run/r", "/run/r", "redis+unix://me@/run/r?db=0"),
    ] {
        let url = parse(text);
        assert_eq!((url.address().as_str(), url.to_string().as_str()), (address, printed), "{text}");
    }
}

#[test]
fn user_and_password_are_decoded() {
    let url = parse("redis://a%40b:p%2Fw:%25@h");
    assert_eq!((url.login.user.as_deref(), url.login.password.as_deref()), (Some("a@b"), Some("p/w:%")));
    let url = parse("redis://:p@w@h");
    assert_eq!((url.login.user.as_deref(), url.login.password.as_deref()), (None, Some("p@w")));
    let url = parse("redis://me@h").with_password("from a file");
    assert_eq!((url.login.user.as_deref(), url.login.password.as_deref()), (Some("me"), Some("from a file")));
}

#[test]
fn an_error_names_the_part_that_is_wrong() {
    for (text, expected) in [
        ("localhost:6379", "\"localhost:6379\""),
        ("http://h", "\"http\""),
        ("redis+sentinel://h", "names no master"),
        ("redis+sentinel:///m", "host \"\""),
        ("redis+sentinel://h,/m", "host \"\""),
        ("redis+sentinel://h/m/x", "database \"x\""),
        ("redis+sentinel://h/m?password=x", "parameter \"password\""),
        ("redis+cluster://h/1", "a cluster has no \"1\""),
        ("redis+cluster://h?db=1", "parameter \"db\""),
        ("redis://", "host \"\""),
        ("redis://[::1", "host \"[::1\""),
        ("redis://h:0", "port \"0\""),
        ("redis://h:99999", "port \"99999\""),
        ("redis://h/x", "database \"x\""),
        ("redis://h?tls=1", "parameter \"tls\""),
        ("redis+unix://run/r.sock", "path \"run/r.sock\""),
        ("redis+unix://r.sock", "path \"r.sock\""),
        ("redis+unix:///r?db=-1", "database \"-1\""),
        ("redis+unix:///r?x", "parameter \"x\""),
        ("redis://u%zz:pw@h", "user cannot be read"),
    ] {
        assert!(error(text).contains(expected), "{text}: {}", error(text));
    }
}

#[test]
fn the_password_is_in_no_output() {
    for text in [
        "redis://me:hunter2@h:1/2",
        "rediss://me:hunter2@h:1/2",
        "redis+unix:///s?password=hunter2",
        "redis+unix://:hunter2@/s",
        "redis+sentinel://me:hunter2@h/m?sentinel_password=hunter2",
        "redis+cluster://me:hunter2@h",
    ] {
        let url = parse(text);
        let endpoint = Endpoint::Tcp { host: "h".to_owned(), port: 1 };
        let infos = (url.connection_info(&endpoint).unwrap(), url.sentinel_info(&endpoint).unwrap());
        assert!(!format!("{url} {url:?} {} {infos:?}", url.address()).contains("hunter2"), "{text}");
    }
    for text in [
        "me:hunter2@h",
        "redis://me:hunter2@h:x",
        "redis://me:hunter2/x@h",
        "redis://:hunter2?x@h/1",
        "redis://me:hunter2%z@h",
        "redis://me:hunter2@h/x",
        "redis://h?password=hunter2",
        "redis+sentinel://me:hunter2@h",
        "redis+sentinel://h/m?sentinel_password=hunter2&x=1",
        "redis+cluster://me:hunter2@h/1",
        "redis+unix://me:hunter2@h/s",
        "redis+unix://me:hunter2@s",
        "redis+unix:///s?password=hunter2&x=1",
    ] {
        assert!(!error(text).contains("hunter2"), "{text}: {}", error(text));
    }
}
