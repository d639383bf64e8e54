//! What is used wrongly is refused before anything starts: what it is, where it stands, exit code 2;
//! what fails for another reason ends with 1.

use std::{fs, net::TcpListener, os::unix::fs::symlink, process::Output};

use crate::{
    dev::{Dev, run, run_with},
    process::Process,
    relay::Relay,
    suite::support::{TestRedis, eventually, writer::Writer},
};

/// Runs the program to its end, and looks at its exit code and its words.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    let twice = said.lines().find(|line| line.matches("(os error").count() > 1);
    assert_eq!(twice, None, "a cause is said once");
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_refused_with_2() {
    let cases: &[(&str, &[&str])] = &[
        ("subscribe", &["<TOPIC>"]),
        ("subscribe a/b", &["a/b", "'/'"]),
        ("subscribe app app", &["app", "more than once"]),
        ("subscribe app --from yesterday", &["--from", "RFC 3339"]),
        ("subscribe app --from db@00000000000000aa:1", &["db", "not asked for"]),
        ("subscribe app --from app@00000000000000aa:-1", &["offset", "-1"]),
        ("subscribe app --subscription a/b", &["--subscription", "a/b", "1 to 200"]),
        ("subscribe app --subscription s --cursor-file c", &["--subscription", "--cursor-file"]),
        ("subscribe app --heartbeat-interval-ms 0", &["1000..=300000"]),
        ("subscribe app --relay ftp://relay:1", &["ftp", "not supported"]),
        ("subscribe app --relay relay:99999", &["port"]),
        ("publish", &["<TOPIC>"]),
        ("publish a/b", &["a/b"]),
        ("publish app --producer a/b", &["--producer", "a/b"]),
        ("publish app --label x", &["--label", "name=value"]),
        ("publish app --max-line-bytes 0", &["1..="]),
        ("tail /tmp/x.log", &["--topic"]),
        ("tail", &["nothing to follow"]),
        ("tail --topic app /tmp", &["/tmp", "directory"]),
        ("tail --topic app /tmp/[a", &["/tmp/[a"]),
        ("tail --topic app - /tmp/a", &["standard input"]),
        ("tail --topic app --max-line-bytes 99999999 /tmp/a", &["from 1 to 3145728"]),
        ("tail --topic app --start middle /tmp/a", &["beginning, end"]),
        ("serve --listen 7171", &["127.0.0.1:7171"]),
        ("serve --redis http://x", &["redis://", "http"]),
        ("dev", &["nothing to follow"]),
        ("serve --window-bytes 0", &["from 4096"]),
        ("serve --max-subscriptions 0", &["from 1 to"]),
        ("serve --batch-bytes 4294967295", &["from 1 to"]),
        ("serve --redis-pool-size 0", &["from 1 to"]),
        ("tail --buffer-bytes 99999999999999999999 --topic app /tmp/a", &["whole number"]),
        ("tail --prefix a{b} --topic app /tmp/a", &["a{b}", "brace"]),
        ("subscribe app --relay https://127.0.0.1:1 --ca Cargo.toml", &["Cargo.toml", "no certificate"]),
        ("topics --log-level loud", &["loud"]),
        ("check-config --config /no/such/file.toml", &["--config /no/such/file.toml"]),
        ("check-config --config /dev/zero", &["--config /dev/zero", "larger than 16777216"]),
        ("inputs push --host h /no/such/inputs.toml", &["inputs of /no/such/inputs.toml"]),
        ("topics --token-file /no/such/token", &["--token-file /no/such/token"]),
        ("serve --tls-certificate /no/a --tls-key /no/b", &["--tls-certificate /no/a"]),
        ("subscribe app --ca Cargo.toml", &["--ca", "https://"]),
        ("fly", &["fly"]),
    ];
    for (arguments, words) in cases {
        refused(&run(arguments).await, 2, words);
    }
}

