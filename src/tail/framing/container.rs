//! Lines as container runtimes write them, unwrapped. Pure.

use std::{borrow::Cow, sync::LazyLock};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{record::Labels, tail::input::Format};

static STDOUT: LazyLock<Labels> = LazyLock::new(|| label("stdout"));
static STDERR: LazyLock<Labels> = LazyLock::new(|| label("stderr"));

fn label(stream: &str) -> Labels {
    [("stream".to_owned(), stream.to_owned())].into()
}

/// Where a program has written a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stream {
    /// To the file itself.
    #[default]
    None,
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) const ALL: [Self; 3] = [Self::None, Self::Stdout, Self::Stderr];

    fn parse(name: &str) -> Option<Self> {
        match name {
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            _ => None,
        }
    }

    /// The label that tells its lines apart.
    pub(super) fn labels(self) -> Option<&'static Labels> {
        match self {
            Self::None => None,
            Self::Stdout => Some(&STDOUT),
            Self::Stderr => Some(&STDERR),
        }
    }
}

/// What is in one line of a runtime: a line of the program, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) stream: Stream,
    pub(super) content: Cow<'a, [u8]>,
    /// Whether the line goes on in the next piece of the stream.
    pub(super) is_partial: bool,
    pub(super) time_unix_nano: u64,
    /// All labels of the line, where it has more than the one of its stream.
    pub(super) labels: Option<Labels>,
}

impl<'a> Piece<'a> {
    fn plain(line: &'a [u8]) -> Self {
        let (content, time_unix_nano) = (Cow::Borrowed(line), 0);
        Self { stream: Stream::None, content, is_partial: false, time_unix_nano, labels: None }
    }
}

/// What is wrapped in a line; none when it is not of the format.
pub(super) fn unwrap(format: Format, line: &[u8]) -> Option<Piece<'_>> {
    match format {
        Format::Plain => Some(Piece::plain(line)),
        Format::Docker => docker(line),
        Format::Cri => cri(line),
    }
}

/// A line of Docker's json-file driver. One with a field that is not known is none: that
/// field would be lost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: Labels,
}

fn docker(line: &[u8]) -> Option<Piece<'_>> {
    let DockerLine { log, stream, time, attrs } = serde_json::from_slice(line).ok()?;
    let stream = Stream::parse(&stream)?;
    let is_partial = !log.ends_with('\n');
    let content = match log {
        Cow::Borrowed(text) => Cow::Borrowed(without_ending(text).as_bytes()),
        Cow::Owned(mut text) => {
            text.truncate(without_ending(&text).len());
            Cow::Owned(text.into_bytes())
        }
    };
    let labels = (!attrs.is_empty()).then(|| {
        let mut labels = attrs;
        labels.extend(stream.labels().cloned().unwrap_or_default());
        labels
    });
    Some(Piece { stream, content, is_partial, time_unix_nano: unix_nano(&time)?, labels })
}

fn without_ending(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    }
}

/// `<time> <stream> <P|F>[:more tags] <content>`
fn cri(line: &[u8]) -> Option<Piece<'_>> {
    let (time, rest) = word(line)?;
    let (stream, rest) = word(rest)?;
    // The space behind the tags is there even where the content is empty; be kind.
    let (tags, content) = word(rest).unwrap_or((rest, &[]));
    let is_partial = match tags.split(|&byte| byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    let stream = Stream::parse(std::str::from_utf8(stream).ok()?)?;
    let time_unix_nano = unix_nano(std::str::from_utf8(time).ok()?)?;
    Some(Piece { stream, content: Cow::Borrowed(content), is_partial, time_unix_nano, labels: None })
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', text)?;
    Some((&text[..at], &text[at + 1..]))
}

fn unix_nano(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
}
