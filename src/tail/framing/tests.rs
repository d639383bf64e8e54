//! What holds for every way to make lines: however the bytes come, wherever reading
//! begins again, whatever time has ended.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::tail::input::{Encoding, JoinRule, Multiline, Preset};

mod containers;
mod encodings;
mod groups;

/// A line as it would be published: content, truncated bytes, time, stream.
type Owned = (String, u64, u64, Option<String>);

/// Lines that are one with each other, and the position behind them.
type Unit = (Vec<Owned>, u64);

fn options() -> LineOptions {
    LineOptions::default()
}

/// Takes all lines that there are.
fn take(framer: &mut Framer) -> Vec<Unit> {
    let (mut units, mut unit) = (Vec::new(), Vec::new());
    while let Some(line) = framer.next_line() {
        let stream = line.labels.and_then(|labels| labels.get("stream").cloned());
        let content = String::from_utf8_lossy(line.content).into_owned();
        unit.push((content, line.truncated_bytes, line.time_unix_nano, stream));
        if !framer.is_within_unit() {
            units.push((std::mem::take(&mut unit), framer.position()));
        }
    }
    assert!(unit.is_empty(), "a unit was handed out in part");
    units
}

/// A file that is read piece by piece, and whose clock is set by hand.
struct File {
    bytes: Vec<u8>,
    framer: Framer,
    now: Instant,
}

impl File {
    fn at(options: &LineOptions, bytes: &[u8], position: u64) -> Self {
        let upto = usize::try_from(position).unwrap();
        let framer = Framer::new(options, position, &bytes[..upto.min(1024)]);
        Self { bytes: bytes.to_vec(), framer, now: Instant::now() }
    }

    fn new(options: &LineOptions, bytes: &[u8]) -> Self {
        Self::at(options, bytes, 0)
    }

    /// Reads a block and takes its lines; none at the end of what there is.
    fn read(&mut self, most: usize) -> Option<Vec<Unit>> {
        let from = usize::try_from(self.framer.read_position()).unwrap();
        let most = self.framer.most_bytes(most).min(self.bytes.len() - from);
        if most == 0 {
            return None;
        }
        self.framer.extend(&self.bytes[from..from + most], self.now);
        Some(take(&mut self.framer))
    }

    fn read_all(&mut self, most: usize) -> Vec<Unit> {
        let mut units = Vec::new();
        while let Some(more) = self.read(most) {
            units.extend(more);
        }
        units
    }

    /// Lets so much time go by that all that waits has waited for long enough.
    fn wait(&mut self) -> Vec<Unit> {
        self.now += Duration::from_secs(60);
        self.framer.expire(self.now);
        let units = take(&mut self.framer);
        assert!(self.framer.deadline().is_none_or(|deadline| deadline > self.now), "it waits in vain");
        units
    }

    fn finish(&mut self) -> Vec<Unit> {
        self.framer.finish();
        take(&mut self.framer)
    }

    fn seek(&mut self, position: u64) {
        let upto = usize::try_from(position).unwrap();
        self.framer.seek(position, &self.bytes[..upto.min(1024)]);
    }
}

/// All lines of a file that is read to its end and gone then.
fn contents(options: &LineOptions, bytes: &[u8]) -> Vec<String> {
    let mut file = File::new(options, bytes);
    let mut units = file.read_all(usize::MAX);
    units.extend(file.finish());
    units.into_iter().flat_map(|(lines, _)| lines).map(|(content, ..)| content).collect()
}

fn encodings() -> impl Strategy<Value = Encoding> {
    let all = [Encoding::Raw, Encoding::Utf16, Encoding::Utf16Le, Encoding::Utf16Be];
    prop::sample::select(all.to_vec())
}

fn rules() -> impl Strategy<Value = Option<JoinRule>> {
    let presets = [Preset::Java, Preset::Python, Preset::Go, Preset::Rust];
    let pattern = |pattern| regex::bytes::Regex::new(pattern).unwrap();
    prop_oneof![
        Just(None),
        Just(Some(JoinRule::StartsWith(pattern("^a")))),
        Just(Some(JoinRule::ContinuesWith(pattern("^b")))),
        Just(Some(JoinRule::Indented)),
        prop::sample::select(presets.to_vec()).prop_map(|preset| Some(JoinRule::Preset(preset))),
    ]
}

