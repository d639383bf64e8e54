//! `logrelay check-config`: says what a configuration means, or what is wrong and where.

use std::{
    collections::HashSet,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{ArgMatches, parser::ValueSource};

use super::environment::variable;
use crate::{
    config::{self, Effective, File, General, Settings},
    serve, tail,
};

/// How many files of an input are named.
const FILES_SHOWN: usize = 20;

/// Says what a configuration means: every setting, its value and where that comes from.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Configuration file (TOML); flags and variables win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    redis: config::Redis,
    #[command(flatten)]
    tail: config::Tail,
    #[command(flatten)]
    serve: config::Serve,
}

pub(super) fn run(arguments: Arguments, general: General, matches: &ArgMatches) -> anyhow::Result<()> {
    let file = config::load(arguments.config.as_deref())?;
    let Arguments { redis, tail, serve, .. } = arguments;
    let settings = Settings { general, redis, tail, serve }.over(&file);
    let effective = Effective::new(&settings, &file.inputs)?;
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let mut text = table(&effective, &file, matches);
    for said in serve::check(&effective.serve)? {
        text.extend(["\n", &said, "\n"]);
    }
    text.push_str(&inputs(&effective, &file));
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

fn table(effective: &Effective, file: &File, matches: &ArgMatches) -> String {
    let rows: Vec<_> = effective
        .shown()
        .into_iter()
        .map(|(section, key, value)| {
            let name = format!("{section}{key}");
            let source = source(&name, key, file, matches);
            [name, value, source]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, values) = (width(0), width(1));
    let line = |[name, value, source]: &[String; 3]| format!("{name:<names$}  {value:<values$}  {source}\n");
    rows.iter().map(line).collect()
}

/// Where a value comes from.
fn source(name: &str, key: &str, file: &File, matches: &ArgMatches) -> String {
    let flag = key.replace('_', "-");
    match matches.value_source(key) {
        Some(ValueSource::CommandLine) => format!("--{flag}"),
        Some(ValueSource::EnvVariable) => variable(&flag),
        _ => file.place_of(name).unwrap_or_else(|| "default".to_owned()),
    }
}

/// The inputs: every key, and the files that it has now with the topic of each.
fn inputs(effective: &Effective, file: &File) -> String {
    let mut lines = Vec::new();
    let mut taken = HashSet::new();
    for (index, (said, meant)) in file.inputs.iter().zip(&effective.tail.inputs).enumerate() {
        let name = said.name().map_or_else(|| index.to_string(), str::to_owned);
        let at = |key: &str| file.place_of(&format!("inputs.{index}{key}")).unwrap_or_default();
        lines.push(format!("\ninputs.{name}  {}", at("")));
        let written = said.written();
        let width = written.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        lines.extend(written.into_iter().map(|(name, key, value)| match value {
            Some(value) => format!("  {name:<width$}  {value}  {}", at(&format!(".{name}"))),
            None => format!("  {name:<width$}  {}  default", key.default.trim_matches('`')),
        }));
        lines.extend(files(meant, &mut taken));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// What an input follows now; `taken` are the files of the inputs before it.
fn files(input: &tail::Input, taken: &mut HashSet<PathBuf>) -> Vec<String> {
    let scan = input.patterns.scan();
    let all = scan.files.len();
    let own: Vec<_> = scan.files.iter().filter(|found| taken.insert(found.path.clone())).collect();
    let mut lines = vec![match all - own.len() {
        0 => format!("  {all} files now"),
        others => format!("  {all} files now, {others} of them belong to an input before it"),
    }];
    lines.extend(own.iter().take(FILES_SHOWN).map(|found| {
        let topic = input.topic.topic_of(&found.path);
        let topic = topic.map_or("no topic can be made of it".to_owned(), |topic| topic.to_string());
        format!("    {} -> {topic}", found.path.display())
    }));
    if own.len() > FILES_SHOWN {
        lines.push(format!("    and {} more", own.len() - FILES_SHOWN));
    }
    lines.extend(scan.problems.iter().map(|problem| format!("    {problem}")));
    lines
}
