//! `logrelay subscribe` as a user runs it, against `logrelay dev`.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::program::{Dev, Program, count_lines, logrelay, wait_for};

fn append(dev: &Dev, lines: std::ops::Range<usize>) {
    let mut log = File::options().append(true).open(dev.path("app.log")).unwrap();
    let text: String = lines.map(|number| format!("line {number}\n")).collect();
    log.write_all(text.as_bytes()).unwrap();
}

#[test]
fn lines_are_printed_as_they_are_and_as_objects_with_a_cursor_that_resumes() {
    let mut dev = Dev::start();
    let mut log = File::options().append(true).open(dev.path("app.log")).unwrap();
    log.write_all(b"one\r\n\xff\xfe\nthree \"quoted\"\n").unwrap();
    dev.wait_for_lines(3);

    let text = dev.subscribe(&["--from", "earliest", "--no-follow"]).output().unwrap();
    assert_eq!(text.stdout, b"one\n\xff\xfe\nthree \"quoted\"\n");
    assert_eq!(text.status.code(), Some(0));

    let json = dev.subscribe(&["--from", "last=3", "--no-follow", "--output", "json"]).output().unwrap();
    let objects: Vec<serde_json::Value> =
        json.stdout.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let keys: Vec<_> = objects[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["cursor", "epoch", "host", "line", "offset", "path", "time", "topic"]);
    assert_eq!((&objects[0]["line"], &objects[1]["line_base64"]), (&"one".into(), &"//4=".into()));
    assert_eq!((&objects[2]["line"], &objects[2]["offset"]), (&"three \"quoted\"".into(), &2.into()));
    let events: Vec<serde_json::Value> =
        json.stderr.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(events[0]["event"], "opened");
    assert_eq!(events.last().unwrap()["event"], "caught_up");

    let cursor = objects[0]["cursor"].as_str().unwrap();
    let rest = dev.subscribe(&["--from", cursor, "--no-follow"]).output().unwrap();
    assert_eq!(rest.stdout, b"\xff\xfe\nthree \"quoted\"\n");

    dev.program.signal(Signal::INT);
    assert_eq!(dev.program.wait().code(), Some(0), "{}", dev.program.stderr());
}

#[test]
fn a_reader_that_is_killed_again_and_again_prints_every_line_and_repeats_only_at_a_cut() {
    const CUTS: usize = 20;
    let dev = Dev::start();
    let (cursors, mut written) = (dev.path("cursors"), 0);
    let mut runs: Vec<Vec<usize>> = Vec::new();
    let arguments = ["--from", "earliest", "--cursor-file", cursors.to_str().unwrap()];
    while runs.len() < CUTS {
        let out = dev.path(&format!("out-{}", runs.len()));
        let reader = Program::start(dev.subscribe(&arguments), &out, &dev.path("err"));
        let killed_at = Instant::now() + Duration::from_millis(fastrand::u64(20..400));
        while Instant::now() < killed_at {
            append(&dev, written..written + 200);
            written += 200;
            sleep(Duration::from_millis(fastrand::u64(1..10)));
        }
        reader.signal(Signal::KILL);
        drop(reader);
        runs.push(numbers(&out));
    }
    let out = dev.path("out-last");
    let mut last = Program::start(dev.subscribe(&arguments), &out, &dev.path("err"));
    wait_for("the last line", || numbers(&out).ends_with(&[written - 1]).then_some(()));
    last.signal(Signal::TERM);
    assert_eq!(last.wait().code(), Some(0), "{}", last.stderr());
    runs.push(numbers(&out));

    let mut next = 0;
    for run in runs.iter().filter(|run| !run.is_empty()) {
        assert!(run.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole or a repeat inside of a run");
        assert!(run[0] <= next, "lines {next}..{} were never printed", run[0]);
        next = run[run.len() - 1] + 1;
    }
    assert_eq!(next, written);
}

/// The numbers of the whole lines in a file.
fn numbers(path: &std::path::Path) -> Vec<usize> {
    let text = fs::read_to_string(path).unwrap();
    let whole = text.rfind('\n').map_or("", |end| text.split_at(end + 1).0);
    whole.lines().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect()
}

#[test]
fn a_cursor_file_is_for_one_process_and_its_topics() {
    let dev = Dev::start();
    append(&dev, 0..3);
    dev.wait_for_lines(3);
    let cursors = dev.path("cursors");
    let file = ["--cursor-file", cursors.to_str().unwrap()];
    let reader = Program::start(dev.subscribe(&file), &dev.path("out"), &dev.path("err"));
    wait_for("the cursor file", || cursors.exists().then_some(()));
    let second = dev.subscribe(&file).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another process"));
    drop(reader);

    let other = logrelay(&["subscribe", "db", "--relay", &dev.relay, file[0], file[1]]).output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("it has app"));

    fs::write(&cursors, "something else").unwrap();
    let foreign = dev.subscribe(&file).output().unwrap();
    assert_eq!(foreign.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&foreign.stderr).contains("is not a cursor file"));
    assert_eq!(fs::read_to_string(&cursors).unwrap(), "something else");
}

