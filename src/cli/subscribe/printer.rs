//! Lines on standard output.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::Serialize;

use super::Output;
use crate::client::{Line, Lines};

const BUFFER_BYTES: usize = 256 * 1024;

/// Writes lines through a buffer, which only [`Printer::flush`] is sure to empty.
#[derive(Debug)]
pub(super) struct Printer<W: Write> {
    out: BufWriter<W>,
    output: Output,
    /// Whether text says of which topic a line is.
    names_topics: bool,
    broken: bool,
}

/// A line as a JSON object.
#[derive(Serialize)]
struct Object<'a> {
    topic: &'a str,
    epoch: &'a str,
    offset: u64,
    /// From where to resume after this line.
    cursor: &'a str,
    time: Option<&'a str>,
    host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_base64: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    truncated_bytes: u64,
    /// The time that the line itself has.
    #[serde(skip_serializing_if = "Option::is_none")]
    line_time: Option<String>,
    /// Those of its source and its own, which win.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Nanoseconds since 1970 as RFC 3339; none: no time.
fn line_time(unix_nano: u64) -> Option<String> {
    let time = Timestamp::from_nanosecond(unix_nano.into()).ok()?;
    (unix_nano > 0).then(|| time.to_string())
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, output: Output, names_topics: bool) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, out), output, names_topics, broken: false }
    }

    /// Whether a write failed: then some lines may be missing.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) fn print(&mut self, lines: &Lines) -> io::Result<()> {
        let printed = self.write(lines);
        self.broken |= printed.is_err();
        printed
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.broken |= flushed.is_err();
        flushed
    }

    fn write(&mut self, lines: &Lines) -> io::Result<()> {
        match self.output {
            Output::Text => lines.iter().try_for_each(|line| {
                if self.names_topics {
                    self.out.write_all(lines.topic().as_str().as_bytes())?;
                    self.out.write_all(b": ")?;
                }
                self.out.write_all(line.content)?;
                self.out.write_all(b"\n")
            }),
            Output::Json => {
                let epoch = lines.epoch().to_string();
                let time = lines.time().and_then(|time| Timestamp::try_from(time).ok());
                let time = time.map(|time| format!("{time:.3}"));
                lines.iter().try_for_each(|line| self.object(lines, &epoch, time.as_deref(), &line))
            }
        }
    }

    fn object(&mut self, lines: &Lines, epoch: &str, time: Option<&str>, line: &Line<'_>) -> io::Result<()> {
        let text = std::str::from_utf8(line.content).ok();
        let own_labels = line.labels();
        let object = Object {
            topic: lines.topic().as_str(),
            epoch,
            offset: line.offset.get(),
            cursor: &lines.cursor_after(line).to_string(),
            time,
            host: lines.host(),
            path: lines.path(),
            line: text,
            line_base64: text.is_none().then(|| BASE64_STANDARD.encode(line.content)),
            truncated_bytes: line.truncated_bytes,
            line_time: line_time(line.time_unix_nano),
            labels: lines
                .labels()
                .iter()
                .chain(&own_labels)
                .map(|(name, value)| (&**name, &**value))
                .collect(),
        };
        serde_json::to_writer(&mut self.out, &object)?;
        self.out.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_line_is_shown_to_the_nanosecond() {
        let shown = line_time(1_475_713_029_669_794_202);
        assert_eq!(shown.as_deref(), Some("2016-10-06T00:17:09.669794202Z"));
        assert_eq!(line_time(0), None);
    }
}
