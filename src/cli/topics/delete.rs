//! `logrelay topics delete`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::Relays;
use crate::{cli::Misuse, client, proto::OnActiveSources, record::Topic};

/// Which topics, and what becomes of sources that may have more lines.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<Topic>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Keep where sources stand that may have more lines: tailers go on with the next line, and the
    /// topic stays as an empty one
    #[arg(long, conflicts_with = "forget_sources")]
    keep_sources: bool,
    /// Forget sources that may have more lines: tailers that still follow them send them again from
    /// the beginning
    #[arg(long)]
    forget_sources: bool,
}

/// Deletes the topics one after the other; a line of what happened for each.
pub(super) async fn run(arguments: Arguments, relays: &Relays) -> anyhow::Result<String> {
    let Arguments { topics, yes, keep_sources, forget_sources } = arguments;
    if !yes {
        confirm(&topics)?;
    }
    let on_active = match (keep_sources, forget_sources) {
        (true, _) => OnActiveSources::Keep,
        (_, true) => OnActiveSources::Forget,
        _ => OnActiveSources::Refuse,
    };
    let mut told = Vec::new();
    for topic in topics {
        let deleted = client::delete_topic(&relays.relays, &topic, on_active, relays.timeout_ms).await?;
        let kept = match deleted.kept_sources {
            0 => String::new(),
            kept => format!("; {kept} sources were kept"),
        };
        told.push(format!(
            "{topic}: deleted, with {} lines, {} sources and {} durable subscriptions{kept}\n",
            deleted.lines, deleted.sources, deleted.subscriptions
        ));
    }
    Ok(told.concat())
}

/// Asks whoever sits there.
fn confirm(topics: &[Topic]) -> anyhow::Result<()> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Misuse("nobody is there to be asked whether to delete: say --yes".to_owned()).into());
    }
    let names: Vec<_> = topics.iter().map(Topic::as_str).collect();
    let mut stderr = io::stderr().lock();
    write!(stderr, "delete {} with all lines? [y/N] ", names.join(", "))?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(anyhow::anyhow!("nothing was deleted"))
    }
}
