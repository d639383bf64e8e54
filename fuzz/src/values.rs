//! Values that are read from text: what is taken is shown as it was written, what is
//! refused is refused without a panic, and no message repeats a password.

use std::{fmt::Display, str::FromStr};

use logrelay::{
    record::{Cursor, Epoch, Host, MAX_OFFSET, Offset, Record, SourceKey, Timeline, Topic},
    store::RedisUrl,
};

const PASSWORD: &str = "pa55w0rd";

/// Bytes that are a kind of value and its text.
pub fn check(data: &[u8]) {
    let [kind, text @ ..] = data else { return };
    let text = &*String::from_utf8_lossy(text);
    match kind % 8 {
        0 => shown_as_written::<Cursor>(text),
        1 => shown_as_written::<Topic>(text),
        2 => shown_as_written::<Host>(text),
        3 => shown_as_written::<SourceKey>(text),
        4 => shown_as_written::<Epoch>(text),
        5 => record(text),
        6 => timeline(text),
        _ => redis_url(text),
    }
    if let Ok(topic) = Topic::from_lossy(text) {
        shown_as_written::<Topic>(topic.as_str());
    }
}

fn shown_as_written<V: FromStr<Err: Display> + Display>(text: &str) {
    match text.parse::<V>() {
        Ok(value) => assert_eq!(value.to_string(), text),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn record(text: &str) {
    if let Ok(record) = Record::parse(text) {
        assert_eq!(Record::parse(&record.to_text()), Ok(record.clone()));
        assert!(record.to_text().starts_with(&record.believed()));
    }
}

/// The text of the epochs, behind the first and the next offset.
fn timeline(text: &str) {
    let mut parts = text.splitn(3, ' ');
    let mut offset = || parts.next()?.parse().ok().and_then(|number| Offset::new(number).ok());
    let (Some(first), Some(next)) = (offset(), offset()) else { return };
    let Ok(timeline) = Timeline::parse(parts.next().unwrap_or_default(), first, next) else { return };
    for number in [0, first.get(), next.get(), MAX_OFFSET] {
        let epoch = timeline.epoch_of(Offset::new(number).expect("a number within the bounds"));
        assert!(timeline.common_with(epoch).is_ok_and(|common| common.is_none_or(|begin| begin <= next)));
    }
    assert!(timeline.first() <= timeline.next() && timeline.epochs().is_sorted());
}

fn redis_url(text: &str) {
    let shown = |text: &str| match text.parse::<RedisUrl>() {
        Ok(url) => format!("{url} {url:?} {}", url.address()),
        Err(error) => format!("{error} {error:?}"),
    };
    shown(text);
    for scheme in ["redis", "redis+unix", "rediss"] {
        for user in ["", "user"] {
            let said = shown(&format!("{scheme}://{user}:{PASSWORD}@{text}"));
            assert!(!said.contains(PASSWORD) || text.contains(PASSWORD), "{said}");
        }
    }
}

/// One of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "app@0190a1b2c3d4e5f6:42",
        "app.web-1_x",
        "web-1",
        "web-1/0190a1b2c3d4e5f6-7",
        "0190a1b2c3d4e5f6",
        &Record::parse(
            "00000000000000ff 7 {\"next_line\":1,\"start\":0,\"path\":\"/a\",\"device\":1,\"inode\":2,\
             \"head\":\"1:0\",\"tail\":\"1:0\",\"state\":\"gone\"}",
        )
        .map_or_else(|error| error.to_string(), |record| record.to_text()),
        "5 100 0000000000100001:0,0000000000200002:90",
        "user:secret@host:6379/3",
    ];
    (0..).zip(texts).map(|(kind, text)| [&[kind], text.as_bytes()].concat()).collect()
}
