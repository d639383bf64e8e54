//! What is used wrongly is refused before anything starts: what it is, where it stands, exit code 2;
//! what fails for another reason ends with 1.

use std::{fs, net::TcpListener, process::Output};

use logrelay::store::{PrivateServer, ServerOptions};

use crate::program::logrelay;

/// Runs the program to its end, and looks at its exit code and its words.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_2() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["subscribe"], &["<TOPIC>"]),
        (&["subscribe", "a/b"], &["a/b", "'/'"]),
        (&["subscribe", "app", "app"], &["app", "more than once"]),
        (&["subscribe", "app", "--from", "yesterday"], &["--from", "RFC 3339"]),
        (&["subscribe", "app", "--from", "db@00000000000000aa:1"], &["db", "not asked for"]),
        (&["subscribe", "app", "--from", "app@00000000000000aa:-1"], &["offset", "-1"]),
        (&["subscribe", "app", "--heartbeat-interval-ms", "0"], &["1000..=300000"]),
        (&["subscribe", "app", "--relay", "https://relay:1"], &["https", "not supported"]),
        (&["subscribe", "app", "--relay", "relay:99999"], &["port"]),
        (&["tail", "/tmp/x.log"], &["--topic"]),
        (&["tail"], &["nothing to follow"]),
        (&["tail", "--topic", "app", "/tmp"], &["/tmp", "directory"]),
        (&["tail", "--topic", "app", "/tmp/[a"], &["/tmp/[a"]),
        (&["tail", "--topic", "app", "-", "/tmp/a"], &["standard input"]),
        (&["tail", "--topic", "app", "--max-line-bytes", "99999999", "/tmp/a"], &["from 1 to 3145728"]),
        (&["tail", "--topic", "app", "--start", "middle", "/tmp/a"], &["beginning, end"]),
        (&["serve", "--listen", "7171"], &["127.0.0.1:7171"]),
        (&["serve", "--redis", "http://x"], &["redis://", "http"]),
        (&["dev"], &["nothing to follow"]),
        (&["serve", "--window-bytes", "0"], &["from 4096"]),
        (&["topics", "--log-level", "loud"], &["loud"]),
        (&["check-config", "--config", "/no/such/file.toml"], &["/no/such/file.toml"]),
        (&["fly"], &["fly"]),
    ];
    for (arguments, words) in cases {
        refused(&logrelay(arguments).output().unwrap(), 2, words);
    }
}

#[test]
fn a_password_in_a_wrong_url_is_not_repeated() {
    for arguments in
        [["serve", "--redis", "redis://me:hunter2@host:port"], ["tail", "--redis", "x:hunter2@y"]]
    {
        let output = logrelay(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
    let help = logrelay(&["serve", "--help"]).env("LOGRELAY_REDIS", "redis://:hunter2@h").output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("hunter2"));
}

#[test]
fn a_wrong_variable_is_named_by_its_flag() {
    let output = logrelay(&["subscribe", "app"]).env("LOGRELAY_OUTPUT", "xml").output().unwrap();
    refused(&output, 2, &["--output", "xml"]);
}

#[test]
fn a_broken_file_is_told_with_line_and_column_by_every_command_that_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    let path = config.to_str().unwrap();
    for command in ["check-config", "tail", "serve", "dev"] {
        fs::write(&config, "[tail]\nhost = \n").unwrap();
        let broken = logrelay(&[command, "--config", path]).output().unwrap();
        refused(&broken, 2, &[&format!("{path}:2:8: ")]);
        fs::write(&config, "[tail]\npol_interval_ms = 5\nhost = 7\n").unwrap();
        let wrong = logrelay(&[command, "--config", path]).output().unwrap();
        refused(
            &wrong,
            2,
            &["relay.toml:2:1", "tail.poll_interval_ms", "relay.toml:3:8", "a text in quotes"],
        );
    }
}

#[test]
fn check_config_says_each_value_and_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    fs::write(&config, "prefix = \"p\"\n[tail]\nhost = \"web\"\n[[inputs]]\npaths = [\"/x/*.log\"]\n")
        .unwrap();
    let path = config.to_str().unwrap();
    let checked = logrelay(&["check-config", "--config", path, "--linger-ms", "5"])
        .env("LOGRELAY_WINDOW_BYTES", "10000")
        .env("LOGRELAY_HOST", "db")
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    let text = String::from_utf8(checked.stdout).unwrap();
    let line = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("prefix"), ["p", &format!("{path}:1")]);
    assert_eq!(line("tail.host"), ["db", "LOGRELAY_HOST"]);
    assert_eq!(line("tail.linger_ms"), ["5", "--linger-ms"]);
    assert_eq!(line("serve.window_bytes"), ["10000", "LOGRELAY_WINDOW_BYTES"]);
    assert_eq!(line("tail.max_line_bytes"), ["1048576", "default"]);
    assert_eq!(line("inputs")[0], "/x/*.log");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = logrelay(&["serve", "--listen", &address]).output().unwrap();
    refused(&output, 1, &[&address, "--listen"]);
}

#[test]
fn dev_without_a_redis_server_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["dev", "/tmp/x.log", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let output = logrelay(&arguments).env("PATH", folder.path()).output().unwrap();
    refused(&output, 1, &["redis-server", "PATH"]);
}

#[tokio::test]
async fn a_wrong_password_ends_tail_and_serve() {
    let folder = tempfile::tempdir().unwrap();
    let extra_args = ["--requirepass", "right"].map(str::to_owned).to_vec();
    let options = ServerOptions { extra_args, ..ServerOptions::new(folder.path().join("data")) };
    let server = PrivateServer::start(&options).await.unwrap();
    let url = server.url().to_string();
    let password = folder.path().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    let password = password.to_str().unwrap();
    let log = folder.path().join("a.log");
    let tail = ["tail", "--topic", "app", "--host", "h", log.to_str().unwrap()];
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    for command in [&tail[..], &serve[..]] {
        let wrong = [command, &["--redis", &url, "--redis-password-file", password]].concat();
        let output = logrelay(&wrong).output().unwrap();
        refused(&output, 1, &["WRONGPASS", "redis.sock"]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
    server.stop().await;
}
