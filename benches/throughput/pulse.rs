//! Files of which each gets a line every second.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    pin::pin,
    time::Duration,
};

use tokio::time::{Instant, interval};

use crate::delay::stamp;

/// The files, and how many lines they got.
pub(crate) struct Pulse {
    files: Vec<File>,
    /// From when on the stamps of the lines count.
    pub(crate) began: Instant,
    pub(crate) lines: u64,
}

impl Pulse {
    pub(crate) fn of<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> io::Result<Self> {
        let open = |path: P| OpenOptions::new().append(true).create(true).open(path);
        let files = paths.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { files, began: Instant::now(), lines: 0 })
    }

    /// Writes a line to every file, at once.
    pub(crate) fn beat(&mut self) -> io::Result<()> {
        (0..self.files.len()).try_for_each(|at| self.write(at))
    }

    /// Writes a line to each file in every second, one file after the other, for as long as
    /// something else takes.
    pub(crate) async fn beat_while<T>(&mut self, meanwhile: impl Future<Output = T>) -> anyhow::Result<T> {
        let mut meanwhile = pin!(meanwhile);
        let mut ticks = interval(Duration::from_secs(1) / u32::try_from(self.files.len())?);
        for at in (0..self.files.len()).cycle() {
            tokio::select! {
                ended = &mut meanwhile => return Ok(ended),
                _ = ticks.tick() => self.write(at)?,
            }
        }
        Ok(meanwhile.await)
    }

    fn write(&mut self, at: usize) -> io::Result<()> {
        self.lines += 1;
        self.files[at].write_all(&[stamp(self.began), b"\n".to_vec()].concat())
    }
}
