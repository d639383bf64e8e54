//! Which stored source a file is: told by content, with device and inode as hints.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    io,
    sync::LazyLock,
};

use super::{reader::Reader, trail::PRINT_BYTES};
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
    pub(super) fn read(file: &Reader, position: u64) -> io::Result<Self> {
        let most = usize::try_from(position).unwrap_or(usize::MAX).min(PRINT_BYTES);
        let read = |at| -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; most];
            file.read_exact_at(&mut bytes, at)?;
            Ok(bytes)
        };
        Ok(Self { head: read(0)?, before: read(position - most as u64)? })
    }

    /// The identity of a file with these bytes.
    pub(super) fn identity(&self, file: &Reader) -> Identity {
        file.identity(PrintHash::of(&self.head), PrintHash::of(&self.before))
    }
}

/// Whether the content of a file agrees with a record: both hashes match, and it is
/// not shorter than the position. Blocks. False for a file that cannot be read.
pub(super) fn agrees(file: &Reader, record: &Record) -> bool {
    let identity = &record.details.identity;
    let most = usize::try_from(record.position).unwrap_or(usize::MAX).min(PRINT_BYTES);
    // The head first: to read on can mean to unpack all of it.
    file.head(most).is_ok_and(|head| PrintHash::of(&head) == identity.head)
        && file.print_before(record.position, most).is_ok_and(|tail| tail == Some(identity.tail))
}

/// Whether a record's hashes cover whole kilobytes, and of more than the zeros that a
/// writer leaves whose file was emptied under it.
pub(super) fn is_weighty(record: &Record) -> bool {
    static HOLE: LazyLock<PrintHash> = LazyLock::new(|| PrintHash::of(&[0; PRINT_BYTES]));
    let full = |print: &PrintHash| print.len as usize == PRINT_BYTES && *print != *HOLE;
    full(&record.details.identity.head) && full(&record.details.identity.tail)
}

/// A file that may be a stored source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspect<'a> {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) created_ns: Option<u64>,
    /// Its path, as records write it.
    pub(super) path: &'a str,
    /// Its first bytes, up to [`PRINT_BYTES`]; not looked at [by inode](By::Inode).
    pub(super) head: &'a [u8],
}

/// By what files are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// By device and inode, and content that agrees with them.
    Inode,
    /// By content, then by what else is left to go by.
    Content,
}

/// Records by what a file can have in common with them, so that thousands of files are not
/// each compared with thousands of records.
#[derive(Debug, Default)]
struct Index<'a> {
    by_file: HashMap<(u64, u64), Vec<usize>>,
    by_path: HashMap<&'a str, Vec<usize>>,
    by_head: HashMap<PrintHash, Vec<usize>>,
    head_lens: BTreeSet<usize>,
}

/// Which records come into question for a file.
#[derive(Debug, Clone, Copy)]
enum Among {
    /// Those of its device and inode.
    File,
    /// Those of its path.
    Path,
    /// Those of its first bytes.
    Head,
}

