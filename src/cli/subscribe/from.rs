//! Where to begin, as it is written on the command line.

use std::{str::FromStr, time::SystemTime};

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use super::{Misuse, Start};
use crate::record::{Cursor, TopicGlob};

/// One value of `--from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    /// For every topic that has no cursor.
    Start(Start),
    /// For one topic.
    Cursor(Cursor),
}

const FORMS: &str = "earliest, latest, last=N, a duration such as 10m, an RFC 3339 time such as \
                     2026-11-20T08:00:00Z, or a cursor <topic>@<epoch>:<offset>";

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let start = match text {
            "earliest" => Start::Earliest,
            "latest" => Start::Latest,
            _ if text.contains('@') => {
                return text
                    .parse()
                    .map(Self::Cursor)
                    .map_err(|error: crate::record::CursorError| error.to_string());
            }
            _ => match text.strip_prefix("last=") {
                Some(number) => Start::LastLines(
                    number
                        .parse()
                        .map_err(|_| format!("last={number}: {number:?} is not a number of lines"))?,
                ),
                None => Start::Time(time(text, FORMS)?),
            },
        };
        Ok(Self::Start(start))
    }
}

/// A time, or a duration before now; `forms` is what could stand there.
pub(in crate::cli) fn time(text: &str, forms: &str) -> Result<SystemTime, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.into());
    }
    let in_days = |span: Span| span.to_duration(SpanRelativeTo::days_are_24_hours());
    // What is too long for the one can be read by the other.
    let duration = text.parse().and_then(in_days).or_else(|_| text.parse::<SignedDuration>());
    let duration = duration.map_err(|_| format!("it is none of: {forms}"))?;
    if duration.is_negative() {
        return Err("a duration counts back from now and cannot be negative".to_owned());
    }
    let then = Timestamp::now().checked_sub(duration).map_err(|_| "it is too long ago".to_owned())?;
    Ok(then.into())
}

/// The one start and the cursors among the values, which have to fit the topics.
pub(super) fn resolve(values: &[From], topics: &[TopicGlob]) -> Result<(Option<Start>, Vec<Cursor>), Misuse> {
    let (mut start, mut cursors) = (None, Vec::<Cursor>::new());
    for value in values {
        match value {
            From::Start(_) if start.is_some() => {
                return Err(Misuse("--from has more than one start; only cursors can be several".to_owned()));
            }
            From::Start(value) => start = Some(*value),
            From::Cursor(cursor) if !topics.iter().any(|pattern| pattern.matches(&cursor.topic)) => {
                return Err(Misuse(format!(
                    "--from {cursor} is a cursor of {}, which is not asked for",
                    cursor.topic
                )));
            }
            From::Cursor(cursor) if cursors.iter().any(|other| other.topic == cursor.topic) => {
                return Err(Misuse(format!("--from has more than one cursor of {}", cursor.topic)));
            }
            From::Cursor(cursor) => cursors.push(cursor.clone()),
        }
    }
    Ok((start, cursors))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn from(text: &str) -> From {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_is_understood() {
        assert_eq!(from("earliest"), From::Start(Start::Earliest));
        assert_eq!(from("latest"), From::Start(Start::Latest));
        assert_eq!(from("last=0"), From::Start(Start::LastLines(0)));
        assert_eq!(from("last=25"), From::Start(Start::LastLines(25)));
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400);
        assert_eq!(from("2026-11-21T12:00:00Z"), From::Start(Start::Time(noon)));
        assert_eq!(from("2026-11-21T13:00:00+01:00"), From::Start(Start::Time(noon)));
        assert!(matches!(from("app@00000000000000aa:7"), From::Cursor(_)));
        let From::Start(Start::Time(time)) = from("1h30m") else { panic!("a time") };
        let ago = time.elapsed().unwrap();
        assert!(ago >= Duration::from_secs(5_400) && ago < Duration::from_secs(5_460));
        let hours = |text: &str| {
            let From::Start(Start::Time(time)) = from(text) else { panic!("a time") };
            time.elapsed().unwrap().as_secs() / 3600
        };
        assert_eq!([hours("2d"), hours("1w 1d"), hours("99999d")], [48, 8 * 24, 99_999 * 24]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| text.parse::<From>().unwrap_err();
        assert!(error("yesterday").contains("RFC 3339"));
        assert!(error("").contains("earliest"));
        assert!(error("last=-1").contains("not a number of lines"));
        assert!(error("-10m").contains("negative"));
        assert!(error("app@12:7").contains("epoch"));
        assert!(error("999999999h").contains("too long ago"));
        // Neither is always as long.
        assert!(error("1 month").contains("none of"));
        assert!(error("2026-13-01T00:00:00Z").contains("none of"));
    }

    #[test]
    fn cursors_have_to_fit_the_topics() {
        let topics = ["app".parse().unwrap(), "web.*".parse().unwrap()];
        let good = [from("app@00000000000000aa:7"), from("last=5"), from("web.1@00000000000000aa:7")];
        let (start, cursors) = resolve(&good, &topics).unwrap();
        assert_eq!((start, cursors.len()), (Some(Start::LastLines(5)), 2));
        let wrong = |values: &[From]| resolve(values, &topics).unwrap_err().0;
        assert!(wrong(&[from("db@00000000000000aa:7")]).contains("db"));
        assert!(wrong(&[good[0].clone(), good[0].clone()]).contains("more than one cursor"));
        assert!(wrong(&[from("latest"), from("earliest")]).contains("more than one start"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let parsed = text.parse::<From>();
            prop_assert!(parsed.is_ok() || parsed.is_err());
        }
    }
}
