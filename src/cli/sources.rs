//! Where sources stand, a line each: as a relay tells it, and as Redis has it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    subscribe::Output,
    table::{Align, printable, table},
};
use crate::{
    proto,
    record::{SourceStatus, Topic},
};

/// A source, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    topic: String,
    host: String,
    path: String,
    position: u64,
    size: Option<u64>,
    lag: Option<u64>,
    state: String,
    lines: u64,
    last_time: Option<String>,
    key: String,
}

impl Row {
    /// What Redis has.
    pub(super) fn of_status(topic: &Topic, status: SourceStatus) -> Self {
        let details = &status.record.details;
        let appended = details.appended_ms.map(Duration::from_millis);
        Self {
            topic: topic.to_string(),
            host: status.key.host().to_owned(),
            position: status.record.position,
            size: status.size(),
            lag: status.lag(),
            state: status.activity.to_string(),
            lines: details.lines(),
            last_time: appended.and_then(|since| utc(UNIX_EPOCH.checked_add(since)?)),
            key: status.key.to_string(),
            path: status.record.details.path,
        }
    }

    /// What a relay tells.
    pub(super) fn of_info(topic: &str, info: proto::SourceInfo) -> Self {
        let state = match info.state() {
            proto::SourceState::Unspecified => "unknown",
            proto::SourceState::Active => "active",
            proto::SourceState::Rotated => "rotated",
            proto::SourceState::Gone => "gone",
        };
        Self {
            topic: topic.to_owned(),
            state: state.to_owned(),
            last_time: info.last_time.and_then(|time| utc(SystemTime::try_from(time).ok()?)),
            host: info.host,
            path: info.path,
            position: info.position,
            size: info.size,
            lag: info.lag,
            lines: info.lines,
            key: info.key,
        }
    }
}

/// A time as RFC 3339 in UTC.
pub(super) fn utc(time: SystemTime) -> Option<String> {
    Some(format!("{:.3}", Timestamp::try_from(time).ok()?))
}

/// The rows as they are printed.
///
/// # Errors
/// Where they cannot be written as JSON.
pub(super) fn printed(rows: &[Row], output: Output) -> Result<String, serde_json::Error> {
    match output {
        Output::Text => Ok(text(rows)),
        Output::Json => rows.iter().map(|row| Ok(serde_json::to_string(row)? + "\n")).collect(),
    }
}

fn text(rows: &[Row]) -> String {
    use Align::{Left, Right};
    let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let cells = rows.iter().map(|row| {
        [
            row.topic.clone(),
            row.host.clone(),
            printable(&row.path),
            row.position.to_string(),
            number(row.size),
            number(row.lag),
            row.state.clone(),
            row.last_time.clone().unwrap_or("-".to_owned()),
        ]
    });
    let columns = [
        ("TOPIC", Left),
        ("HOST", Left),
        ("PATH", Left),
        ("POSITION", Right),
        ("SIZE", Right),
        ("LAG", Right),
        ("STATE", Left),
        ("LAST LINES", Left),
    ];
    table(columns, cells.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(path: &str, size: Option<u64>) -> proto::SourceInfo {
        proto::SourceInfo {
            key: "web/0a-1".into(),
            host: "web".into(),
            path: path.into(),
            position: 70,
            size,
            lag: size.map(|size| size - 70),
            state: proto::SourceState::Active.into(),
            lines: 7,
            last_time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 5_000_000 }),
        }
    }

    #[test]
    fn a_source_is_a_line_with_what_is_not_known_as_a_dash() {
        let rows = [info("/var/log/a.log", Some(1000)), info("/b\n", None)].map(|i| Row::of_info("app", i));
        let text = printed(&rows, Output::Text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "TOPIC  HOST  PATH            POSITION  SIZE  LAG  STATE   LAST LINES",
                "app    web   /var/log/a.log        70  1000  930  active  2026-09-21T14:13:20.005Z",
                "app    web   /b\\n                  70     -    -  active  2026-09-21T14:13:20.005Z",
            ]
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let rows = [info("/a", Some(70)), info("/b", None)].map(|info| Row::of_info("app", info));
        let text = printed(&rows, Output::Json).unwrap();
        let values: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&values[0]["lag"], &values[0]["path"]), (&0.into(), &"/a".into()));
        assert_eq!((&values[1]["size"], &values[1]["state"]), (&serde_json::Value::Null, &"active".into()));
    }
}
