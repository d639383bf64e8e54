//! Container formats: what a runtime wraps comes out as it was, whatever a program writes
//! and however its two streams alternate.

use std::{collections::VecDeque, time::Instant};

use logrelay::tail::{
    framing::Framer,
    input::{Format, LineOptions},
};

/// More than so many lines that wait for each other would be ended by force.
const MOST_PIECES: usize = 900;

/// One piece as a runtime has it.
struct Piece<'a> {
    stream: &'static str,
    text: &'a [u8],
    is_partial: bool,
    time_s: u64,
}

/// Bytes that are a format, and pieces: a byte of stream and ending, a length, a text.
pub fn check(data: &[u8]) {
    let [format, rest @ ..] = data else { return };
    let format = if format % 2 == 0 { Format::Docker } else { Format::Cri };
    let pieces = pieces(rest);
    let mut file = Vec::new();
    for piece in &pieces {
        let wrapped = if format == Format::Cri { cri(piece) } else { docker(piece) };
        file.extend(wrapped);
    }
    let options = LineOptions { format, ..LineOptions::default() };
    let mut framer = Framer::new(&options, 0, &[]);
    framer.extend(&file, Instant::now());
    framer.finish();
    let mut expected = ["stdout", "stderr"].map(|stream| (stream, lines(format, &pieces, stream)));
    while let Some(line) = framer.next_line() {
        let stream = line.labels.and_then(|labels| labels.get("stream")).map_or("", String::as_str);
        let of_stream = expected.iter_mut().find(|(name, _)| *name == stream);
        let (content, time_s) = of_stream.and_then(|(_, lines)| lines.pop_front()).expect("one more line");
        assert_eq!(line.content, content, "{stream}");
        assert_eq!((line.truncated_bytes, line.time_unix_nano), (0, time_s * 1_000_000_000 + 5));
    }
    assert!(expected.iter().all(|(_, lines)| lines.is_empty()), "lines are missing");
    assert_eq!((framer.position(), framer.take_malformed()), (file.len() as u64, None));
}

fn pieces(mut rest: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let [kind, len, behind @ ..] = rest
        && pieces.len() < MOST_PIECES
    {
        let (text, behind) = behind.split_at(usize::from(*len).min(behind.len()));
        rest = behind;
        let stream = if kind & 1 == 0 { "stdout" } else { "stderr" };
        let time_s = 1_700_000_000 + pieces.len() as u64;
        pieces.push(Piece { stream, text, is_partial: kind & 2 == 2, time_s });
    }
    pieces
}

/// The lines of a stream, each with the time of its first piece.
fn lines(format: Format, pieces: &[Piece<'_>], stream: &str) -> VecDeque<(Vec<u8>, u64)> {
    let (mut lines, mut open) = (VecDeque::new(), None);
    for piece in pieces.iter().filter(|piece| piece.stream == stream) {
        let (content, _) = open.get_or_insert((Vec::new(), piece.time_s));
        content.extend(content_of(format, piece));
        if !piece.is_partial {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    lines
}

/// What a piece adds to its line: no newline, and in Docker's JSON only text.
fn content_of(format: Format, piece: &Piece<'_>) -> Vec<u8> {
    let text: Vec<u8> = piece.text.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    if format == Format::Cri { text } else { String::from_utf8_lossy(&text).into_owned().into_bytes() }
}

fn cri(piece: &Piece<'_>) -> Vec<u8> {
    let tag = if piece.is_partial { 'P' } else { 'F' };
    let mut line = format!("{} {} {tag} ", time(piece), piece.stream).into_bytes();
    line.extend(content_of(Format::Cri, piece));
    line.push(b'\n');
    line
}

fn docker(piece: &Piece<'_>) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(&content_of(Format::Docker, piece)).into_owned();
    if !piece.is_partial {
        text.push('\n');
    }
    let line = serde_json::json!({ "log": text, "stream": piece.stream, "time": time(piece) });
    format!("{line}\n").into_bytes()
}

fn time(piece: &Piece<'_>) -> String {
    let time = jiff::Timestamp::new(i64::try_from(piece.time_s).unwrap_or_default(), 5);
    time.expect("a time of our century").to_string()
}

/// Whole lines and partial ones, of both streams.
pub fn seeds() -> Vec<Vec<u8>> {
    let pieces = b"\0\x03one\x02\x02tw\x01\x05three\0\x01o\x03\x04\xff\xfe\"\\\x01\0\0\0";
    [0, 1].map(|format| [&[format], pieces.as_slice()].concat()).into()
}
