//! What a run, or many together, came to.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;

use crate::{ledger::Written, plan::Step, reader::Heard};

/// Lines and faults, and what the oracle found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Seeds and topologies.
    name: String,
    pub(crate) duration: Duration,
    pub(crate) written: u64,
    received: u64,
    pub(crate) rotations: usize,
    faults: BTreeMap<String, u64>,
    told: BTreeMap<&'static str, u64>,
    lost: u64,
    repeated: u64,
    out_of_order: u64,
    foreign: u64,
    longest_stall: Duration,
    story: Vec<String>,
    wrong: Vec<String>,
}

impl Report {
    /// Of a run that has not begun.
    pub(crate) fn of(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Counts a fault.
    pub(crate) fn injected(&mut self, step: &Step, began: Timestamp) {
        *self.faults.entry(format!("{:?}", step.kind)).or_default() += 1;
        self.story.push(format!("{began} to {} {step:?}", Timestamp::now()));
    }

    /// What happened when, and what is wrong.
    pub(crate) fn story(&self) -> String {
        format!("{}\n  {}", self.story.join("\n"), self.wrong.join("\n  "))
    }

    /// Counts what a reader has of what was written.
    pub(crate) fn read(&mut self, name: &str, heard: &Heard, written: &[Written]) {
        let ledger = &heard.ledger;
        self.received += ledger.received;
        self.lost += ledger.lost(written);
        self.repeated += ledger.repeated;
        self.out_of_order += ledger.out_of_order;
        self.foreign += ledger.foreign;
        self.longest_stall = self.longest_stall.max(heard.stall);
        heard.told.iter().for_each(|(&told, count)| *self.told.entry(told).or_default() += count);
        let wrong = ledger.lost_in_words(written).into_iter();
        self.wrong.extend(wrong.chain(ledger.wrong.clone()).map(|words| format!("{name}: {words}")));
    }

    /// Adds another one.
    pub(crate) fn add(&mut self, other: Self) {
        let separator = if self.name.is_empty() { "" } else { ", " };
        self.name += &(separator.to_owned() + &other.name);
        self.duration += other.duration;
        self.written += other.written;
        self.received += other.received;
        self.rotations += other.rotations;
        other.faults.into_iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
        other.told.into_iter().for_each(|(told, count)| *self.told.entry(told).or_default() += count);
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.out_of_order += other.out_of_order;
        self.foreign += other.foreign;
        self.longest_stall = self.longest_stall.max(other.longest_stall);
        self.wrong.extend(other.wrong);
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        let found = [self.lost, self.repeated, self.out_of_order, self.foreign];
        found == [0; 4] && self.wrong.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |counts: Vec<(&str, u64)>| {
            counts.into_iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let faults: u64 = self.faults.values().sum();
        let by_kind = self.faults.iter().map(|(kind, &count)| (kind.as_str(), count)).collect();
        let told = self.told.iter().map(|(&told, &count)| (told, count)).collect();
        writeln!(f, "chaos {}, {:.1} s", self.name, self.duration.as_secs_f64())?;
        writeln!(f, "  lines: written {}, received by all readers {}", self.written, self.received)?;
        writeln!(f, "  faults: {faults}, and {} rotations: {}", self.rotations, counted(by_kind))?;
        writeln!(f, "  readers were told: {}", counted(told))?;
        write!(
            f,
            "  lost {}, repeated {}, out of order {}, foreign {}; longest stall of a reader {:.1} s",
            self.lost,
            self.repeated,
            self.out_of_order,
            self.foreign,
            self.longest_stall.as_secs_f64()
        )
    }
}
