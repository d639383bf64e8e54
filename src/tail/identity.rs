//! Which stored source a file is: told by content, with device and inode as hints.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    os::unix::fs::FileExt,
};

use super::trail::PRINT_BYTES;
use crate::record::{Identity, PrintHash, Record, SourceKey};

/// The bytes of a file around a position, from which its hashes are made.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The first bytes, up to 1024 and never past the position.
    pub(super) head: Vec<u8>,
    /// The last bytes before the position, up to 1024.
    pub(super) before: Vec<u8>,
}

impl Surroundings {
    /// Reads them. Blocks.
    pub(super) fn read(file: &File, position: u64) -> io::Result<Self> {
        let most = usize::try_from(position).unwrap_or(usize::MAX).min(PRINT_BYTES);
        let read = |at| -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; most];
            file.read_exact_at(&mut bytes, at)?;
            Ok(bytes)
        };
        Ok(Self { head: read(0)?, before: read(position - most as u64)? })
    }

    /// The identity of a file with these bytes.
    pub(super) fn identity(&self, device: u64, inode: u64) -> Identity {
        let (head, tail) = (PrintHash::of(&self.head), PrintHash::of(&self.before));
        Identity { device, inode, head, tail }
    }
}

/// Whether the content of a file agrees with a record: both hashes match, and it is
/// not shorter than the position. Blocks. False for a file that cannot be read.
pub(super) fn agrees(file: &File, record: &Record) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let identity = &record.details.identity;
    metadata.len() >= record.position
        && Surroundings::read(file, record.position).is_ok_and(|found| {
            PrintHash::of(&found.head) == identity.head && PrintHash::of(&found.before) == identity.tail
        })
}

/// Whether a record's hashes cover whole kilobytes.
pub(super) fn is_weighty(record: &Record) -> bool {
    let full = |print: &PrintHash| print.len as usize == PRINT_BYTES;
    full(&record.details.identity.head) && full(&record.details.identity.tail)
}

/// A file that may be a stored source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspect<'a> {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Its path, as records write it.
    pub(super) path: &'a str,
}

