//! Runs one target on files, without libFuzzer: `replay TARGET FILE…`, as to look into what
//! a search has found.

use std::{fs, io};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default();
    let target = logrelay_fuzz::TARGETS.iter().find(|(known, ..)| name == *known);
    let Some((_, check, _)) = target else { return Err(io::Error::other("no such target")) };
    for path in arguments {
        check(&fs::read(path)?);
    }
    Ok(())
}