#[tokio::test]
async fn a_cursor_file_that_is_no_file_is_refused_with_1() {
    for path in ["/dev/zero", "/tmp"] {
        let output = run(&format!("subscribe app --relay 127.0.0.1:1 --cursor-file {path}")).await;
        refused(&output, 1, &[path, "not a regular file"]);
    }
}

#[tokio::test]
async fn a_password_in_a_wrong_url_is_not_repeated() {
    for words in [
        "serve --redis redis://me:hunter2@host:port",
        "tail --redis x:hunter2@y",
        "subscribe app --relay http://me:hunter2@host",
    ] {
        let output = run(words).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
    let help = run_with("serve --help", &[("LOGRELAY_REDIS", "redis://:hunter2@h")]).await;
    assert!(!String::from_utf8_lossy(&help.stdout).contains("hunter2"));
}

#[tokio::test]
async fn a_wrong_variable_is_named_by_its_flag() {
    let output = run_with("subscribe app", &[("LOGRELAY_OUTPUT", "xml")]).await;
    refused(&output, 2, &["--output", "xml"]);
}

#[tokio::test]
async fn a_broken_file_is_told_with_line_and_column_by_every_command_that_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    let path = config.to_str().unwrap();
    for command in ["check-config", "tail", "serve", "dev"] {
        fs::write(&config, "[tail]\nhost = \n").unwrap();
        let broken = run(&format!("{command} --config {path}")).await;
        refused(&broken, 2, &[&format!("{path}:2:8: ")]);
        fs::write(&config, "[tail]\npol_interval_ms = 5\nhost = 7\n").unwrap();
        let wrong = run(&format!("{command} --config {path}")).await;
        refused(
            &wrong,
            2,
            &["relay.toml:2:1", "tail.poll_interval_ms", "relay.toml:3:8", "a text in quotes"],
        );
    }
}

#[tokio::test]
async fn check_config_says_each_value_and_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    fs::write(&config, "prefix = \"p\"\n[tail]\nhost = \"web\"\n[[inputs]]\npaths = [\"/x/*.log\"]\n")
        .unwrap();
    let path = config.display();
    let words = format!("check-config --config {path} --linger-ms 5");
    let checked = run_with(&words, &[("LOGRELAY_WINDOW_BYTES", "10000"), ("LOGRELAY_HOST", "db")]).await;
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
    assert_eq!(line("inputs.0"), [format!("{path}:4")]);
    assert_eq!(line("paths"), [r#"["/x/*.log"]"#, &format!("{path}:5")]);
    assert_eq!(line("topic"), ["{file_stem}", "default"]);
    assert!(text.contains("\n  0 files now\n"), "{text}");
}

#[tokio::test]
async fn a_port_in_use_is_named_and_nothing_is_left_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let redis = TestRedis::start().await;
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let at = folder.path().display();
    fs::write(folder.path().join("app.log"), "one\n").unwrap();
    let serve = format!("serve --redis {url} --listen {taken}");
    refused(&run(&serve).await, 1, &[&taken, "in use", "--listen"]);
    let tail = format!("tail --redis {url} --host h --topic app --metrics-listen {taken} {at}/app.log");
    refused(&run(&tail).await, 1, &[&taken, "in use"]);
    assert_eq!(redis.control().await.run::<u64>("DBSIZE").await, 0);
    let dev = format!("dev {at}/app.log --data-dir {at}/data --listen");
    refused(&run(&format!("{dev} {taken}")).await, 1, &[&taken, "in use", "--listen"]);
    // Its Redis has gone with it: the next one has the folder.
    Process::start(&format!("{dev} 127.0.0.1:0")).until_it_says("serving listen=").await;
}

