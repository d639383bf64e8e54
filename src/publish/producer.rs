//! Who may append under a producer's name.
//!
//! A name is claimed by one instance of a program at a time. The claim has a lease, which
//! only keeps others from the name: that nothing is appended twice or by two is due to the
//! record, as for every source. Every admission writes the record anew, so that what an
//! earlier stream of the name has under way conflicts.

use std::sync::Arc;

use super::{Publisher, Standing, gate::Worked};
use crate::{
    record::{Claim, Details, Host, Instance, Record, SourceKey, Token, Topic},
    store::{ClaimChange, Claimed, Holder},
};

/// Nobody claims a name for so many leases at once.
const MOST_LEASES: u64 = 2;

/// Who wants to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// To which topic.
    pub topic: Topic,
    /// Under which name.
    pub producer: Host,
    /// Which run of the program it is.
    pub instance: Instance,
    /// Whether it goes on in the source of another instance, instead of a new one.
    pub resume: bool,
    /// For how long nobody else gets the name, in milliseconds from when it was heard last.
    pub lease_ms: u64,
    /// The most producers of the topic.
    pub max_producers: u32,
}

/// What becomes of an applicant.
#[derive(Debug)]
pub enum Admission {
    /// It may append.
    Granted(Seat),
    /// Another instance has the name, for so long at least.
    Taken {
        /// In milliseconds.
        for_ms: u64,
    },
    /// The topic has as many producers as it may have.
    TooMany,
}

/// The right to append as a producer, while nobody else gets it.
#[derive(Debug, Clone)]
pub struct Seat {
    applicant: Applicant,
    claim: Claim,
    standing: Arc<Standing>,
}

/// What is to be done about an applicant.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Taken {
        for_ms: u64,
    },
    /// It goes on in this source.
    Continue(SourceKey, Record),
    /// It begins a new source, and this one ends.
    Begin(Option<(SourceKey, Record)>),
}

/// Why an applicant has to be looked at again, or later.
enum Setback {
    /// Redis was away, or something has changed meanwhile.
    Again,
    /// The topic cannot be used now, though others can.
    Shut,
}

impl Seat {
    /// Where the source stands, to be appended to.
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }
}

impl Publisher {
    /// Gives an applicant the name that it asks for. None while the topic cannot be used,
    /// though others can. Waits as long as Redis is away.
    pub async fn admit(&self, applicant: Applicant) -> Option<Admission> {
        loop {
            let admission = match self.holder(&applicant).await {
                Ok(holder) => self.admit_after(&applicant, &holder).await,
                Err(setback) => Err(setback),
            };
            match admission {
                Ok(admission) => return Some(admission),
                Err(Setback::Again) => {}
                Err(Setback::Shut) => return None,
            }
        }
    }

    async fn holder(&self, applicant: &Applicant) -> Result<Holder, Setback> {
        let Applicant { topic, producer, .. } = applicant;
        self.announce(topic).await;
        let turn = self.gate.enter_unless_shut(Some(topic)).await.ok_or(Setback::Shut)?;
        turn.end_read(self.store.holder(topic, producer).await).ok_or(Setback::Again)
    }