fn any_options() -> impl Strategy<Value = LineOptions> {
    let formats = prop::sample::select(vec![Format::Plain, Format::Docker, Format::Cri]);
    let partial = prop_oneof![Just(None), Just(Some(1000))];
    (encodings(), formats, rules(), partial, any::<bool>()).prop_map(
        |(encoding, format, rule, publish_partial_ms, is_tight)| LineOptions {
            max_line_bytes: if is_tight { 20 } else { 1 << 20 },
            encoding,
            format,
            multiline: rule.map(|rule| Multiline {
                max_lines: if is_tight { 3 } else { 500 },
                max_bytes: if is_tight { 50 } else { 1 << 20 },
                ..Multiline::new(rule)
            }),
            publish_partial_ms,
        },
    )
}

/// Lines that the rules and presets know, and some that they do not.
fn texts() -> impl Strategy<Value = String> {
    let known = [
        "a",
        "b",
        "",
        " b",
        "\tc",
        "java.lang.Error: x",
        "\tat a.b(C.java:1)",
        "Caused by: d.E",
        "\t... 3 more",
        "Traceback (most recent call last):",
        "  File \"x.py\", line 1",
        "ValueError: y",
        "During handling of the above exception, another exception occurred:",
        "panic: z",
        "goroutine 1 [running]:",
        "main.main()",
        "thread 'main' panicked at src/main.rs:1:1:",
        "stack backtrace:",
        "note: run with `X`",
        "\u{fffd}\u{1f600}ä",
        "\r",
        "far longer than what is let through",
    ];
    prop::sample::select(known.to_vec()).prop_map(str::to_owned)
}

fn wrapped(format: Format, text: &str, is_stdout: bool, is_partial: bool) -> String {
    let stream = if is_stdout { "stdout" } else { "stderr" };
    match format {
        Format::Plain => text.to_owned(),
        Format::Cri => {
            let tag = if is_partial { "P" } else { "F" };
            format!("2026-11-21T06:00:00.5Z {stream} {tag} {text}")
        }
        Format::Docker => {
            let log =
                serde_json::to_string(&format!("{text}{}", if is_partial { "" } else { "\n" })).unwrap();
            format!(r#"{{"log":{log},"stream":"{stream}","time":"2026-11-21T06:00:00.5Z"}}"#)
        }
    }
}

fn encoded(encoding: Encoding, text: &str) -> Vec<u8> {
    match encoding {
        Encoding::Raw => text.as_bytes().to_vec(),
        Encoding::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Encoding::Utf16 | Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    }
}

prop_compose! {
    /// A file that is mostly as its options say, and its options.
    fn files()(
        options in any_options(),
        lines in prop::collection::vec((texts(), prop::bool::weighted(0.6), prop::bool::weighted(0.3)), 0..40),
        is_marked: bool,
        noise in prop_oneof![3 => Just(None), 1 => any::<(Index, u8)>().prop_map(Some)],
    ) -> (LineOptions, Vec<u8>) {
        let mark = if is_marked { "\u{feff}" } else { "" };
        let lines = lines.iter().map(|(text, stdout, partial)| wrapped(options.format, text, *stdout, *partial) + "\n");
        let mut bytes = encoded(options.encoding, &(mark.to_owned() + &lines.collect::<String>()));
        if let Some((at, byte)) = noise && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        (options, bytes)
    }
}

/// What the lines of each stream are, one behind the other: what is in them and between
/// them, and nothing of how they are joined.
fn streams<'a>(lines: impl Iterator<Item = (&'a str, &'a str, bool)>) -> BTreeMap<String, String> {
    let mut streams = BTreeMap::<_, String>::new();
    for (stream, text, is_partial) in lines {
        let whole = streams.entry(stream.to_owned()).or_default();
        whole.push_str(text);
        whole.push_str(if is_partial { "" } else { "\n" });
    }
    for whole in streams.values_mut() {
        whole.truncate(whole.trim_end_matches('\n').len());
    }
    streams
}

