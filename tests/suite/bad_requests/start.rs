//! The fields of a `Start`, of every call that takes one.

use logrelay::proto::{Start, start::Position};
use prost_types::Timestamp;

use super::row::Row;

/// The first and the last second of a timestamp, since 1970.
pub(super) const FIRST_SECOND: i64 = -62_135_596_800;
pub(super) const LAST_SECOND: i64 = 253_402_300_799;

/// All rows; `served` and `wrong` are the request with that start, the latter refused for its
/// field of this name.
pub(super) fn rows(
    served: &dyn Fn(&str, Option<Start>) -> Row,
    wrong: &dyn Fn(&'static str, &str, Option<Start>) -> Row,
) -> Vec<Row> {
    let start = |position| Some(Start { position: Some(position) });
    let time = |seconds, nanos| start(Position::Time(Timestamp { seconds, nanos }));
    let bad = |seconds, nanos| {
        let words = [format!("{seconds} s and {nanos} ns"), format!("{FIRST_SECOND} to {LAST_SECOND}")];
        let row = wrong("start.time", "a time that is none", time(seconds, nanos));
        row.says(&words.each_ref().map(String::as_str))
    };
    let (seconds, nanos) = ("start.time.seconds", "start.time.nanos");
    vec![
        served("no start", None),
        served("a start without a position", Some(Start { position: None })),
        served("the latest", start(Position::Latest(true))),
        wrong("start.earliest", "not the earliest", start(Position::Earliest(false))).says(&["must be true"]),
        wrong("start.latest", "not the latest", start(Position::Latest(false))).says(&["must be true"]),
        served("no lines", start(Position::LastLines(0))).nothing("start.last_lines"),
        served("all lines", start(Position::LastLines(u64::MAX))).longest("start.last_lines"),
        served("1970", time(0, 0)).nothing(seconds).nothing(nanos),
        served("the first time", time(FIRST_SECOND, 0)),
        served("the last time", time(LAST_SECOND, 999_999_999)).longest(seconds).longest(nanos),
        bad(LAST_SECOND + 1, 0).past(seconds, &[]),
        bad(FIRST_SECOND - 1, 0),
        bad(0, 1_000_000_000).past(nanos, &["999999999"]),
        bad(0, -1),
        bad(i64::MAX, 0),
        bad(i64::MIN, i32::MIN),
    ]
}