    /// The admission, where the name is still held as `holder` says.
    async fn admit_after(&self, applicant: &Applicant, holder: &Holder) -> Result<Admission, Setback> {
        let Applicant { topic, producer, .. } = applicant;
        let (source, before) = match verdict(holder, applicant) {
            Verdict::Taken { for_ms } if for_ms > MOST_LEASES * applicant.lease_ms => {
                self.shorten(applicant, holder).await;
                return Ok(Admission::Taken { for_ms: applicant.lease_ms });
            }
            Verdict::Taken { for_ms } => return Ok(Admission::Taken { for_ms }),
            Verdict::Continue(source, stored) => {
                let record = Record { token: Token::random(), ..stored.clone() };
                let records = vec![(&source, Some(&stored), &record)];
                return self.seat(applicant, holder, &source, records).await;
            }
            Verdict::Begin(before) => {
                let turn = self.gate.enter_unless_shut(Some(topic)).await.ok_or(Setback::Shut)?;
                let source = self.store.new_source(topic, producer).await;
                (turn.end(source, |_| Worked::Writes).ok_or(Setback::Again)?, before)
            }
        };
        let details = Details { is_producer: true, ..Details::default() };
        let record = Record { token: Token::random(), position: 0, details };
        let gone = before.as_ref().map(|(_, stored)| stored.clone().gone());
        let mut records = vec![(&source, None, &record)];
        if let (Some((before, stored)), Some(gone)) = (&before, &gone) {
            records.push((before, Some(stored), gone));
        }
        self.seat(applicant, holder, &source, records).await
    }

    /// Gives who has a name no more than a lease from now on: the clock of the server was
    /// ahead when it was claimed. Who is alive pushes it ahead again.
    async fn shorten(&self, applicant: &Applicant, holder: &Holder) {
        let Applicant { topic, producer, lease_ms, max_producers, .. } = applicant;
        let Some(claim) = &holder.claim else { return };
        let change = ClaimChange {
            believed: Some(claim),
            to: Some((&claim.source, claim.instance)),
            lease_ms: *lease_ms,
            max_producers: *max_producers,
            records: Vec::new(),
        };
        let Some(turn) = self.gate.enter_unless_shut(Some(topic)).await else { return };
        turn.end(self.store.claim(topic, producer, &change).await, worked);
    }

    /// Claims the name for a source whose record is the first of `records`.
    async fn seat(
        &self,
        applicant: &Applicant,
        holder: &Holder,
        source: &SourceKey,
        records: Vec<(&SourceKey, Option<&Record>, &Record)>,
    ) -> Result<Admission, Setback> {
        let Applicant { topic, producer, instance, lease_ms, max_producers, .. } = applicant;
        let record = records[0].2.clone();
        let change = ClaimChange {
            believed: holder.claim.as_ref(),
            to: Some((source, *instance)),
            lease_ms: *lease_ms,
            max_producers: *max_producers,
            records,
        };
        let turn = self.gate.enter_unless_shut(Some(topic)).await.ok_or(Setback::Shut)?;
        match turn.end(self.store.claim(topic, producer, &change).await, worked) {
            Some(Claimed::Done(Some(claim))) => {
                let standing = self.stand(topic, source.clone(), record);
                Ok(Admission::Granted(Seat { applicant: applicant.clone(), claim, standing }))
            }
            Some(Claimed::TooMany) => Ok(Admission::TooMany),
            _ => Err(Setback::Again),
        }
    }

    /// Keeps the name of a seat for one more lease. False: somebody else has it, or Redis
    /// has forgotten that this one had. Waits as long as Redis is away.
    pub async fn keep(&self, seat: &mut Seat) -> bool {
        let to = Some((seat.standing.key().clone(), seat.applicant.instance));
        match self.change(seat, to, seat.applicant.lease_ms, None).await {
            Claimed::Done(Some(claim)) => {
                seat.claim = claim;
                true
            }
            _ => false,
        }
    }

    /// Gives the name back; its producer stays where it stands. Waits as long as Redis is away.
    pub async fn leave(&self, seat: &Seat) {
        let to = Some((seat.standing.key().clone(), seat.applicant.instance));
        self.change(seat, to, 0, None).await;
    }

    /// Gives the name back, and its source ends. Waits as long as Redis is away.
    pub async fn finish(&self, seat: &Seat) {
        let stored = seat.standing.confirmed();
        let gone = stored.clone().gone();
        self.change(seat, None, 0, Some((&stored, &gone))).await;
    }