/// Whether a record comes into question for a file.
type Rule<'a> = &'a dyn Fn(&Suspect<'_>, &Record) -> bool;

impl<'a> Index<'a> {
    fn of(records: &'a [(SourceKey, Record)]) -> Self {
        let mut index = Self::default();
        for (at, (_, record)) in records.iter().enumerate() {
            let identity = &record.details.identity;
            index.by_file.entry(identity.file()).or_default().push(at);
            index.by_path.entry(&record.details.path).or_default().push(at);
            if record.position > 0 {
                index.by_head.entry(identity.head).or_default().push(at);
                index.head_lens.insert(identity.head.len as usize);
            }
        }
        index
    }

    fn among(&self, among: Among, file: &Suspect<'_>) -> Vec<usize> {
        match among {
            Among::File => self.by_file.get(&(file.device, file.inode)).cloned().unwrap_or_default(),
            Among::Path => self.by_path.get(file.path).cloned().unwrap_or_default(),
            Among::Head => {
                let heads = self.head_lens.iter().filter_map(|len| file.head.get(..*len));
                heads.filter_map(|head| self.by_head.get(&PrintHash::of(head))).flatten().copied().collect()
            }
        }
    }
}

/// Which record each file holds, as an index into `records`; those in `taken` are held already.
///
/// First come files whose device, inode and content agree with a record: what they
/// hold is not given to another. Then content alone decides; records from which nothing
/// was read go by device and inode, or else by path. Where several records are left for a file, the
/// one of its path comes first, then the one that was read furthest. `agrees` tells
/// whether a file's content agrees with a record.
pub(super) fn assign(
    by: By,
    files: &[Suspect<'_>],
    records: &[(SourceKey, Record)],
    mut taken: HashSet<usize>,
    mut agrees: impl FnMut(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut held: Vec<Option<usize>> = vec![None; files.len()];
    let index = Index::of(records);
    let same_path = |file: &Suspect<'_>, record: &Record| record.details.path == file.path;
    let same_inode = |file: &Suspect<'_>, record: &Record| {
        record.details.identity.is_of((file.device, file.inode), file.created_ns)
    };
    let has_content = |_: &Suspect<'_>, record: &Record| record.position > 0;
    let is_certain = |file: &Suspect<'_>, record: &Record| {
        let is_sibling = !same_path(file, record) && file.path.starts_with(&record.details.path);
        has_content(file, record) && (is_weighty(record) || is_sibling)
    };
    let is_it = |file: &Suspect<'_>, record: &Record| same_inode(file, record) && record.position > 0;
    let is_its = |file: &Suspect<'_>, record: &Record| same_inode(file, record) && record.position == 0;
    let unread = |_: &Suspect<'_>, record: &Record| record.position == 0;
    // What is at the path of a record comes first: else thousands of files that begin alike
    // would each be compared with all records of that beginning.
    let rules: Vec<(&[Among], Rule<'_>)> = match by {
        By::Inode => vec![(&[Among::File], &is_it)],
        By::Content => vec![
            (&[Among::Path, Among::Head], &is_certain),
            // Any file has the content of which nothing was read, and an inode can be another's.
            (&[Among::File], &is_its),
            (&[Among::Path, Among::Head], &has_content),
            (&[Among::Path], &unread),
        ],
    };

    for (ranges, rule) in rules {
        for (at, file) in files.iter().enumerate() {
            if held[at].is_some() {
                continue;
            }
            let found = ranges.iter().find_map(|among| {
                let mut fitting = index.among(*among, file);
                fitting.retain(|index| !taken.contains(index) && rule(file, &records[*index].1));
                fitting.sort_by_key(|&index| {
                    let record = &records[index].1;
                    Reverse((same_path(file, record), record.position))
                });
                fitting.into_iter().find(|&index| agrees(at, index))
            });
            if let Some(index) = found {
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
        Suspect { device: 1, inode, created_ns: None, path, head: b"" }
    }

    /// What both ways to tell files come to, one after the other.
    fn assign(
        files: &[Suspect<'_>],
        records: &[(SourceKey, Record)],
        agrees: impl Fn(usize, usize) -> bool,
    ) -> Vec<Option<usize>> {
        let mut held = super::assign(By::Inode, files, records, HashSet::new(), &agrees);
        let taken = held.iter().flatten().copied().collect();
        let left: Vec<_> = (0..files.len()).filter(|&file| held[file].is_none()).collect();
        let others: Vec<_> = left.iter().map(|&file| files[file]).collect();
        let more =
            super::assign(By::Content, &others, records, taken, |file, record| agrees(left[file], record));
        left.into_iter().zip(more).for_each(|(file, record)| held[file] = record);
        held
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
    fn an_inode_that_was_given_again_does_not_make_a_file_the_one_before() {
        let mut records = [record(1, "/app.log", 7, 100), record(2, "/app.log", 8, 100)];
        for (_, record) in &mut records {
            record.details.identity.created_ns = Some(1);
        }
        let created = |created_ns| Suspect { created_ns, ..file("/app.log.1", 7) };
        for (created_ns, expected) in [(None, Some(0)), (Some(1), Some(0)), (Some(2), None)] {
            let held =
                super::assign(By::Inode, &[created(created_ns)], &records, HashSet::new(), |_, _| true);
            assert_eq!(held, [expected], "{created_ns:?}");
        }
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