/// Whether a record comes into question for a file.
type Rule<'a> = &'a dyn Fn(&Suspect<'_>, &Record) -> bool;

/// Which record each file holds, as an index into `records`.
///
/// First come files whose device, inode and content agree with a record: what they
/// hold is not given to another. Then content alone decides; records from which nothing
/// was read go by device and inode, or else by path. Where several records are left for a file, the
/// one of its path comes first, then the one that was read furthest. `agrees` tells
/// whether a file's content agrees with a record.
pub(super) fn assign(
    files: &[Suspect<'_>],
    records: &[(SourceKey, Record)],
    mut agrees: impl FnMut(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut held: Vec<Option<usize>> = vec![None; files.len()];
    let mut taken = HashSet::new();
    let mut by_file: HashMap<(u64, u64), Vec<usize>> = HashMap::new();
    for (index, (_, record)) in records.iter().enumerate() {
        by_file.entry(record.details.identity.file()).or_default().push(index);
    }
    let all: Vec<usize> = (0..records.len()).collect();
    let same_path = |file: &Suspect<'_>, record: &Record| record.details.path == file.path;
    let has_content = |_: &Suspect<'_>, record: &Record| record.position > 0;
    let is_certain = |file: &Suspect<'_>, record: &Record| {
        let is_sibling = !same_path(file, record) && file.path.starts_with(&record.details.path);
        has_content(file, record) && (is_weighty(record) || is_sibling)
    };
    let unread = |_: &Suspect<'_>, record: &Record| record.position == 0;
    let unread_there = |file: &Suspect<'_>, record: &Record| unread(file, record) && same_path(file, record);
    let rules: [(bool, Rule<'_>); 5] = [
        (true, &has_content),
        (false, &is_certain),
        // Any file has the content of which nothing was read, and an inode can be another's.
        (true, &unread),
        (false, &has_content),
        (false, &unread_there),
    ];

    for (same_file, rule) in rules {
        for (at, file) in files.iter().enumerate() {
            if held[at].is_some() {
                continue;
            }
            let of_file = by_file.get(&(file.device, file.inode)).map_or(&[][..], Vec::as_slice);
            let mut fitting = if same_file { of_file } else { &all }.to_vec();
            fitting.retain(|index| !taken.contains(index) && rule(file, &records[*index].1));
            fitting.sort_by_key(|&index| {
                let record = &records[index].1;
                std::cmp::Reverse((same_path(file, record), record.position))
            });
            if let Some(index) = fitting.into_iter().find(|&index| agrees(at, index)) {
                held[at] = Some(index);
                taken.insert(index);
            }
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Details, Token};

    fn record(id: u32, path: &str, inode: u64, position: u64) -> (SourceKey, Record) {
        let identity = Identity { device: 1, inode, ..Identity::default() };
        let details = Details { path: path.to_owned(), identity, ..Details::default() };
        (format!("host/{id}").parse().unwrap(), Record { token: Token::random(), position, details })
    }

    fn file(path: &str, inode: u64) -> Suspect<'_> {
        Suspect { device: 1, inode, path }
    }

    #[test]
    fn a_renamed_file_keeps_its_record_and_its_successor_gets_none() {
        let records = [record(1, "/app.log", 7, 100)];
        let files = [file("/app.log", 8), file("/app.log.1", 7)];
        assert_eq!(assign(&files, &records, |file, _| file == 1), [None, Some(0)]);
    }

    #[test]
    fn a_reused_inode_with_other_content_is_another_file() {
        let records = [record(1, "/app.log", 7, 100)];
        assert_eq!(assign(&[file("/app.log", 7)], &records, |_, _| false), [None]);
    }

    #[test]
    fn a_copy_gets_the_record_only_when_the_original_does_not_agree_any_more() {
        let records = [record(1, "/app.log", 7, 2000)];
        let files = [file("/app.log", 7), file("/app.log.1", 8)];
        assert_eq!(assign(&files, &records, |_, _| true), [Some(0), None]);
        assert_eq!(assign(&files, &records, |file, _| file == 1), [None, Some(0)]);
    }

    #[test]
    fn equal_files_keep_their_own_records_by_inode_and_then_by_path() {
        let records = [record(1, "/a.log", 7, 10), record(2, "/b.log", 8, 10)];
        let swapped = [file("/a.log", 8), file("/b.log", 7)];
        assert_eq!(assign(&swapped, &records, |_, _| true), [Some(1), Some(0)]);
        let rebooted = [file("/b.log", 21), file("/a.log", 22)];
        assert_eq!(assign(&rebooted, &records, |_, _| true), [Some(1), Some(0)]);
    }

    #[test]
    fn a_record_from_which_nothing_was_read_goes_by_inode_or_path() {
        let records = [record(1, "/app.log", 7, 0)];
        assert_eq!(assign(&[file("/app.log", 8)], &records, |_, _| true), [Some(0)]);
        let files = [file("/app.log", 8), file("/app.log.1", 7)];
        assert_eq!(assign(&files, &records, |_, _| true), [None, Some(0)]);
        assert_eq!(assign(&[file("/other.log", 9)], &records, |_, _| true), [None]);
    }

    #[test]
    fn a_reused_inode_of_a_file_from_which_nothing_was_read_does_not_hide_what_a_copy_is() {
        let records = [record(1, "/app.log", 8, 0), record(2, "/app.log", 7, 50)];
        let files = [file("/app.log", 7), file("/app.log.1", 8)];
        assert_eq!(assign(&files, &records, |file, record| file == 1 || record == 0), [Some(0), Some(1)]);
    }

    #[test]
    fn of_several_records_of_one_file_the_furthest_wins() {
        let records = [record(1, "/app.log", 7, 0), record(2, "/app.log", 7, 50)];
        assert_eq!(assign(&[file("/app.log", 7)], &records, |_, _| true), [Some(1)]);
    }
}
