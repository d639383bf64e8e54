//! `logrelay subscribe` as a user runs it, against `logrelay dev`.

use std::{
    fs::{self, File},
    process::Stdio,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::sleep,
};

use crate::{
    dev::{Dev, count_lines, run, wait_for},
    process::{Process, command},
};

fn objects(lines: &[u8]) -> Vec<Value> {
    lines.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// A running `logrelay` whose output is a pipe.
fn piped(words: &str) -> Process {
    let mut command = command(words);
    command.stdout(Stdio::piped());
    Process::spawn(words, command)
}

#[tokio::test]
async fn lines_are_printed_as_they_are_and_as_objects_with_a_cursor_that_resumes() {
    let dev = Dev::start().await;
    dev.write(b"one\r\n\xff\xfe\nthree \"quoted\"\n");
    dev.wait_for_lines(3).await;

    let text = run(&dev.subscribe("--from earliest --no-follow")).await;
    assert_eq!(text.stdout, b"one\n\xff\xfe\nthree \"quoted\"\n");
    assert_eq!(text.status.code(), Some(0));

    let json = run(&dev.subscribe("--from last=3 --no-follow --output json")).await;
    let lines = objects(&json.stdout);
    let keys: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["cursor", "epoch", "host", "line", "offset", "path", "time", "topic"]);
    assert_eq!((&lines[0]["line"], &lines[1]["line_base64"]), (&"one".into(), &"//4=".into()));
    assert_eq!((&lines[2]["line"], &lines[2]["offset"]), (&"three \"quoted\"".into(), &2.into()));
    let events = objects(&json.stderr);
    assert_eq!((&events[0]["event"], &events[1]["event"]), (&"opened".into(), &"caught_up".into()));

    let cursor = lines[0]["cursor"].as_str().unwrap();
    let rest = run(&dev.subscribe(&format!("--from {cursor} --no-follow"))).await;
    assert_eq!(rest.stdout, b"\xff\xfe\nthree \"quoted\"\n");

    let of_gone = "gone@00000000000000aa:7";
    let gone =
        dev.subscribe(&format!("--from {of_gone} --no-follow")).replace("subscribe app", "subscribe gone");
    let (gone, said) = (run(&gone).await, "the topic does not exist any more");
    let stderr = String::from_utf8(gone.stderr).unwrap();
    assert!(gone.stdout.is_empty() && stderr.contains(said) && stderr.contains(of_gone), "{stderr}");

    dev.process.signal(Signal::INT);
    let ended = dev.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn a_cursor_file_is_for_one_process_and_its_topics() {
    let dev = Dev::start().await;
    let cursors = dev.path("cursors");
    let file = format!("--cursor-file {}", cursors.display());
    let mut reader = Process::start(&dev.subscribe(&file));
    wait_for("the cursor file", || cursors.exists().then_some(())).await;
    let second = run(&dev.subscribe(&file)).await;
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another process"));
    reader.kill().await;

    let other = run(&format!("subscribe db --relay {} {file}", dev.relay)).await;
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("it has app"));

    fs::write(&cursors, "something else").unwrap();
    let foreign = run(&dev.subscribe(&file)).await;
    assert_eq!(foreign.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&foreign.stderr).contains("is not a cursor file"));
    assert_eq!(fs::read_to_string(&cursors).unwrap(), "something else");
}

#[tokio::test]
async fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
    let dev = Dev::start().await;
    dev.write_lines(0..1_000);
    dev.wait_for_lines(1_000).await;
    let mut reader = piped(&dev.subscribe("--from earliest"));
    let mut stdout = reader.stdout();
    stdout.read_exact(&mut [0; 10]).await.unwrap();
    drop(stdout);
    let ended = reader.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));

    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = Process::printing_to(&dev.subscribe("--from earliest --no-follow"), full).ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("standard output: No space left"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_second_signal_ends_a_reader_whose_output_nobody_takes() {
    let dev = Dev::start().await;
    dev.write_lines(0..50_000);
    dev.wait_for_lines(50_000).await;
    let mut reader = piped(&dev.subscribe("--from earliest"));
    let held = reader.stdout().into_owned_fd().unwrap();
    wait_for("a full pipe", || (rustix::io::ioctl_fionread(&held).unwrap() > 60_000).then_some(())).await;
    reader.signal(Signal::TERM);
    // The first signal is there for a while, and does not help.
    sleep(Duration::from_millis(300)).await;
    reader.signal(Signal::TERM);
    assert_eq!(reader.ended().await.code, Some(1));
}

#[tokio::test]
async fn a_reader_goes_on_by_itself_when_the_relay_comes_back() {
    let dev = Dev::start().await;
    dev.write_lines(0..10);
    dev.wait_for_lines(10).await;
    let out = dev.path("out");
    let lines = || fs::read(&out).unwrap();
    let words = dev.subscribe("--from earliest --output json");
    let mut reader = Process::printing_to(&words, File::create(&out).unwrap());
    wait_for("the first lines", || (count_lines(&lines()) == 10).then_some(())).await;
    dev.process.signal(Signal::TERM);
    reader.until_it_says("\"closing\"").await;
    reader.until_it_says("\"disconnected\"").await;
    wait_for("the end of dev", || (!dev.path("data/redis.sock").exists()).then_some(())).await;

    let listen = dev.relay.trim_start_matches("http://");
    let (log, data) = (dev.path("app.log"), dev.path("data"));
    let again = format!("dev {} --listen {listen} --data-dir {}", log.display(), data.display());
    let _again = Process::start(&again);
    dev.write_lines(10..20);
    wait_for("all lines", || (count_lines(&lines()) >= 20).then_some(())).await;
    let found: Vec<_> =
        objects(&lines()).iter().map(|line| line["line"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, (0..20).map(|number| format!("line {number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn standard_input_is_read_to_its_end() {
    let dev = Dev::start().await;
    let socket = dev.path("data/redis.sock");
    let words = format!("tail --topic app --host h --redis redis+unix://{} -", socket.display());
    let mut tail = command(&words).stdin(Stdio::piped()).spawn().unwrap();
    tail.stdin.take().unwrap().write_all(b"a\nb\nlast without newline").await.unwrap();
    assert_eq!(tail.wait().await.unwrap().code(), Some(0));
    let read = run(&dev.subscribe("--from earliest --no-follow")).await;
    assert_eq!(count_lines(&read.stdout), 3);
    assert!(read.stdout.ends_with(b"last without newline\n"));
}
