//! The first request of a stream of `Publish`. What later ones may not have is in `suite::publish`.

use logrelay::{
    proto::{Line, PublishRequest},
    record::MAX_OFFSET,
};

use super::row::Row;

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    let good = PublishRequest {
        topic: "published".to_owned(),
        producer: "job".to_owned(),
        instance: 1,
        lines: vec![Line { content: "a line".into(), ..Line::default() }],
        ..PublishRequest::default()
    };
    let served = |what: &str, change: fn(&mut PublishRequest)| {
        let mut request = good.clone();
        change(&mut request);
        Row::served("Publish", what, &request)
    };
    let wrong = |reason, field, what: &str, change: fn(&mut PublishRequest)| {
        let mut request = good.clone();
        change(&mut request);
        Row::wrong("Publish", what, &request, reason, field)
    };
    let no_message = |more, field| Row::no_message("Publish", &good, more, field);
    vec![
        served("the longest names", |r| (r.topic, r.producer) = ("t".repeat(200), "p".repeat(200))),
        wrong("BAD_TOPIC", "topic", "no topic", |r| r.topic.clear()),
        wrong("BAD_TOPIC", "topic", "a topic too long", |r| r.topic = "t".repeat(201)),
        wrong("BAD_TOPIC", "topic", "a pattern", |r| r.topic = "t*".into()),
        wrong("BAD_PRODUCER", "producer", "no producer", |r| r.producer.clear()),
        wrong("BAD_PRODUCER", "producer", "a producer too long", |r| r.producer = "p".repeat(201)),
        wrong("BAD_INSTANCE", "instance", "no instance", |r| r.instance = 0),
        wrong("BAD_SEQUENCE", "sequence", "beyond the last number", |r| r.sequence = u64::MAX),
        wrong("BAD_SEQUENCE", "sequence", "with its lines beyond the last number", |r| {
            r.sequence = MAX_OFFSET;
        }),
        wrong("BAD_LABELS", "labels", "labels too large", |r| {
            r.labels = [("name".to_owned(), "v".repeat(16 * 1024))].into();
        }),
        wrong("LINE_TOO_LONG", "lines[1].content", "a line too long", |r| {
            r.lines.push(Line { content: vec![b'x'; 1024 * 1024 + 1].into(), ..Line::default() });
        }),
        wrong("BAD_LABELS", "lines[0].labels", "labels of a line too large", |r| {
            r.lines[0].labels = [("name".to_owned(), "v".repeat(16 * 1024))].into();
        }),
        wrong("TOO_MANY_LINES", "lines", "a line more than a request may have", |r| {
            r.lines = vec![Line::default(); 65_537];
        }),
        served("the longest line", |r| {
            r.producer = "long".into();
            r.lines = vec![Line { content: vec![b'x'; 1024 * 1024].into(), ..Line::default() }];
        }),
        no_message(b"\x0a\x01\xff", "topic"),
        no_message(b"\x12\x01\xff", "producer"),
        no_message(b"\x18\x01", "instance"),
        no_message(b"\x2a\x03\x0a\x01\xff", "labels"),
        no_message(b"\xff", "request"),
    ]
}
