//! Decides where a reader goes on when the timeline may not be the one that it
//! read: a pure function, used for readers' cursors and for the hub's own place.

use crate::record::{Epoch, Offset, Timeline};

/// Where a reader goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Nothing happened.
    Continue,
    /// The lines up to `to` are trimmed.
    Gap {
        /// The first line that is there.
        to: Offset,
    },
    /// It saw lines that were lost since: everything from `to` on comes (again).
    /// What is at `to` may be trimmed; the next decision says so.
    Rewound {
        /// Up to where the lines are the same.
        to: Offset,
    },
    /// Its timeline is unknown here; it begins with the earliest line.
    Reset {
        /// The earliest line.
        to: Offset,
    },
    /// It has seen more than this timeline knows of: Redis may be the one that is
    /// behind.
    Ahead,
}

/// Where a reader goes on that wants `offset` next and read the line before it in
/// `epoch`. `remembered` is a timeline that was known before: by it a reader of an
/// epoch that is lost as a whole is led back to the newest epoch that still is.
pub(super) fn decide(
    epoch: Epoch,
    offset: Offset,
    timeline: &Timeline,
    remembered: Option<&Timeline>,
) -> Resume {
    let known = timeline.common_with(epoch);
    let is_ahead = match known {
        Ok(common) => common.is_none() && offset > timeline.next(),
        Err(()) => epoch > timeline.epoch(),
    };
    if is_ahead { Resume::Ahead } else { decide_anyway(epoch, offset, timeline, remembered) }
}

/// As [`decide`], for a reader that waited and is still ahead: what it saw beyond
/// this timeline is lost.
pub(super) fn decide_anyway(
    epoch: Epoch,
    offset: Offset,
    timeline: &Timeline,
    remembered: Option<&Timeline>,
) -> Resume {
    let common = match timeline.common_with(epoch) {
        Ok(common) => Some(common.unwrap_or(timeline.next())),
        Err(()) => remembered.and_then(|remembered| common_ancestor(epoch, timeline, remembered)),
    };
    match common {
        None => Resume::Reset { to: timeline.first() },
        Some(common) if offset > common => Resume::Rewound { to: common },
        Some(_) if offset < timeline.first() => Resume::Gap { to: timeline.first() },
        Some(_) => Resume::Continue,
    }
}

