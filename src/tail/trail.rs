//! The bytes of a file by which it is known again, kept as they were read. Pure.

use std::borrow::Cow;

use bytes::Bytes;

use super::control::Read;
use crate::record::PrintHash;

/// How many bytes each of the two hashes covers at most.
pub(super) const PRINT_BYTES: usize = 1024;

/// The first bytes of a file, and the last ones that were read: enough to make the
/// hashes of a line's end without reading anything again.
#[derive(Debug)]
pub(super) struct Trail {
    /// The first bytes, up to [`PRINT_BYTES`].
    head: Vec<u8>,
    /// The last bytes before `block`, up to [`PRINT_BYTES`].
    before: Vec<u8>,
    /// The block that was read last.
    block: Bytes,
    block_start: u64,
    /// The line ends before `block` that may still be asked for, ascending, with their
    /// hashes: lines that wait to be appended may end there while the next one goes on
    /// for blocks.
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    position: u64,
    prints: (PrintHash, PrintHash),
}

impl Trail {
    /// The trail of a file that will be read from `position` on. `head` are its first
    /// bytes and `before` those before the position, each up to [`PRINT_BYTES`] and
    /// none past the position.
    pub(super) fn new(position: u64, head: Vec<u8>, before: Vec<u8>) -> Self {
        let prints = (PrintHash::of(&head), PrintHash::of(&before));
        let marks = vec![Mark { position, prints }];
        Self { head, before, block: Bytes::new(), block_start: position, marks }
    }

    /// Up to where the file was read.
    pub(super) fn read_position(&self) -> u64 {
        self.block_start + self.block.len() as u64
    }

    /// The same, with what stands before it.
    pub(super) fn read(&self) -> Read {
        Read { position: self.read_position(), print: PrintHash::of(&self.recent()) }
    }

    /// Takes the block that was read at [`read_position`](Self::read_position).
    /// `line_ends` are the positions before it that may still be asked for.
    pub(super) fn push(&mut self, block: Bytes, line_ends: &[u64]) {
        self.settle(line_ends);
        if self.block_start < PRINT_BYTES as u64 {
            let missing = PRINT_BYTES - self.head.len();
            self.head.extend_from_slice(&block[..block.len().min(missing)]);
        }
        self.block = block;
    }

    /// Takes it that all bytes up to `position` are zero, as all before it were.
    pub(super) fn pass_hole(&mut self, position: u64, line_ends: &[u64]) {
        self.settle(line_ends);
        let len = usize::try_from(position).unwrap_or(usize::MAX).min(PRINT_BYTES);
        (self.head, self.before) = (vec![0; len], vec![0; len]);
        self.block_start = position;
    }

    /// The last bytes that were read, up to [`PRINT_BYTES`]: what has to stand before
    /// the next block, if the file is still the same.
    pub(super) fn recent(&self) -> Cow<'_, [u8]> {
        self.bytes_before(self.block.len())
    }

    /// The hashes of the first bytes and of those before `position`: a line's end in the
    /// last block, or one of those before it that were named.
    pub(super) fn prints(&self, position: u64) -> (PrintHash, PrintHash) {
        if let Some(mark) = self.marks.iter().find(|mark| mark.position == position) {
            return mark.prints;
        }
        let in_block = usize::try_from(position.saturating_sub(self.block_start)).unwrap_or(usize::MAX);
        let head = usize::try_from(position).unwrap_or(usize::MAX).min(self.head.len());
        let tail = self.bytes_before(in_block.min(self.block.len()));
        (PrintHash::of(&self.head[..head]), PrintHash::of(&tail))
    }

    /// Gives back the memory of the last block. `line_ends` are the positions up to its
    /// end that may still be asked for.
    pub(super) fn settle(&mut self, line_ends: &[u64]) {
        let mark = |&position: &u64| Mark { position, prints: self.prints(position) };
        self.marks = line_ends.iter().map(mark).collect();
        if !self.block.is_empty() {
            self.before = self.recent().into_owned();
            self.block_start = self.read_position();
            self.block = Bytes::new();
        }
    }

    fn bytes_before(&self, in_block: usize) -> Cow<'_, [u8]> {
        let block = &self.block[in_block.saturating_sub(PRINT_BYTES)..in_block];
        let from_before = (PRINT_BYTES - block.len()).min(self.before.len());
        let before = &self.before[self.before.len() - from_before..];
        match (before, block) {
            (whole, []) | ([], whole) => Cow::Borrowed(whole),
            (before, block) => Cow::Owned([before, block].concat()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prints_of(bytes: &[u8]) -> (PrintHash, PrintHash) {
        let head = &bytes[..bytes.len().min(PRINT_BYTES)];
        let tail = &bytes[bytes.len().saturating_sub(PRINT_BYTES)..];
        (PrintHash::of(head), PrintHash::of(tail))
    }

    proptest! {
        #[test]
        fn the_prints_are_those_of_the_file_up_to_the_position(
            file in prop::collection::vec(any::<u8>(), 0..6000),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            kept in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 10),
            start: prop::sample::Index,
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(file.len() + 1)).collect();
            cuts.push(file.len());
            cuts.sort_unstable();
            let start = start.index(cuts[0] + 1);
            let head = file[..start.min(PRINT_BYTES)].to_vec();
            let before = file[start.saturating_sub(PRINT_BYTES)..start].to_vec();
            let mut trail = Trail::new(start as u64, head, before);
            // Those that may be asked for stay so for some blocks, wherever they are.
            let (mut from, mut line_ends) = (start, vec![start as u64]);
            for (cut, kept) in cuts.into_iter().zip(kept) {
                trail.push(Bytes::copy_from_slice(&file[from..cut]), &line_ends);
                prop_assert_eq!(trail.read_position(), cut as u64);
                let in_block = [from, usize::midpoint(from, cut), cut].map(|position| position as u64);
                let known: Vec<_> = line_ends.iter().copied().chain(in_block).collect();
                for &position in &known {
                    let upto = usize::try_from(position).unwrap();
                    prop_assert_eq!(trail.prints(position), prints_of(&file[..upto]));
                }
                line_ends = kept.iter().map(|kept| *kept.get(&known)).collect();
                from = cut;
            }
            trail.settle(&line_ends);
            for position in line_ends.into_iter().chain([from as u64]) {
                let upto = usize::try_from(position).unwrap();
                prop_assert_eq!(trail.prints(position), prints_of(&file[..upto]));
            }
        }
    }
}
