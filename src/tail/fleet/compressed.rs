//! Compressed files among those that are to be followed.

use std::{collections::HashSet, path::Path};

use super::Fleet;
use crate::tail::discover::{Found, bases, displayed};

impl Fleet {
    /// Says of which compressed files nothing can come, as no log is known that they were.
    pub(super) fn report_compressed(&mut self, compressed: &[(usize, Found)]) {
        let there: HashSet<&Path> = compressed.iter().map(|(_, found)| found.path.as_path()).collect();
        self.compressed.retain(|path| there.contains(path.as_path()));
        let new: Vec<_> =
            compressed.iter().filter(|(_, found)| !self.compressed.contains(&found.path)).collect();
        if new.is_empty() {
            return;
        }
        let records = self.ledgers.records();
        let known: HashSet<String> = records
            .map(|record| record.details.path.clone())
            .chain(self.members.values().map(|member| displayed(&member.live.path)))
            .collect();
        for (_, found) in new {
            let is_ours =
                found.is_packed() && bases(&found.path).iter().any(|base| known.contains(&displayed(base)));
            if !is_ours {
                self.say_once(&format!("{}: compressed files are not followed", found.path.display()));
            }
            self.compressed.insert(found.path.clone());
        }
    }
}
