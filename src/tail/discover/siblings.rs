//! The files beside a log file that look like what a rotation made of it.
//!
//! Only names are judged. Whether a sibling really is a file that was followed
//! before gets decided elsewhere, by its content.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::found::{Found, is_compressed, is_packed, unpacked};

#[cfg(test)]
mod tests;

/// Words that stand for "an older one" in the names of rotated files.
const WORDS: [&str; 8] = ["old", "bak", "backup", "orig", "prev", "previous", "save", "copy"];

/// From so many digits on, a number is a date or a time, and the greater is newer.
/// Shorter ones are counted up with every rotation: the smaller is newer.
const DATE_DIGITS: usize = 6;

/// For each of these paths the files beside it that look like rotated versions of it,
/// such as `app.log.1`, `app.log-20261120`, `app.log.old`, `app-2026-11-20.log` and
/// `app.1.log` for `app.log`, also with `.gz` or `.zst` behind. The newest is first: by the
/// time of its last change, then by its number or date. Folders that cannot be listed
/// have none.
pub fn siblings(paths: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Vec<Found>> {
    let mut all: BTreeMap<&Path, Vec<Found>> = BTreeMap::new();
    // Listed once, however many of the paths are in it.
    let folders: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    for entry in folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        let path = entry.path();
        for base in bases(&path) {
            let Some(base) = paths.get(&base) else { continue };
            // One that is gone by now, or cannot be looked at, is none.
            all.entry(base).or_default().extend(Found::at(&path).ok().flatten());
        }
    }
    let of_path = |path: &PathBuf| {
        let itself = Found::at(path).ok().flatten().map(|found| (found.device, found.inode));
        let mut files = all.remove(path.as_path()).unwrap_or_default();
        files.retain(|found| itself != Some((found.device, found.inode)));
        newest_first(path, &mut files);
        (path.clone(), files)
    };
    paths.iter().map(of_path).collect()
}

/// Orders files that were at `live` before: by the time of their last change, then by what
/// a rotation added to their names; those with other names last.
pub fn newest_first(live: &Path, files: &mut [Found]) {
    let rank = |found: &Found| Rank::of_path(live, &found.path);
    files.sort_by(|a, b| {
        let by_rank = || match (rank(a), rank(b)) {
            (Some(a), Some(b)) => a.newest_first(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        b.modified.cmp(&a.modified).then_with(by_rank).then_with(|| a.path.cmp(&b.path))
    });
}

/// Whether a version of `live` is older than the one at `target`: by date or count where
/// both have such, else by the time of the last change. So is everything where nothing is there.
pub fn is_older(live: &Path, found: &Found, target: &Path) -> bool {
    let ranks = Rank::of_path(live, &found.path).zip(Rank::of_path(live, target));
    if let Some((older, newer)) = ranks.filter(|(older, newer)| older.is_date && newer.is_date) {
        return older.numbers < newer.numbers;
    }
    Found::at(target).ok().flatten().is_none_or(|newer| found.modified <= newer.modified)
}

/// The paths beside `path` of which it could be a rotated version, by its name; the other
/// way round than [`siblings`].
pub fn bases(path: &Path) -> Vec<PathBuf> {
    let is_packed = is_packed(path);
    let path = &unpacked(path);
    let Some(name) = path.file_name().filter(|_| !is_compressed(path)) else { return Vec::new() };
    let ending = path.extension().map(|ending| [b".", ending.as_bytes()].concat()).unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().as_bytes();
    let begins = |name: &[u8]| {
        let signs = name.iter().enumerate().skip(1).filter(|(_, byte)| is_sign(char::from(**byte)));
        signs.map(|(at, _)| name[..at].to_vec()).collect::<Vec<_>>()
    };
    let mut lives = begins(name.as_bytes());
    lives.extend(begins(stem).into_iter().map(|begin| [begin.as_slice(), &ending].concat()));
    lives.sort_unstable();
    lives.dedup();
    let mut lives: Vec<_> = lives.iter().map(|live| OsStr::from_bytes(live)).collect();
    // The folder itself is no log.
    lives.retain(|live| *live != "." && *live != ".." && Rank::of(live, name).is_some());
    if is_packed {
        // `app.log.gz` is what `gzip app.log` leaves.
        lives.push(name);
    }
    lives.into_iter().map(|live| path.with_file_name(live)).collect()
}

/// The path of the same name in the folder above.
pub(in crate::tail) fn above(path: &Path) -> Option<PathBuf> {
    Some(path.parent()?.parent()?.join(path.file_name()?))
}

/// What may stand between the parts of a rotated name.
fn is_sign(character: char) -> bool {
    matches!(character, '.' | '-' | '_' | '~' | '@' | '+' | ':' | '=')
}

/// What a rotation added to a name: its numbers, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rank {
    is_date: bool,
    numbers: Vec<u64>,
}

impl Rank {
    fn of_path(live: &Path, path: &Path) -> Option<Self> {
        let whole = unpacked(path);
        let (live, name) = (live.file_name()?, whole.file_name()?);
        if live == name && is_packed(path) {
            return Some(Self::default());
        }
        Self::of(live, name)
    }

    /// What makes `name` a rotated version of `live`; `None` if it does not look so.
    fn of(live: &OsStr, name: &OsStr) -> Option<Self> {
        if is_compressed(Path::new(name)) {
            return None;
        }
        if let Some(added) = name.as_bytes().strip_prefix(live.as_bytes()) {
            return Self::of_added(added);
        }
        let (live, name) = (Path::new(live), Path::new(name));
        let (stem, ending) = (live.file_stem()?, live.extension()?);
        if name.extension()? != ending {
            return None;
        }
        let added = name.file_stem()?.as_bytes().strip_prefix(stem.as_bytes())?;
        // `worker-2.log` may be another worker's; `app.1.log` is what rotations make.
        Self::of_added(added).filter(|rank| rank.is_date || added.starts_with(b"."))
    }

    /// Reads something like `.1`, `-20261120`, `.2026-11-20T10-15-00.000` or `.old`: a
    /// sign in front, then numbers, times and words, with signs between.
    fn of_added(added: &[u8]) -> Option<Self> {
        let added = std::str::from_utf8(added).ok()?;
        let mut rank = Self { is_date: false, numbers: Vec::new() };
        let mut digits = 0;
        for part in added.strip_prefix(is_sign)?.split(is_sign) {
            let is_time = part.starts_with(|c: char| c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_digit() || matches!(c, 'T' | 't' | 'Z' | 'z'));
            if !is_time && !WORDS.iter().any(|word| part.eq_ignore_ascii_case(word)) {
                return None;
            }
            let numbers = part.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
            digits += part.bytes().filter(u8::is_ascii_digit).count();
            rank.numbers.extend(numbers.map(|number| number.parse().unwrap_or(u64::MAX)));
        }
        rank.is_date = digits >= DATE_DIGITS;
        Some(rank)
    }

    fn newest_first(&self, other: &Self) -> Ordering {
        if self.is_date && other.is_date {
            other.numbers.cmp(&self.numbers)
        } else {
            self.numbers.cmp(&other.numbers)
        }
    }
}
