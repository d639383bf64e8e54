//! `logrelay topics`: what there is, a line each; `topics show` names a topic's sources, the others
//! change a topic.

mod delete;
mod retention;
mod trim;

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use serde::Serialize;
use tracing::warn;

use super::{
    relays::RelayFlags,
    sources::{Row, printed, utc},
    subscribe::Output,
    table::{Align, table},
};
use crate::{
    client::{self, RelayAddress},
    config::General,
    proto::{ListTopicsResponse, TopicInfo},
    record::Topic,
    telemetry::{self, Terminal},
};

/// As many sources as a relay tells at once.
const MAX_SOURCES: u32 = 10_000;

/// Lists the topics: their lines, their size, their age and their readers.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    relays: RelayFlags,
    /// A table, or one JSON object a line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    output: Output,
    // Longer than a relay waits for Redis by default, so that it can say what it waited for.
    /// How long a relay may take to connect, and to answer, in milliseconds
    #[arg(long, global = true, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: u64,
    #[command(subcommand)]
    action: Option<Action>,
}

/// Whom to ask.
#[derive(Debug)]
struct Relays {
    relays: Vec<RelayAddress>,
    timeout_ms: u64,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Says where each source of a topic stands
    Show {
        /// The topic
        topic: Topic,
    },
    /// Deletes topics: lines, sources, durable subscriptions; offsets never start over
    Delete(delete::Arguments),
    /// Removes the older lines of a topic
    Trim(trim::Arguments),
    /// Says, or sets, how much of a topic is kept
    Retention(retention::Arguments),
}

pub(super) async fn run(arguments: Arguments, general: General, terminal: Terminal) -> anyhow::Result<()> {
    let Arguments { relays, output, timeout_ms, action } = arguments;
    let relays = Relays { relays: relays.relays()?, timeout_ms };
    telemetry::start_logs(
        &general.log_level.clone().unwrap_or_default(),
        output.log_format(&general),
        &terminal,
    );
    let text = match action {
        None => list(&relays, output).await?,
        Some(Action::Show { topic }) => show(&relays, output, &topic).await?,
        Some(Action::Delete(arguments)) => delete::run(arguments, &relays).await?,
        Some(Action::Trim(arguments)) => trim::run(arguments, &relays).await?,
        Some(Action::Retention(arguments)) => retention::run(arguments, &relays).await?,
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

async fn list(relays: &Relays, output: Output) -> anyhow::Result<String> {
    let answer = client::list_topics(&relays.relays, relays.timeout_ms);
    let ListTopicsResponse { topics, warnings } = answer.await?;
    for warning in warnings {
        warn!("{warning}");
    }
    Ok(match output {
        Output::Text => text(&topics),
        Output::Json => objects(&topics)?,
    })
}

async fn show(relays: &Relays, output: Output, topic: &Topic) -> anyhow::Result<String> {
    let found = client::get_topic(&relays.relays, topic, MAX_SOURCES, relays.timeout_ms).await?;
    if found.has_more_sources {
        warn!(shown = found.sources.len(), "the topic has more sources than a relay tells at once");
    }
    let rows = found.sources.into_iter().map(|info| Row::of_info(topic.as_str(), info));
    Ok(printed(&rows.collect::<Vec<_>>(), output)?)
}

fn time_of(time: Option<&prost_types::Timestamp>) -> Option<String> {
    utc(SystemTime::try_from(*time?).ok()?)
}

fn text(topics: &[TopicInfo]) -> String {
    use Align::{Left, Right};
    let rows = topics.iter().map(|topic| {
        [
            topic.topic.clone(),
            topic.next_offset.saturating_sub(topic.first_offset).to_string(),
            topic.first_offset.to_string(),
            topic.next_offset.to_string(),
            topic.stored_bytes.to_string(),
            topic.readers.to_string(),
            time_of(topic.last_time.as_ref()).unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let columns = [
        ("TOPIC", Left),
        ("LINES", Right),
        ("FIRST", Right),
        ("NEXT", Right),
        ("BYTES", Right),
        ("READERS", Right),
        ("LAST LINE", Left),
    ];
    table(columns, rows.collect())
}

fn objects(topics: &[TopicInfo]) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Object<'a> {
        topic: &'a str,
        epoch: &'a str,
        first_offset: u64,
        next_offset: u64,
        stored_bytes: u64,
        first_time: Option<String>,
        last_time: Option<String>,
        readers: u64,
    }
    let mut text = String::new();
    for topic in topics {
        text.push_str(&serde_json::to_string(&Object {
            topic: &topic.topic,
            epoch: &topic.epoch,
            first_offset: topic.first_offset,
            next_offset: topic.next_offset,
            stored_bytes: topic.stored_bytes,
            first_time: time_of(topic.first_time.as_ref()),
            last_time: time_of(topic.last_time.as_ref()),
            readers: topic.readers,
        })?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(topic: &str, first_offset: u64, next_offset: u64) -> TopicInfo {
        let time = prost_types::Timestamp { seconds: 1_790_000_000, nanos: 5_000_000 };
        TopicInfo {
            topic: topic.into(),
            first_offset,
            next_offset,
            last_time: (next_offset > 0).then_some(time),
            ..TopicInfo::default()
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_topic_and_columns_that_stand_under_each_other() {
        let text = text(&[info("app", 10, 1_000), info("a-longer-name", 0, 0)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "TOPIC          LINES  FIRST  NEXT  BYTES  READERS  LAST LINE");
        assert_eq!(lines[1], "app              990     10  1000      0        0  2026-09-21T14:13:20.005Z");
        assert_eq!(lines[2], "a-longer-name      0      0     0      0        0  -");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = objects(&[info("app", 10, 1_000), info("web", 0, 0)]).unwrap();
        let values: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(values[0]["next_offset"], 1_000);
        assert_eq!(values[1]["last_time"], serde_json::Value::Null);
    }
}
