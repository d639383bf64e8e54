//! `logrelay check-config`: says what a configuration means, or what is wrong and where.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{ArgMatches, parser::ValueSource};

use super::environment::variable;
use crate::config::{self, Effective, File, General, Settings};

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
    let effective = Effective::new(&settings, config::inputs(&file)?)?;
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let mut text = table(&effective, &file, matches);
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

/// The inputs, and how many files each one has now.
fn inputs(effective: &Effective, file: &File) -> String {
    let described = effective.tail.inputs.iter().zip(&file.inputs).map(|(input, said)| {
        let scan = input.patterns.scan();
        let topic = said.topic.as_ref().map_or("each file's name".to_owned(), ToString::to_string);
        let (paths, files, at) = (said.paths.join(" "), scan.files.len(), file.at(said.line));
        let head = format!("inputs  {paths} -> {topic}  {at}, {files} files now\n");
        let problems = scan.problems.iter().map(|problem| format!("        {problem}\n"));
        std::iter::once(head).chain(problems).collect::<String>()
    });
    described.collect()
}