/// Up to where a reader of `epoch`, known to `remembered` alone, shares the lines
/// of `timeline`: both have them up to the first begin after the newest epoch that
/// both know.
fn common_ancestor(epoch: Epoch, timeline: &Timeline, remembered: &Timeline) -> Option<Offset> {
    let at = remembered.epochs().iter().position(|&(known, _)| known == epoch)?;
    let path = &remembered.epochs()[..=at];
    let (ancestor, here) = path
        .iter()
        .enumerate()
        .rev()
        .find_map(|(index, &(known, _))| Some((index, timeline.common_with(known).ok()?)))?;
    let there = path[ancestor + 1..].iter().map(|&(_, begin)| begin).min();
    Some(here.unwrap_or(timeline.next()).min(there?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(number: u64) -> Offset {
        Offset::new(number).unwrap()
    }

    fn timeline(epochs: &[(u64, u64)], first: u64, next: u64) -> Timeline {
        let epochs = epochs.iter().map(|&(epoch, begin)| (Epoch::new(epoch), at(begin))).collect();
        Timeline::new(epochs, at(first), at(next)).unwrap()
    }

    fn resume(epoch: u64, offset: u64, now: &Timeline, before: Option<&Timeline>) -> Resume {
        decide(Epoch::new(epoch), at(offset), now, before)
    }

    #[test]
    fn within_the_current_epoch_only_trimming_and_the_tail_count() {
        let now = timeline(&[(1, 0)], 10, 100);
        for offset in [10, 50, 100] {
            assert_eq!(resume(1, offset, &now, None), Resume::Continue);
        }
        assert_eq!(resume(1, 9, &now, None), Resume::Gap { to: at(10) });
        assert_eq!(resume(1, 101, &now, None), Resume::Ahead);
    }

    #[test]
    fn a_cursor_of_an_older_epoch_is_good_up_to_the_smallest_begin_after_it() {
        // Epoch 3 began before epoch 2 had: twice in a row, an older copy each time.
        let now = timeline(&[(1, 0), (2, 80), (3, 80), (4, 95)], 0, 120);
        assert_eq!(resume(1, 80, &now, None), Resume::Continue);
        assert_eq!(resume(1, 81, &now, None), Resume::Rewound { to: at(80) });
        assert_eq!(resume(1, 500, &now, None), Resume::Rewound { to: at(80) });
        assert_eq!(resume(3, 95, &now, None), Resume::Continue);
        assert_eq!(resume(3, 96, &now, None), Resume::Rewound { to: at(95) });
    }

    #[test]
    fn a_rewind_into_trimmed_lines_is_followed_by_a_gap() {
        let now = timeline(&[(1, 0), (2, 50)], 60, 120);
        assert_eq!(resume(1, 55, &now, None), Resume::Rewound { to: at(50) });
        assert_eq!(resume(1, 50, &now, None), Resume::Gap { to: at(60) });
    }

    #[test]
    fn an_unknown_epoch_is_a_reset_or_ahead_when_it_is_newer() {
        let now = timeline(&[(5, 0)], 3, 20);
        assert_eq!(resume(4, 10, &now, None), Resume::Reset { to: at(3) });
        assert_eq!(resume(6, 10, &now, None), Resume::Ahead);
        let later = decide_anyway(Epoch::new(6), at(10), &now, None);
        assert_eq!(later, Resume::Reset { to: at(3) });
        let later = decide_anyway(Epoch::new(5), at(25), &now, None);
        assert_eq!(later, Resume::Rewound { to: at(20) });
    }

    #[test]
    fn a_lost_epoch_that_is_remembered_leads_back_to_what_both_share() {
        let before = timeline(&[(1, 0), (2, 95)], 0, 110);
        let now = timeline(&[(1, 0), (3, 90)], 0, 100);
        assert_eq!(resume(2, 105, &now, Some(&before)), Resume::Rewound { to: at(90) });
        assert_eq!(resume(2, 105, &now, None), Resume::Reset { to: at(0) });
        // The new one branched off later than the old one.
        let now = timeline(&[(1, 0), (3, 99)], 0, 120);
        assert_eq!(resume(2, 105, &now, Some(&before)), Resume::Rewound { to: at(95) });
        assert_eq!(resume(2, 95, &now, Some(&before)), Resume::Continue);
        // Nothing in common: wiped.
        let now = timeline(&[(3, 0)], 0, 120);
        assert_eq!(resume(2, 105, &now, Some(&before)), Resume::Reset { to: at(0) });
    }

    /// A Redis as the scripts see it: epochs, and the content of every line.
    #[derive(Debug, Clone, Default)]
    struct Model {
        epochs: Vec<(u64, u64)>,
        lines: Vec<u64>,
    }

    /// What happens to it: lines are appended, or it is replaced by how it was
    /// some steps earlier.
    #[derive(Debug, Clone)]
    enum Event {
        Append(u64),
        Replace { steps: usize, wiped: bool },
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            3 => (1..6_u64).prop_map(Event::Append),
            1 => (0..4_usize, prop::bool::weighted(0.1))
                .prop_map(|(steps, wiped)| Event::Replace { steps, wiped }),
        ];
        prop::collection::vec(event, 1..30)
    }

    fn play(events: &[Event]) -> Vec<Model> {
        let mut past = vec![Model { epochs: vec![(1, 0)], lines: Vec::new() }];
        let (mut newest_epoch, mut newest_line) = (1, 0);
        for event in events {
            let mut now = past[past.len() - 1].clone();
            match *event {
                Event::Append(lines) => {
                    now.lines.extend(newest_line..newest_line + lines);
                    newest_line += lines;
                }
                Event::Replace { steps, wiped } => {
                    now = past[past.len().saturating_sub(steps + 1)].clone();
                    if wiped {
                        now = Model::default();
                    }
                    newest_epoch += 1;
                    now.epochs.push((newest_epoch, now.lines.len() as u64));
                }
            }
            past.push(now);
        }
        past
    }

    proptest! {
        #[test]
        fn what_a_reader_keeps_is_what_the_new_timeline_has(
            events in events(), then in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(),
            trimmed in any::<prop::sample::Index>(), remembers: bool,
        ) {
            let past = play(&events);
            let then = &past[then.index(past.len())];
            let now = &past[past.len() - 1];
            let first = trimmed.index(now.lines.len() + 1);
            let seen = place.index(then.lines.len() + 1);
            let old = timeline(&then.epochs, 0, then.lines.len() as u64);
            let new = timeline(&now.epochs, first as u64, now.lines.len() as u64);
            let cursor = old.cursor_at(&"t".parse().unwrap(), at(seen as u64));
            let same = |to: Offset| {
                let to = usize::try_from(to.get()).unwrap();
                now.lines.get(..to) == then.lines.get(..to)
            };
            let known = new.common_with(cursor.epoch).is_ok();
            match decide(cursor.epoch, cursor.offset, &new, remembers.then_some(&old)) {
                Resume::Continue => prop_assert!(seen >= first && same(cursor.offset)),
                Resume::Gap { to } => {
                    prop_assert!(seen < first && same(cursor.offset));
                    prop_assert_eq!(to, new.first());
                }
                Resume::Rewound { to } => {
                    prop_assert!(to < cursor.offset && same(to));
                    // No further back than needed: the next line is another one, or gone.
                    let next = usize::try_from(to.get()).unwrap();
                    prop_assert!(now.lines.get(next) != then.lines.get(next) || !known || seen > next);
                }
                Resume::Reset { to } => {
                    prop_assert!(!known);
                    prop_assert_eq!(to, new.first());
                    if remembers {
                        let shared = old.epochs().iter().any(|&(epoch, _)| new.common_with(epoch).is_ok());
                        prop_assert!(!shared);
                    }
                }
                Resume::Ahead => prop_assert!(false, "epochs only grow"),
            }
        }
    }
}
