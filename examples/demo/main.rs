//! `make demo`: a tailer, two relays and a reader on a private Redis. A relay is killed
//! under its reader, and every line still arrives once, or this says so and exits with 1.
//!
//! It is a story to look at. The tests are in `tests/`.

mod processes;
mod reader;
mod sample;
mod screen;

use std::{env, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail, ensure};
use logrelay::{
    client::Start,
    store::{PrivateServer, ServerOptions},
};
use tempfile::TempDir;
use tokio::time::timeout;

use self::{
    processes::{Process, free_address},
    reader::Reader,
    sample::Sample,
    screen::{Screen, grouped},
};

const TOPIC: &str = "demo";
/// The relay is killed when its reader has so many lines: amid the second burst.
const KILL_AFTER_LINES: usize = sample::LINES * 3 / 4;
/// On a very slow machine; usually it takes 12 s.
const DEADLINE: Duration = Duration::from_secs(90);

#[tokio::main]
async fn main() -> ExitCode {
    let Some(binary) = env::args_os().nth(1) else {
        eprintln!("usage: demo PATH-OF-LOGRELAY (or just: make demo)");
        return ExitCode::from(2);
    };
    let binary = Path::new(&binary);
    let mut screen = Screen::default();
    let outcome = tokio::select! {
        outcome = timeout(DEADLINE, play(binary, &mut screen)) => outcome.unwrap_or_else(|_| bail!("it took too long")),
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped by Ctrl-C")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(binary: &Path, screen: &mut Screen) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    screen.chapter("A private Redis, a tailer and two relays are started");
    let redis = PrivateServer::start(&ServerOptions::new(folder.path().join("redis"))).await?;
    let url = redis.url().to_string();

    let mut sample = Sample::create(&folder.path().join("logs"))?;
    let files = sample.glob();
    let tailer = ["tail", "--redis", &url, "--host", "demo-host", "--topic", TOPIC, &files];
    let tailer = Process::start(binary, "tailer", &tailer, folder.path())?;
    let addresses = [free_address()?, free_address()?];
    let urls = addresses.each_ref().map(|address| format!("http://{address}"));
    let mut relays = Vec::new();
    for (address, name) in addresses.iter().zip(["relay 1", "relay 2"]) {
        let mut relay =
            Process::start(binary, name, &["serve", "--redis", &url, "--listen", address], folder.path())?;
        relay.wait_until_it_listens(address).await?;
        screen.note(&format!("{name} listens on {address}"));
        relays.push(relay);
    }

    screen.chapter(
        "Three services write their logs; a reader prints them as they come, through one of the relays",
    );
    let mut reader = Reader::new(&addresses, TOPIC, Start::Earliest, false)?;
    let watch = async {
        reader.read(KILL_AFTER_LINES, screen).await?;
        // A client asks the relays in an order of its own.
        let served_by = reader.relays_seen().last().cloned();
        let served =
            urls.iter().position(|url| served_by.as_ref() == Some(url)).context("no relay serves it")?;
        relays.remove(served).kill().await?;
        screen.chapter(&format!(
            "Relay {} is killed (SIGKILL) under its reader, after {} lines",
            served + 1,
            reader.count()
        ));
        reader.read(sample::LINES, screen).await?;
        Ok(1 - served)
    };
    let ((), left) = tokio::try_join!(sample.play(), watch)?;
    ensure!(reader.relays_seen().last() == Some(&urls[left]), "the reader was to go to relay {}", left + 1);

    screen.chapter("Is it all there?");
    sample.check(&reader)?;
    screen.note(&format!("the reader has each of the {} lines once, in order", grouped(sample::LINES)));
    let mut again = Reader::new(&addresses[left..=left], TOPIC, Start::Earliest, true)?;
    again.read(usize::MAX, &mut Screen::silent()).await?;
    sample.check(&again)?;
    screen.note("a second reader, from the first line on, has the same: offsets without a hole, no repeat");
    for relay in relays {
        relay.stop().await?;
    }
    tailer.stop().await?;
    redis.stop().await;

    screen.chapter("That was it");
    let binary = binary.display();
    println!(
        "{lines} lines went from 3 files through Redis to a gRPC reader, each once, at offsets 0 to {last}.\n\
         The relay was killed in the middle; the reader went on at the other one {gap} ms later, from its cursor.\n\n\
         Now with a file of your own:\n\n    \
         {binary} dev /path/to/your.log\n\n\
         and in another terminal:\n\n    \
         {binary} subscribe your --from earliest\n",
        lines = grouped(sample::LINES),
        last = sample::LINES - 1,
        gap = reader.longest_wait_ms(),
    );
    Ok(())
}
