//! `logrelay token`: a new token, and what stands of it in the access file of a relay.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::Timestamp;

use crate::{
    access::NewToken,
    record::{Host, TopicGlob},
};

/// Makes a token for the access file of relays: prints it, and its section of the file.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// By which logs call whoever has it
    #[arg(value_name = "NAME")]
    name: Host,
    /// Topic or pattern of topics that may be read; repeatable
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    read: Vec<TopicGlob>,
    /// Topic or pattern of topics that may be published to; repeatable
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    publish: Vec<TopicGlob>,
    /// Topic or pattern of topics that may be trimmed and deleted; repeatable
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    administer: Vec<TopicGlob>,
    /// Until when it is valid (RFC 3339) [default: for ever]
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// New file for the token, which only its owner may read; only the section is printed then
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let token = NewToken::random().context("the system has no random bits")?;
    let mut stdout = io::stdout().lock();
    match &arguments.output_file {
        Some(path) => keep(path, &token).with_context(|| path.display().to_string())?,
        None => writeln!(stdout, "{}\n", token.secret())?,
    }
    stdout.write_all(section(arguments, &token).as_bytes())?;
    stdout.flush()?;
    Ok(())
}

fn keep(path: &Path, token: &NewToken) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", token.secret())?;
    file.sync_all()
}

/// Names and patterns have no character that TOML would take for something else.
fn section(arguments: &Arguments, token: &NewToken) -> String {
    let Arguments { name, read, publish, administer, expires, .. } = arguments;
    let globs = |key: &str, globs: &[TopicGlob]| {
        let globs: Vec<_> = globs.iter().map(|glob| format!("\"{glob}\"")).collect();
        if globs.is_empty() { String::new() } else { format!("{key} = [{}]\n", globs.join(", ")) }
    };
    [
        format!("[[tokens]]\nname = \"{}\"\nsha256 = \"{}\"\n", name.as_str(), token.sha256()),
        globs("read", read),
        globs("publish", publish),
        globs("administer", administer),
        expires.map(|expires| format!("expires = {expires}\n")).unwrap_or_default(),
    ]
    .concat()
}
