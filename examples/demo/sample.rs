//! The log that the demo is about: what three services write, and what they have written.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::ensure;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::reader::Reader;

/// How many lines, in how many pieces, with which pause after each: calm, a burst, calm,
/// a longer burst, calm.
const SCRIPT: [(usize, usize, u64); 5] =
    [(60, 60, 50), (4_000, 4, 10), (40, 40, 50), (8_000, 100, 20), (60, 60, 50)];

/// All lines of the script.
pub(crate) const LINES: usize = SCRIPT[0].0 + SCRIPT[1].0 + SCRIPT[2].0 + SCRIPT[3].0 + SCRIPT[4].0;

const SERVICES: [(&str, &[&str]); 3] = [
    (
        "web",
        &[
            "INFO  GET /cart 200",
            "INFO  GET /items/42 200",
            "WARN  GET /items/7 404",
            "INFO  POST /orders 201",
        ],
    ),
    (
        "orders",
        &["INFO  order accepted", "DEBUG stock looked up", "WARN  payment is slow", "ERROR payment refused"],
    ),
    ("mail", &["INFO  mail queued", "INFO  mail sent", "WARN  mailbox full, trying again later"]),
];

pub(crate) struct Sample {
    folder: PathBuf,
    services: Vec<Service>,
}

struct Service {
    name: &'static str,
    phrases: &'static [&'static str],
    file: File,
    written: Vec<String>,
}

impl Sample {
    /// Empty logs in a new folder.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir(folder)?;
        let create = |(name, phrases)| {
            let file = File::create(folder.join(format!("{name}.log")))?;
            Ok(Service { name, phrases, file, written: Vec::new() })
        };
        let services = SERVICES.into_iter().map(create).collect::<io::Result<_>>()?;
        Ok(Self { folder: folder.to_owned(), services })
    }

    pub(crate) fn glob(&self) -> String {
        format!("{}/*.log", self.folder.display())
    }

    /// Writes the whole script.
    pub(crate) async fn play(&mut self) -> anyhow::Result<()> {
        for (lines, pieces, pause_ms) in SCRIPT {
            for _ in 0..pieces {
                self.write(lines / pieces)?;
                sleep(Duration::from_millis(pause_ms)).await;
            }
        }
        Ok(())
    }

    fn write(&mut self, lines: usize) -> io::Result<()> {
        let mut pieces = [const { String::new() }; SERVICES.len()];
        for _ in 0..lines {
            let index = fastrand::usize(..SERVICES.len());
            let service = &mut self.services[index];
            let phrase = service.phrases[fastrand::usize(..service.phrases.len())];
            let (number, took_ms) = (service.written.len() + 1, fastrand::u32(1..80));
            let line = format!("{:.3} {phrase} id={number} {took_ms} ms", Timestamp::now());
            pieces[index] += &line;
            pieces[index].push('\n');
            service.written.push(line);
        }
        self.services
            .iter_mut()
            .zip(&pieces)
            .try_for_each(|(service, piece)| service.file.write_all(piece.as_bytes()))
    }

    /// Whether a reader has exactly what was written to each file, in that order.
    pub(crate) fn check(&self, reader: &Reader) -> anyhow::Result<()> {
        for Service { name, written, .. } in &self.services {
            let read = reader.lines_of(name);
            let same = written.iter().zip(read).take_while(|(written, read)| written == read).count();
            ensure!(
                same == written.len() && same == read.len(),
                "{name}.log has {} lines, the reader {}; they agree up to line {same}",
                written.len(),
                read.len(),
            );
        }
        ensure!(reader.count() == LINES, "{LINES} lines were written, {} were read", reader.count());
        Ok(())
    }
}
