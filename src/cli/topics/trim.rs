//! `logrelay topics trim`.

use std::str::FromStr;

use super::Relays;
use crate::{
    cli::subscribe::time,
    client,
    proto::trim_topic_request::Before,
    record::{Cursor, Topic},
};

/// Which topic, and up to where.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topic
    topic: Topic,
    /// The first line to be kept: an offset, a cursor, an RFC 3339 time, or a duration before now such as
    /// 10m
    #[arg(long, value_name = "WHERE")]
    before: Where,
}

/// The first line to be kept.
#[derive(Debug, Clone, PartialEq)]
struct Where(Before);

impl Where {
    /// The offset of the first line to be kept; none where the relay finds it by its time.
    fn offset(&self) -> Option<u64> {
        match &self.0 {
            Before::Offset(offset) => Some(*offset),
            Before::Cursor(cursor) => cursor.parse::<Cursor>().ok().map(|cursor| cursor.offset.get()),
            Before::Time(_) => None,
        }
    }
}

impl FromStr for Where {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let before = match text.parse() {
            Ok(offset) => Before::Offset(offset),
            Err(_) if text.contains('@') => match text.parse::<Cursor>() {
                Ok(cursor) => Before::Cursor(cursor.to_string()),
                Err(error) => return Err(error.to_string()),
            },
            Err(_) => {
                let forms = "an offset, a cursor <topic>@<epoch>:<offset>, a duration such as 10m, or an RFC 3339 \
                             time such as 2026-11-20T08:00:00Z";
                Before::Time(time(text, forms)?.into())
            }
        };
        Ok(Self(before))
    }
}

/// Trims the topic; a line of what happened.
pub(super) async fn run(arguments: Arguments, relays: &Relays) -> anyhow::Result<String> {
    let Arguments { topic, before } = arguments;
    let wanted = before.offset();
    let trimmed = client::trim_topic(&relays.relays, &topic, before.0, relays.timeout_ms).await?;
    let (lines, first) = (trimmed.lines, trimmed.first_offset);
    let kept = wanted.filter(|wanted| *wanted > first).map(|wanted| {
        format!(
            " (lines go in the batches that they were appended in: the one that ends behind {wanted} stays)"
        )
    });
    Ok(format!("{topic}: {lines} lines were removed, the first one is {first}{}\n", kept.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood_and_others_are_refused() {
        let place = |text: &str| text.parse::<Where>();
        assert_eq!(place("17"), Ok(Where(Before::Offset(17))));
        assert_eq!(
            place("app@00000000000000aa:7"),
            Ok(Where(Before::Cursor("app@00000000000000aa:7".to_owned())))
        );
        assert!(matches!(place("2026-11-21T12:00:00Z"), Ok(Where(Before::Time(_)))));
        assert!(matches!(place("2h"), Ok(Where(Before::Time(_)))));
        for wrong in ["", "soon", "-5", "last=3", "app@1:2"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
        assert!(place("soon").unwrap_err().contains("an offset"));
    }
}
