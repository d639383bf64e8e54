//! Writes the seeds of every target into `FOLDER/<target>/`, where a search begins.

use std::{fs, path::PathBuf};

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into()));
    for (name, _, seeds) in logrelay_fuzz::TARGETS {
        let folder = root.join(name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
