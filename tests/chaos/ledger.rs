//! What one reader has of every log, over all files that it had, against what was written: which lines are lost,
//! repeated, or out of order.

use std::collections::{BTreeMap, BTreeSet};

use crate::numbered::line;

/// So many wrong lines are told, so that a report stays readable.
const MOST_TOLD: usize = 8;

/// A log, and how many whole lines its files have together.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) lines: u64,
}

/// Lines of all logs, as they came.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sequences: BTreeMap<String, Sequence>,
    pub(crate) received: u64,
    pub(crate) repeated: u64,
    pub(crate) out_of_order: u64,
    /// Lines that no log has.
    pub(crate) foreign: u64,
    /// The first wrong ones, for who has to find out why.
    pub(crate) wrong: Vec<String>,
}

/// Lines of one log.
#[derive(Debug, Default)]
struct Sequence {
    /// One more than the greatest number that came.
    next: u64,
    /// What is below that and did not come.
    missing: BTreeSet<u64>,
}

/// What a line of the log `id` begins with.
pub(crate) fn prefix(id: &str) -> String {
    format!("{id} ")
}

/// The log of a line, and its number there.
fn parse(content: &[u8]) -> Option<(&str, u64)> {
    let (id, rest) = std::str::from_utf8(content).ok()?.split_once(' ')?;
    let number = rest.split(' ').next()?.parse().ok()?;
    (rest == line(number)).then_some((id, number))
}

impl Ledger {
    /// Takes the next line; `place` says where it was.
    pub(crate) fn take(&mut self, content: &[u8], place: impl FnOnce() -> String) {
        self.received += 1;
        let Some((id, number)) = parse(content) else {
            self.foreign += 1;
            self.tell(|| format!("no log has {:?}, {}", String::from_utf8_lossy(content), place()));
            return;
        };
        let sequence = self.sequences.entry(id.to_owned()).or_default();
        let next = sequence.next;
        if number >= next {
            sequence.missing.extend(next..number);
            sequence.next = number + 1;
            if number > next {
                self.tell(|| format!("{id}: {number} came where {next} was due, {}", place()));
            }
        } else if sequence.missing.remove(&number) {
            self.out_of_order += 1;
            self.tell(|| format!("{id}: {number} came after {}, {}", next - 1, place()));
        } else {
            self.repeated += 1;
            self.tell(|| format!("{id}: {number} came again after {}, {}", next - 1, place()));
        }
    }

    /// Notes something wrong.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.wrong.len() < MOST_TOLD {
            self.wrong.push(what());
        }
    }

    /// How many of these lines it does not have.
    pub(crate) fn lost(&self, written: &[Written]) -> u64 {
        written.iter().map(|log| self.lost_of(log)).sum()
    }

    fn lost_of(&self, log: &Written) -> u64 {
        let Some(sequence) = self.sequences.get(&log.id) else { return log.lines };
        let missing = sequence.missing.range(..log.lines).count() as u64;
        missing + log.lines.saturating_sub(sequence.next)
    }

    /// What it does not have, in words.
    pub(crate) fn lost_in_words(&self, written: &[Written]) -> Vec<String> {
        let words = |log: &Written| {
            let lost = Some(self.lost_of(log)).filter(|&lost| lost > 0)?;
            let sequence = self.sequences.get(&log.id);
            let next = sequence.map_or(0, |sequence| sequence.next);
            let first = sequence.and_then(|sequence| sequence.missing.first()).unwrap_or(&next);
            Some(format!("{}: {lost} of {} are lost, from {first} on; {next} is due", log.id, log.lines))
        };
        written.iter().filter_map(words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(numbers: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        for &number in numbers {
            ledger.take(format!("{}{}", prefix("a"), line(number)).as_bytes(), String::new);
        }
        ledger
    }

    fn four() -> Vec<Written> {
        vec![Written { id: "a".to_owned(), lines: 4 }]
    }

    /// Lost of four, repeated, out of order.
    fn found(numbers: &[u64]) -> (u64, u64, u64) {
        let ledger = ledger(numbers);
        assert_eq!(ledger.foreign, 0);
        (ledger.lost(&four()), ledger.repeated, ledger.out_of_order)
    }

    #[test]
    fn lines_that_are_all_there_once_and_in_order_are_nothing() {
        assert_eq!(found(&[0, 1, 2, 3]), (0, 0, 0));
        assert_eq!(ledger(&[0, 1, 2, 3]).wrong, [""; 0]);
    }

    #[test]
    fn a_lost_line_is_found_at_either_end_and_in_the_middle() {
        for numbers in [&[1, 2, 3], &[0, 1, 3], &[0, 1, 2]] {
            assert_eq!(found(numbers), (1, 0, 0), "{numbers:?}");
        }
        assert_eq!(found(&[]), (4, 0, 0));
        assert!(ledger(&[0, 3]).lost_in_words(&four())[0].starts_with("a: 2 of 4"));
    }

    #[test]
    fn a_repeated_line_is_found_at_once_and_later() {
        assert_eq!(found(&[0, 1, 1, 2, 3]), (0, 1, 0));
        assert_eq!(found(&[0, 1, 2, 3, 0]), (0, 1, 0));
        assert_eq!(found(&[0, 2, 1, 1, 3]), (0, 1, 1));
    }

    #[test]
    fn swapped_lines_are_found() {
        assert_eq!(found(&[0, 2, 1, 3]), (0, 0, 1));
        assert_eq!(found(&[1, 2, 3, 0]), (0, 0, 1));
    }

    #[test]
    fn lines_that_were_never_written_like_that_are_found() {
        let mut ledger = Ledger::default();
        for content in [&b"a 00000000 a line"[..], b"\xff", b"", b"a", b"a x a line of a log"] {
            ledger.take(content, String::new);
        }
        assert_eq!((ledger.foreign, ledger.received), (5, 5));
    }
}
