//! Reads a `PublishRequest`: what is wrong in it is said field by field.

use bytes::Bytes;
use prost::Message as _;
use tonic::Status;

use super::super::{
    codec::refused,
    status::{Violation, invalid},
};
use crate::{
    proto,
    record::{EncodedLines, EncodingError, Host, Instance, Labels, LineBounds, MAX_OFFSET, Topic},
};

/// Most lines of one request.
const MAX_LINES: usize = 65_536;
/// Greatest size of what a line has besides its content, and of a source's labels.
const MAX_LABELS_BYTES: usize = 16 * 1024;
/// Greatest size of a request without its lines.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Who publishes what: said by the first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) topic: Topic,
    pub(super) producer: Host,
    pub(super) instance: Instance,
    pub(super) resume: bool,
    pub(super) labels: Labels,
}

/// Lines, and where they belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The number of the first line.
    pub(super) sequence: u64,
    pub(super) accept_gap: bool,
    pub(super) finished: bool,
    pub(super) lines: EncodedLines,
    /// The size of the whole, in bytes.
    pub(super) bytes: usize,
}

/// What lines may be like here.
pub(super) fn bounds(max_line_bytes: usize) -> LineBounds {
    LineBounds {
        max_lines: MAX_LINES,
        max_line_bytes,
        max_extra_bytes: MAX_LABELS_BYTES,
        max_head_bytes: MAX_HEAD_BYTES,
    }
}

/// Reads the first request of a stream.
///
/// # Errors
/// `INVALID_ARGUMENT`, with every field that is wrong.
pub(super) fn first(message: Bytes, bounds: &LineBounds) -> Result<(Opening, Request), Status> {
    let (head, request) = read(message, bounds)?;
    let mut wrong = Vec::new();
    let topic =
        head.topic.parse::<Topic>().map_err(|error| violation("topic", "BAD_TOPIC", error.to_string()));
    let producer = Host::of_producer(&head.producer);
    let producer = producer.map_err(|error| violation("producer", "BAD_PRODUCER", error.to_string()));
    let instance = Instance::new(head.instance).ok_or_else(|| {
        let why = "it is 0: choose a random number when the program starts";
        violation("instance", "BAD_INSTANCE", why.to_owned())
    });
    let bytes: usize = head.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_LABELS_BYTES {
        let why = format!("they have {bytes} bytes, at most {MAX_LABELS_BYTES} are taken");
        wrong.push(violation("labels", "BAD_LABELS", why));
    }
    match (topic, producer, instance) {
        (Ok(topic), Ok(producer), Ok(instance)) if wrong.is_empty() => {
            let (resume, labels) = (head.resume, head.labels);
            Ok((Opening { topic, producer, instance, resume, labels }, request))
        }
        (topic, producer, instance) => {
            let before = [topic.err(), producer.err(), instance.err()];
            wrong.splice(0..0, before.into_iter().flatten());
            Err(invalid(&wrong))
        }
    }
}

/// Reads a later request.
///
/// # Errors
/// `INVALID_ARGUMENT`, with every field that is wrong.
pub(super) fn later(message: Bytes, bounds: &LineBounds) -> Result<Request, Status> {
    let (head, request) = read(message, bounds)?;
    let of_the_first = [
        ("topic", !head.topic.is_empty()),
        ("producer", !head.producer.is_empty()),
        ("instance", head.instance != 0),
        ("resume", head.resume),
        ("labels", !head.labels.is_empty()),
    ];
    let said = of_the_first.iter().filter(|(_, is_set)| *is_set).map(|(field, _)| {
        let why = "it is said by the first request of a stream, and by no later one";
        violation(field, "ALREADY_OPEN", why.to_owned())
    });
    let wrong: Vec<_> = said.collect();
    if wrong.is_empty() { Ok(request) } else { Err(invalid(&wrong)) }
}

fn read(message: Bytes, bounds: &LineBounds) -> Result<(proto::PublishRequest, Request), Status> {
    let bytes = message.len();
    let split = EncodedLines::split(message.clone(), bounds);
    let (head, lines) = split.map_err(|error| match (&error, proto::PublishRequest::decode(message)) {
        // Who decodes it can say in which field.
        (EncodingError::Malformed(_), Err(error)) => refused(&error),
        _ => invalid(&[violation_of(&error)]),
    })?;
    let head = proto::PublishRequest::decode(&head[..]);
    let head = head.map_err(|error| refused(&error))?;
    let last = head.sequence.checked_add(lines.len() as u64);
    if last.is_none_or(|last| last > MAX_OFFSET) {
        let (sequence, count) = (head.sequence, lines.len());
        let why = format!("{sequence} and {count} lines go beyond {MAX_OFFSET}");
        return Err(invalid(&[violation("sequence", "BAD_SEQUENCE", why)]));
    }
    let (sequence, accept_gap, finished) = (head.sequence, head.accept_gap, head.finished);
    Ok((head, Request { sequence, accept_gap, finished, lines, bytes }))
}

fn violation(field: &str, reason: &'static str, why: String) -> Violation {
    Violation { field: field.to_owned(), reason, why }
}

fn violation_of(error: &EncodingError) -> Violation {
    let why = error.to_string();
    match error {
        EncodingError::Malformed(_) => violation("request", "BAD_REQUEST", why),
        EncodingError::Head { .. } => violation("request", "REQUEST_TOO_LARGE", why),
        EncodingError::TooManyLines(_) => violation("lines", "TOO_MANY_LINES", why),
        EncodingError::Line { index } => violation(&format!("lines[{index}]"), "BAD_LINE", why),
        EncodingError::TooLong { index, .. } => {
            violation(&format!("lines[{index}].content"), "LINE_TOO_LONG", why)
        }
        EncodingError::TooMuch { index, .. } => {
            violation(&format!("lines[{index}].labels"), "BAD_LABELS", why)
        }
    }
}