#[tokio::test]
async fn dev_without_a_redis_server_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let words = format!("dev /tmp/x.log --listen 127.0.0.1:0 --data-dir {path}/data");
    refused(&run_with(&words, &[("PATH", path)]).await, 1, &["redis-server", "PATH", "install"]);
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn a_second_dev_on_a_data_folder_is_refused_and_the_first_goes_on() {
    let dev = Dev::start().await;
    let second = format!("dev /tmp/x.log --listen 127.0.0.1:0 --data-dir {}", dev.path("data").display());
    refused(&run(&second).await, 1, &["is in use by process", "data"]);
    let on_a_file = format!("dev /tmp/x.log --data-dir {}", dev.path("app.log").display());
    refused(&run(&on_a_file).await, 1, &["app.log"]);
    dev.write_lines(0..10);
    dev.wait_for_lines(10).await;
}

#[tokio::test]
async fn a_wrong_password_ends_tail_and_serve() {
    let redis = TestRedis::with_args(&["--requirepass", "right"]).await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    fs::write(folder.path().join("password"), "hunter2\n").unwrap();
    for command in [format!("tail --topic app --host h {at}/a.log"), "serve --listen 127.0.0.1:0".to_owned()]
    {
        let without = run(&format!("{command} --redis {}", redis.url())).await;
        refused(&without, 1, &["NOAUTH", "redis.sock"]);
        let words = format!("{command} --redis {} --redis-password-file {at}/password", redis.url());
        let output = run(&words).await;
        refused(&output, 1, &["WRONGPASS", "redis.sock"]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
}

#[tokio::test]
async fn an_unreadable_file_is_said_once_and_the_others_are_followed() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    // Root cannot open it either.
    let unreadable = folder.path().join("loop.log");
    symlink(&unreadable, &unreadable).unwrap();
    let at = folder.path().display();
    let tail = format!("tail --redis {} --host h --topic app --poll-interval-ms 10 {at}/*.log", redis.url());
    let tailer = Process::start(&tail);
    let (store, topic) = (redis.store(), "app".parse().unwrap());
    // The second one makes it look at all of them again.
    for (count, name) in [(1, "app.log"), (2, "new.log")] {
        fs::write(folder.path().join(name), "one\n").unwrap();
        eventually("the lines are there", async || {
            let found = store.resolve(&topic).await.unwrap();
            found.is_some_and(|found| found.timeline.next().get() == count)
        })
        .await;
    }
    let said = tailer.stderr();
    let told: Vec<_> = said.lines().filter(|line| line.contains("loop.log")).collect();
    assert!(told.len() == 1 && told[0].contains("symbolic links"), "{said}");
}

#[tokio::test]
async fn what_a_relay_refuses_ends_a_subscriber_with_what_is_wrong() {
    let redis = TestRedis::start().await;
    let relay = Relay::with(&redis, "--listen 127.0.0.1:0 --ahead-wait-ms 50").await;
    Writer::new(&redis, "app").await.append(&["one"]).await;
    let found = redis.store().resolve(&"app".parse().unwrap()).await.unwrap().unwrap();
    let epoch = found.timeline.epochs()[0].0;
    let future = format!("app@{epoch}:2");
    for (more, code, word) in [
        (format!("--from {future}"), 2, "CURSOR_AHEAD"),
        ("--from app@ffffffffffffffff:0".to_owned(), 2, "CURSOR_AHEAD"),
        ("--max-batch-bytes 4294967295".to_owned(), 2, "max_batch_bytes"),
        ("--max-batch-lines 4294967295".to_owned(), 2, "max_batch_lines"),
        ("--from app@0000000000000001:1 --on-gap fail".to_owned(), 1, "RESET"),
        ("--cursor-file /no/such/cursors".to_owned(), 1, "/no/such/cursors"),
    ] {
        let output = run(&format!("subscribe app --relay {} {more}", relay.url)).await;
        refused(&output, code, &[word]);
    }
    let nobody = run("subscribe app --relay http://127.0.0.1:1 --max-failures 1").await;
    refused(&nobody, 1, &["127.0.0.1:1", "refused"]);
}
