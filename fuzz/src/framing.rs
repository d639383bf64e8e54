//! Lines in every encoding, format and grouping: however a file is cut into blocks,
//! wherever reading begins again and whatever time has ended, they are the same.

use std::time::{Duration, Instant};

use logrelay::tail::{
    framing::Framer,
    input::{Encoding, Format, JoinRule, LineOptions, Multiline, Preset},
};
use regex::bytes::Regex;

/// Longer than anything waits.
const LONG: Duration = Duration::from_mins(1);

/// Content, truncated bytes, time, labels.
type Owned = (Vec<u8>, u64, u64, Vec<(String, String)>);

/// Lines that are one with each other, and the position behind them.
type Unit = (Vec<Owned>, u64);

/// Bytes that are options, a number of steps, a byte for each, and a file.
pub fn check(data: &[u8]) {
    let [encoding, format, rule, bounds, steps, rest @ ..] = data else { return };
    let Some((steps, file)) = rest.split_at_checked(usize::from(*steps % 32)) else { return };
    let options = options(*encoding, *format, *rule, *bounds);
    let mut whole = Reading::begin(&options, file, 0);
    let mut units = whole.read_all(usize::MAX);
    units.extend(whole.finish());
    let mut before = 0;
    for (_, end) in &units {
        assert!((before + 1..=file.len() as u64).contains(end), "{end} after {before}");
        before = *end;
    }

    let mut in_blocks = Vec::new();
    let mut reading = Reading::begin(&options, file, 0);
    for step in steps {
        in_blocks.extend(reading.read(usize::from(*step)).unwrap_or_default());
        reading.framer.shrink();
    }
    in_blocks.extend(reading.read_all(7));
    in_blocks.extend(reading.finish());
    assert_eq!(in_blocks, units, "in blocks of {steps:?}");
    for (index, (_, end)) in units.iter().enumerate().take(8) {
        let mut later = Reading::begin(&options, file, *end);
        let mut rest = later.read_all(usize::MAX);
        rest.extend(later.finish());
        assert_eq!(rest, units[index + 1..], "from {end} on");
    }
    ended_by_time(&options, file, steps);
}

/// What has waited for too long is ended, and when it is read again it ends there again.
fn ended_by_time(options: &LineOptions, file: &[u8], steps: &[u8]) {
    let mut reading = Reading::begin(options, file, 0);
    let mut units = vec![(Vec::new(), 0)];
    for step in steps {
        units.extend(reading.read(usize::from(step >> 1)).unwrap_or_default());
        if step & 1 == 1 {
            units.extend(reading.wait());
        }
    }
    units.extend(reading.read_all(usize::MAX));
    units.extend(reading.wait());
    for step in steps.iter().take(4) {
        let back = usize::from(*step) % units.len();
        reading.seek(units[back].1);
        let mut again = reading.read_all(37);
        again.extend(reading.wait());
        assert_eq!(again, units[back + 1..], "back to {}", units[back].1);
    }
}

fn options(encoding: u8, format: u8, rule: u8, bounds: u8) -> LineOptions {
    let pattern = |text: &str| Regex::new(text).expect("a good pattern");
    let rule = match rule % 8 {
        0 => None,
        1 => Some(JoinRule::StartsWith(pattern("^[a0-9]"))),
        2 => Some(JoinRule::ContinuesWith(pattern("^[b+]"))),
        3 => Some(JoinRule::Indented),
        4 => Some(JoinRule::Preset(Preset::Java)),
        5 => Some(JoinRule::Preset(Preset::Python)),
        6 => Some(JoinRule::Preset(Preset::Go)),
        _ => Some(JoinRule::Preset(Preset::Rust)),
    };
    let is_tight = bounds & 1 == 1;
    LineOptions {
        max_line_bytes: if is_tight { 1 + usize::from(bounds >> 2) } else { 1 << 20 },
        encoding: [Encoding::Raw, Encoding::Utf16, Encoding::Utf16Le, Encoding::Utf16Be]
            [usize::from(encoding % 4)],
        format: [Format::Plain, Format::Docker, Format::Cri][usize::from(format % 3)],
        multiline: rule.map(|rule| Multiline {
            rule,
            max_lines: if is_tight { 3 } else { 500 },
            max_bytes: if is_tight { 50 } else { 1 << 20 },
            timeout_ms: 1000,
        }),
        publish_partial_ms: (bounds & 2 == 2).then_some(500),
    }
}

/// A file that is read, and whose clock is set by hand.
struct Reading<'a> {
    file: &'a [u8],
    framer: Framer,
    now: Instant,
}