proptest! {
    #[test]
    fn nothing_is_lost_added_or_moved_within_a_stream(
        options in any_options(),
        lines in prop::collection::vec((texts(), any::<bool>(), prop::bool::weighted(0.3)), 0..40),
    ) {
        let options = LineOptions { max_line_bytes: 1 << 20, ..options };
        let of = options.format;
        // Before a newline it is no content, whichever way the newline comes.
        let lines = lines.iter().filter(|(text, ..)| !text.ends_with('\r'));
        let name = |stdout| match of {
            Format::Plain => "",
            _ if stdout => "stdout",
            _ => "stderr",
        };
        let text: String = lines.clone().map(|(text, out, part)| wrapped(of, text, *out, *part) + "\n").collect();
        let written = lines.map(|(text, out, part)| (name(*out), text.as_str(), *part && of != Format::Plain));
        let mut file = File::new(&options, &encoded(options.encoding, &text));
        let mut units = file.read_all(50);
        units.extend(file.finish());
        let published: Vec<Owned> = units.into_iter().flat_map(|(lines, _)| lines).collect();
        let published =
            published.iter().map(|(text, .., stream)| (stream.as_deref().unwrap_or(""), text.as_str(), false));
        prop_assert_eq!(streams(published), streams(written));
    }

    #[test]
    fn however_a_file_is_cut_into_blocks_its_lines_are_the_same(
        (options, bytes) in files(), sizes in prop::collection::vec(1_usize..60, 1..10),
    ) {
        let mut whole = File::new(&options, &bytes);
        let (at_once, rest) = (whole.read_all(usize::MAX), whole.finish());
        let mut file = File::new(&options, &bytes);
        let mut in_blocks = Vec::new();
        for &size in sizes.iter().cycle() {
            let Some(units) = file.read(size) else { break };
            in_blocks.extend(units);
            file.framer.shrink();
        }
        prop_assert_eq!(&in_blocks, &at_once);
        prop_assert_eq!(file.finish(), rest);
        prop_assert_eq!(file.framer.read_position(), bytes.len() as u64);
    }

    #[test]
    fn a_file_goes_on_behind_each_unit_as_if_it_had_not_been_left((options, bytes) in files()) {
        let mut whole = File::new(&options, &bytes);
        let mut units = whole.read_all(usize::MAX);
        units.extend(whole.finish());
        for (index, (_, end)) in units.iter().enumerate() {
            let mut later = File::at(&options, &bytes, *end);
            let mut rest = later.read_all(usize::MAX);
            rest.extend(later.finish());
            prop_assert_eq!(&rest, &units[index + 1..]);
        }
    }

    #[test]
    fn what_time_has_ended_ends_there_again(
        (options, bytes) in files(),
        steps in prop::collection::vec((1_usize..200, prop::bool::weighted(0.4)), 1..20),
        backs in prop::collection::vec(any::<Index>(), 1..6),
    ) {
        let mut file = File::new(&options, &bytes);
        let mut units = vec![(Vec::new(), 0)];
        for &(size, waits) in steps.iter().cycle() {
            let Some(more) = file.read(size) else { break };
            units.extend(more);
            if waits {
                units.extend(file.wait());
            }
        }
        units.extend(file.wait());
        for back in backs {
            let back = back.index(units.len());
            file.seek(units[back].1);
            let mut again = file.read_all(37);
            again.extend(file.wait());
            prop_assert_eq!(&again, &units[back + 1..], "from {} with {:?}", units[back].1, file.framer.ends);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_move_the_position_to_their_end(
        options in any_options(), bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..100,
    ) {
        let mut file = File::new(&options, &bytes);
        let mut position = 0;
        for (_, end) in file.read_all(size).into_iter().chain(file.wait()).chain(file.finish()) {
            prop_assert!(end > position);
            position = end;
        }
        prop_assert!(position == bytes.len() as u64 || bytes[usize::try_from(position).unwrap()..].iter().all(|&byte| matches!(byte, 0 | 0xfe | 0xff)));
    }

    #[test]
    fn every_end_of_a_unit_was_announced_before_the_block_behind_it(
        (options, bytes) in files(), size in 1_usize..60,
    ) {
        let mut file = File::new(&options, &bytes);
        let mut possible = vec![0];
        loop {
            let read = file.framer.read_position();
            for end in file.framer.possible_ends() {
                // Those in an earlier block cannot be found later.
                prop_assert!(end + size as u64 >= read || possible.contains(&end));
                possible.push(end);
            }
            let known = file.framer.possible_ends();
            let Some(units) = file.read(size) else { break };
            for (_, end) in units {
                prop_assert!(end > read || known.contains(&end), "{end} {read} {known:?}");
            }
        }
    }
}