    /// Changes the claim of a seat, if it still has the name.
    async fn change(
        &self,
        seat: &Seat,
        to: Option<(SourceKey, Instance)>,
        lease_ms: u64,
        record: Option<(&Record, &Record)>,
    ) -> Claimed {
        let Applicant { topic, producer, instance, max_producers, .. } = &seat.applicant;
        let source = seat.standing.key();
        let mut believed = seat.claim.clone();
        loop {
            let change = ClaimChange {
                believed: Some(&believed),
                to: to.as_ref().map(|(source, instance)| (source, *instance)),
                lease_ms,
                max_producers: *max_producers,
                records: record.iter().map(|(stored, next)| (source, Some(*stored), *next)).collect(),
            };
            let turn = self.gate.enter(topic).await;
            match turn.end(self.store.claim(topic, producer, &change).await, worked) {
                None => {}
                // It is still ours: an earlier try had succeeded, and its reply was lost.
                Some(Claimed::Conflict(Holder { claim: Some(claim), .. }))
                    if claim != believed && claim.source == *source && claim.instance == *instance =>
                {
                    believed = claim;
                }
                Some(claimed) => return claimed,
            }
        }
    }
}

fn worked(claimed: &Claimed) -> Worked {
    match claimed {
        Claimed::Done(_) => Worked::Writes,
        Claimed::Conflict(_) | Claimed::TooMany => Worked::Reads,
    }
}

fn verdict(holder: &Holder, applicant: &Applicant) -> Verdict {
    let Some(claim) = &holder.claim else { return Verdict::Begin(None) };
    let is_same = claim.instance == applicant.instance;
    let for_ms = claim.until_ms.saturating_sub(holder.now_ms);
    if !is_same && for_ms > 0 {
        return Verdict::Taken { for_ms };
    }
    match holder.record.clone().map(|record| (claim.source.clone(), record)) {
        Some((source, record)) if is_same || applicant.resume => Verdict::Continue(source, record),
        before => Verdict::Begin(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applicant(instance: u64, resume: bool) -> Applicant {
        Applicant {
            topic: "app".parse().unwrap(),
            producer: "job".parse().unwrap(),
            instance: Instance::new(instance).unwrap(),
            resume,
            lease_ms: 10_000,
            max_producers: 10,
        }
    }

    fn held(until_ms: u64, has_record: bool) -> Holder {
        let (source, instance) = ("job/0a-1".parse().unwrap(), Instance::new(1).unwrap());
        let record = Record { token: Token::random(), position: 7, details: Details::default() };
        let claim = Some(Claim { source, instance, until_ms });
        Holder { claim, record: has_record.then_some(record), now_ms: 1000 }
    }

    #[test]
    fn the_same_instance_goes_on_whatever_the_lease() {
        for until_ms in [0, 1000, 5000] {
            let verdict = verdict(&held(until_ms, true), &applicant(1, false));
            assert!(matches!(verdict, Verdict::Continue(source, _) if source.as_str() == "job/0a-1"));
        }
    }

    #[test]
    fn another_instance_waits_for_the_lease_and_then_resumes_or_begins() {
        for resume in [false, true] {
            let taken = verdict(&held(5000, true), &applicant(2, resume));
            assert_eq!(taken, Verdict::Taken { for_ms: 4000 });
        }
        assert!(matches!(verdict(&held(1000, true), &applicant(2, true)), Verdict::Continue(..)));
        assert!(matches!(verdict(&held(1000, true), &applicant(2, false)), Verdict::Begin(Some(_))));
    }

    #[test]
    fn a_name_that_nobody_has_or_whose_record_is_lost_is_a_new_source() {
        let nobody = Holder { claim: None, record: None, now_ms: 1000 };
        assert_eq!(verdict(&nobody, &applicant(1, true)), Verdict::Begin(None));
        assert_eq!(verdict(&held(5000, false), &applicant(1, true)), Verdict::Begin(None));
        assert_eq!(verdict(&held(1000, false), &applicant(2, true)), Verdict::Begin(None));
    }
}