impl<'a> Reading<'a> {
    fn begin(options: &LineOptions, file: &'a [u8], position: u64) -> Self {
        Self { file, framer: Framer::new(options, position, head(file, position)), now: Instant::now() }
    }

    /// Reads a block and takes its lines; none at the end of what there is.
    fn read(&mut self, most: usize) -> Option<Vec<Unit>> {
        let from = usize::try_from(self.framer.read_position()).expect("it is in the file");
        let most = self.framer.most_bytes(most).min(self.file.len() - from);
        if most == 0 {
            return None;
        }
        let (read, known) = (from as u64, self.framer.possible_ends());
        self.framer.extend(&self.file[from..from + most], self.now);
        let units = self.take();
        for (_, end) in &units {
            assert!(*end > read || known.contains(end), "{end} was not announced at {read}");
        }
        Some(units)
    }

    fn read_all(&mut self, most: usize) -> Vec<Unit> {
        let mut units = Vec::new();
        while let Some(more) = self.read(most) {
            units.extend(more);
        }
        units
    }

    fn wait(&mut self) -> Vec<Unit> {
        self.now += LONG;
        self.framer.expire(self.now);
        let units = self.take();
        assert!(self.framer.deadline().is_none_or(|deadline| deadline > self.now), "it waits in vain");
        units
    }

    fn finish(&mut self) -> Vec<Unit> {
        self.framer.finish();
        self.take()
    }

    fn seek(&mut self, position: u64) {
        self.framer.seek(position, head(self.file, position));
    }

    fn take(&mut self) -> Vec<Unit> {
        let (mut units, mut unit) = (Vec::new(), Vec::new());
        while let Some(line) = self.framer.next_line() {
            let labels = line.labels.iter().flat_map(|labels| labels.iter());
            let labels = labels.map(|(name, value)| (name.clone(), value.clone())).collect();
            unit.push((line.content.to_vec(), line.truncated_bytes, line.time_unix_nano, labels));
            if !self.framer.is_within_unit() {
                units.push((std::mem::take(&mut unit), self.framer.position()));
            }
        }
        assert!(unit.is_empty(), "a unit was handed out in part");
        units
    }
}

/// The first bytes, none past a position.
fn head(file: &[u8], position: u64) -> &[u8] {
    &file[..usize::try_from(position).unwrap_or(usize::MAX).min(1024).min(file.len())]
}

/// A file of every kind, in blocks, with and without time that goes by.
pub fn seeds() -> Vec<Vec<u8>> {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let text = "a one\r\n b two\n\n+c \u{1f600}\u{e4}\nfar longer than what is let through";
    let java = "java.lang.Error: x\n\tat a.b(C.java:1)\nCaused by: d.E\n\t... 3 more\nnext\n";
    let python = "Traceback (most recent call last):\n  File \"x.py\", line 1\nValueError: y\n\nDuring handling \
                  of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n";
    let go = "panic: z\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1\nexit status 2\n";
    let rust =
        "thread 'main' panicked at src/main.rs:1:1:\nx\nstack backtrace:\n   0: a\nnote: run with `X`\n";
    let docker = "{\"log\":\"a \\u00e4\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09.5Z\"}\n\
                  {\"log\":\"x\\n\",\"stream\":\"stderr\",\"time\":\"2016-10-06T00:17:09Z\",\"attrs\":{\"b\":\"c\"}}\n\
                  {\"log\":\" b\\r\\n\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09.5Z\"}\nno JSON\n";
    let cri = "2016-10-06T00:17:09.5Z stdout P a\n2016-10-06T00:17:09+02:00 stderr F x\n\
               2016-10-06T00:17:09.5Z stdout F:t  b\nno CRI\n";
    let files: [(u8, u8, u8, Vec<u8>); 9] = [
        (0, 0, 1, text.into()),
        (1, 0, 0, utf16(&format!("\u{feff}{text}"))),
        (2, 0, 2, utf16(text)),
        (0, 0, 4, java.into()),
        (0, 0, 5, python.into()),
        (0, 0, 6, go.into()),
        (0, 0, 7, rust.into()),
        (0, 1, 3, docker.into()),
        (0, 2, 3, cri.into()),
    ];
    let with_bounds = |(encoding, format, rule, file): &(u8, u8, u8, Vec<u8>)| {
        [0, 3, 82].map(|bounds| {
            let head = [*encoding, *format, *rule, bounds, 4, 9, 20, 15, 130];
            [head.as_slice(), file].concat()
        })
    };
    files.iter().flat_map(with_bounds).collect()
}
