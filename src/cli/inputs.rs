//! `logrelay inputs`: inputs that are kept in Redis, for tailers with `--inputs-from-redis`.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::bail;
use clap::{ArgMatches, Subcommand, parser::ValueSource};
use jiff::Timestamp;

use super::Misuse;
use crate::{
    config::{self, Effective, General, InputName, Settings},
    record::Host,
    store::{MAX_INPUT_BYTES, Store, StoredInput},
    telemetry::{self, Terminal},
};

/// Keeps inputs in Redis for tailers that run with --inputs-from-redis: push, list, remove.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Keeps the inputs of a file; one that has the name of one that is there replaces it
    Push {
        /// A configuration file (TOML) with [[inputs]], each with a name, and nothing else
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Lists the inputs that are kept: of all hosts and groups, unless some are given
    List {
        /// A table, or the inputs as they stand in a file
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: Output,
        #[command(flatten)]
        common: Common,
    },
    /// Removes inputs by name: their files are followed no more
    Remove {
        /// Names
        #[arg(value_name = "NAME", required = true)]
        names: Vec<InputName>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Host whose tailers they are for; repeatable
    #[arg(long, value_name = "NAME")]
    host: Vec<Host>,
    /// Group of hosts whose tailers they are for; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    group: Vec<Host>,
    /// Configuration file (TOML) that says where Redis is; flags and variables win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    redis: config::Redis,
}

/// What a list looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Toml,
}

pub(super) async fn run(
    arguments: Arguments,
    general: General,
    matches: &ArgMatches,
    terminal: Terminal,
) -> anyhow::Result<()> {
    let matches = matches.subcommand().and_then(|(_, matches)| matches.subcommand());
    let matches = matches.map(|(_, matches)| matches);
    let text = match arguments.action {
        Action::Push { file, common } => {
            let inputs = texts(&file)?;
            let owners = needed(common.owners(matches))?;
            push(&common.store(general, &terminal)?, &owners, &inputs).await?
        }
        Action::List { output, common } => {
            let owners = common.named(matches);
            let store = common.store(general, &terminal)?;
            let owners = if owners.is_empty() { store.input_owners().await? } else { owners };
            list(&store, &owners, output).await?
        }
        Action::Remove { names, common } => {
            let owners = needed(common.owners(matches))?;
            remove(&common.store(general, &terminal)?, &owners, &names).await?
        }
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

impl Common {
    /// The hosts and groups that are meant: those of the flags, or of the variables that say who
    /// this host is.
    fn owners(&self, matches: Option<&ArgMatches>) -> Vec<String> {
        let named = self.named(matches);
        if named.is_empty() { texts_of(self.host.iter().chain(&self.group)) } else { named }
    }

    /// Those of the flags.
    fn named(&self, matches: Option<&ArgMatches>) -> Vec<String> {
        let is_flag =
            |name| matches.and_then(|matches| matches.value_source(name)) == Some(ValueSource::CommandLine);
        let hosts = self.host.iter().filter(|_| is_flag("host"));
        let groups = self.group.iter().filter(|_| is_flag("group"));
        texts_of(hosts.chain(groups))
    }

    fn store(self, general: General, terminal: &Terminal) -> anyhow::Result<Store> {
        let file = config::load(self.config.as_deref())?;
        let settings = Settings { general, redis: self.redis, ..Settings::default() }.over(&file);
        let effective = Effective::new(&settings, &[])?;
        telemetry::start_logs(&effective.log_level, effective.log_format, terminal);
        Ok(Store::new(effective.redis)?)
    }
}

fn texts_of<'a>(owners: impl Iterator<Item = &'a Host>) -> Vec<String> {
    owners.map(|owner| owner.as_str().to_owned()).collect()
}

fn needed(owners: Vec<String>) -> Result<Vec<String>, Misuse> {
    if owners.is_empty() {
        return Err(Misuse("for whom? give --host NAME or --group NAME".to_owned()));
    }
    Ok(owners)
}

/// The inputs of a file, each by name.
fn texts(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let inputs = config::inputs_to_push(file)?;
    let texts = inputs.iter().map(|(name, input)| (name.to_string(), input.toml())).collect::<Vec<_>>();
    match texts.iter().find(|(_, text)| text.len() > MAX_INPUT_BYTES) {
        Some((name, text)) => {
            let (is, most) = (text.len(), MAX_INPUT_BYTES);
            Err(Misuse(format!("{}: input {name} has {is} bytes, at most {most} are kept", file.display()))
                .into())
        }
        None => Ok(texts),
    }
}

async fn push(store: &Store, owners: &[String], inputs: &[(String, String)]) -> anyhow::Result<String> {
    let mut said = String::new();
    for owner in owners {
        store.push_inputs(owner, inputs).await?;
        said.extend(inputs.iter().map(|(name, _)| format!("pushed {name} for {owner}\n")));
    }
    Ok(said)
}

async fn remove(store: &Store, owners: &[String], names: &[InputName]) -> anyhow::Result<String> {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let (mut removed, mut missing) = (Vec::new(), Vec::new());
    for owner in owners {
        let found = store.remove_inputs(owner, &names).await?;
        for (name, found) in names.iter().zip(found) {
            if found {
                removed.push(format!("removed {name} of {owner}\n"));
            } else {
                missing.push(format!("{owner} has no input {name}"));
            }
        }
    }
    if missing.is_empty() {
        Ok(removed.concat())
    } else {
        bail!("{}{}", removed.concat(), missing.join("\n"))
    }
}

async fn list(store: &Store, owners: &[String], output: Output) -> anyhow::Result<String> {
    let mut found = Vec::new();
    for owner in owners {
        let inputs = store.inputs(owner).await?;
        found.extend(inputs.into_iter().map(|input| (owner.clone(), input)));
    }
    Ok(match output {
        Output::Text => table(&found),
        Output::Toml => found
            .iter()
            .filter_map(|(owner, input)| Some(format!("# {owner}\n{}\n", input.text.as_ref()?)))
            .collect(),
    })
}

fn table(inputs: &[(String, StoredInput)]) -> String {
    let head = ["FOR", "NAME", "PUSHED", "TOPIC", "PATHS"].map(str::to_owned);
    let rows = inputs.iter().filter_map(|(owner, stored)| {
        let (topic, paths) = match config::input_from_redis(owner, &stored.name, stored.text.as_ref()?) {
            Ok(input) => {
                let paths = input.keys.paths.unwrap_or_default();
                let paths: Vec<_> = paths.iter().map(config::PathGlob::as_str).collect();
                (input.keys.topic.unwrap_or_else(|| "{file_stem}".to_owned()), paths.join(" "))
            }
            Err(error) => ("-".to_owned(), format!("cannot be read: {error}")),
        };
        let pushed = i64::try_from(stored.version).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let pushed = pushed.map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"));
        Some([owner.clone(), stored.name.clone(), pushed, topic, paths])
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |[owner, name, pushed, topic, paths]: &[String; 5]| {
        let [w0, w1, w2, w3] = widths;
        format!("{owner:<w0$}  {name:<w1$}  {pushed:<w2$}  {topic:<w3$}  {paths}\n")
    };
    rows.iter().map(line).collect()
}