#[test]
fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
    let dev = Dev::start();
    append(&dev, 0..1_000);
    dev.wait_for_lines(1_000);
    let mut reader =
        dev.subscribe(&["--from", "earliest"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = reader.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    drop(stdout);
    let status = wait_for("the end of the reader", || reader.try_wait().unwrap());
    let mut said = String::new();
    reader.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));

    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = dev.subscribe(&["--from", "earliest", "--no-follow"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("standard output: No space left"), "{said}");
}

#[test]
fn a_second_signal_ends_a_reader_whose_output_nobody_takes() {
    let dev = Dev::start();
    append(&dev, 0..50_000);
    dev.wait_for_lines(50_000);
    let mut reader = dev.subscribe(&["--from", "earliest"]).stdout(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(reader.id()).unwrap()).unwrap();
    let held = reader.stdout.take().unwrap();
    wait_for("a full pipe", || (rustix::io::ioctl_fionread(&held).unwrap() > 60_000).then_some(()));
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    sleep(Duration::from_millis(300));
    assert!(reader.try_wait().unwrap().is_none(), "it still waits for the pipe");
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let status = wait_for("the end of the reader", || reader.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_reader_goes_on_by_itself_when_the_relay_comes_back() {
    let mut dev = Dev::start();
    append(&dev, 0..10);
    dev.wait_for_lines(10);
    let out = dev.path("out");
    let reader = dev.subscribe(&["--from", "earliest", "--output", "json"]);
    let mut reader = Program::start(reader, &out, &dev.path("err"));
    wait_for("the first lines", || (fs::read_to_string(&out).unwrap().lines().count() == 10).then_some(()));
    dev.program.signal(Signal::TERM);
    assert_eq!(dev.program.wait().code(), Some(0));
    wait_for("the reader to notice", || reader.stderr().contains("disconnected").then_some(()));
    assert!(reader.stderr().contains("\"closing\""), "{}", reader.stderr());

    let listen = dev.relay.trim_start_matches("http://");
    let (log, data) = (dev.path("app.log"), dev.path("data"));
    let again = ["dev", log.to_str().unwrap(), "--listen", listen, "--data-dir", data.to_str().unwrap()];
    let _again = Program::start(logrelay(&again), &dev.path("dev2.out"), &dev.path("dev2.err"));
    append(&dev, 10..20);
    wait_for("all lines", || (fs::read_to_string(&out).unwrap().lines().count() >= 20).then_some(()));
    assert!(!reader.has_ended());
    let lines: Vec<serde_json::Value> =
        fs::read_to_string(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> = lines.iter().map(|line| line["line"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, (0..20).map(|number| format!("line {number}")).collect::<Vec<_>>());
}

#[test]
fn standard_input_is_read_to_its_end() {
    let dev = Dev::start();
    let redis = format!("redis+unix://{}", dev.path("data/redis.sock").display());
    let arguments = ["tail", "--topic", "app", "--host", "h", "--redis", &redis, "-"];
    let mut tail = logrelay(&arguments).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    tail.stdin.take().unwrap().write_all(b"a\nb\nlast without newline").unwrap();
    assert_eq!(tail.wait().unwrap().code(), Some(0));
    let read = dev.subscribe(&["--from", "earliest", "--no-follow"]).output().unwrap();
    assert_eq!((count_lines(&read), read.stdout.ends_with(b"last without newline\n")), (3, true));
}
