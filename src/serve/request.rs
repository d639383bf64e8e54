//! Reads a `SubscribeRequest`: what is wrong in it is said field by field.

mod topics;

use std::{fmt::Display, str::FromStr, sync::Arc, time::Duration};

use tonic::Status;

use self::topics::Asked;
use super::{
    Options,
    bounds::TopicBound,
    cut::Bounds,
    filter::{Filter, Filters},
    status::{Violation, invalid},
};
use crate::{
    hub::Start,
    proto,
    record::{SubscriptionName, Topic, TopicGlob},
};

/// How often heartbeats come where the caller says nothing, and the bounds of that.
const HEARTBEAT: Duration = Duration::from_secs(10);
const MIN_HEARTBEAT: Duration = Duration::from_secs(1);
const MAX_HEARTBEAT: Duration = Duration::from_secs(300);
/// Of a `Timestamp`: 0001-01-01 and 9999-12-31, in seconds since 1970.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// What a subscription asks for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// The topics that are named and where each begins; none twice.
    pub(super) topics: Vec<(Topic, Start)>,
    /// Patterns of more topics; at least one where no topic is named.
    pub(super) globs: Vec<TopicGlob>,
    /// Where those begin that are there already.
    pub(super) start: Start,
    /// How many topics there may be.
    pub(super) max_topics: TopicBound,
    pub(super) stop_at_tail: bool,
    /// End the call instead of reporting lines that cannot be had, or come again.
    pub(super) fail_on_gap: bool,
    pub(super) bounds: Bounds,
    pub(super) heartbeat: Duration,
    /// Which lines are wanted; none: all.
    pub(super) filter: Option<Arc<Filter>>,
    /// The durable subscription that it is; none: it is none.
    pub(super) subscription: Option<SubscriptionName>,
}

/// Reads a request.
///
/// # Errors
/// `INVALID_ARGUMENT`, with every field that is wrong; `RESOURCE_EXHAUSTED` for more topics than
/// a subscription may have.
pub(super) fn parse(
    request: &proto::SubscribeRequest,
    options: &Options,
    max_topics: &TopicBound,
    filters: &Filters,
) -> Result<Request, Status> {
    max_topics.check(request.topics.len().max(request.cursors.len()))?;
    let mut check = Check::default();
    let start = check.start(request.start.as_ref());
    let Asked { topics, globs } = Asked::read(&mut check, &request.topics, &request.cursors, start);
    let fail_on_gap = check.on_gap(request.on_gap);
    let (lines, lines_bound) = (request.max_batch_lines, options.max_batch_lines);
    let (bytes, bytes_bound) = (request.max_batch_bytes, options.max_batch_bytes);
    let lines = check.limit("max_batch_lines", lines, options.batch_lines, lines_bound);
    let bytes = check.limit("max_batch_bytes", bytes, options.batch_bytes, bytes_bound);
    let heartbeat = check.heartbeat(request.heartbeat_interval.as_ref());
    let filter = check.filter(request.filter.as_ref(), filters);
    let name = request.subscription.as_str();
    let subscription =
        if name.is_empty() { None } else { check.read("subscription", "BAD_SUBSCRIPTION", name) };
    if !check.violations.is_empty() {
        return Err(invalid(&check.violations));
    }
    max_topics.check(topics.len())?;
    Ok(Request {
        topics,
        globs,
        start,
        max_topics: max_topics.clone(),
        stop_at_tail: request.stop_at_tail,
        fail_on_gap,
        bounds: Bounds { lines, bytes: bytes as usize },
        heartbeat,
        filter,
        subscription,
    })
}

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Check {
    violations: Vec<Violation>,
}

impl Check {
    /// The value, where nothing was wrong.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every field that is wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Status> {
        value.filter(|_| self.violations.is_empty()).ok_or_else(|| invalid(&self.violations))
    }

    /// The value of a field that is a text; none where it is wrong.
    pub(super) fn read<T: FromStr<Err: Display>>(
        &mut self,
        field: impl Into<String>,
        reason: &'static str,
        text: &str,
    ) -> Option<T> {
        text.parse().map_err(|error: T::Err| self.wrong(field, reason, error.to_string())).ok()
    }

    pub(super) fn wrong(&mut self, field: impl Into<String>, reason: &'static str, why: impl Into<String>) {
        self.violations.push(Violation { field: field.into(), reason, why: why.into() });
    }

    pub(super) fn start(&mut self, start: Option<&proto::Start>) -> Start {
        use proto::start::Position;
        let Some(position) = start.and_then(|start| start.position.as_ref()) else { return Start::Latest };
        match *position {
            Position::Earliest(true) => Start::Earliest,
            Position::Latest(true) => Start::Latest,
            Position::Earliest(false) => self.bad_start("start.earliest", "it must be true, or not be set"),
            Position::Latest(false) => self.bad_start("start.latest", "it must be true, or not be set"),
            Position::LastLines(lines) => Start::LastLines(lines),
            Position::Time(time) => {
                self.time("start.time", "BAD_START", time).map_or(Start::Latest, Start::Time)
            }
        }
    }

    /// A time in unix milliseconds; none where it is none.
    pub(super) fn time(
        &mut self,
        field: &str,
        reason: &'static str,
        time: prost_types::Timestamp,
    ) -> Option<u64> {
        let nanos = u64::try_from(time.nanos).ok().filter(|&nanos| nanos < 1_000_000_000);
        let Some(nanos) = nanos.filter(|_| TIMESTAMP_SECONDS.contains(&time.seconds)) else {
            let (first, last) = TIMESTAMP_SECONDS.into_inner();
            let why = format!(
                "{} s and {} ns is no time: the seconds are {first} to {last}, the nanoseconds 0 to 999999999",
                time.seconds, time.nanos
            );
            self.wrong(field, reason, why);
            return None;
        };
        // Everything was appended later than 1970.
        let Ok(seconds) = u64::try_from(time.seconds) else { return Some(0) };
        Some(seconds * 1000 + nanos.div_ceil(1_000_000))
    }

    fn bad_start(&mut self, field: &str, why: &str) -> Start {
        self.wrong(field, "BAD_START", why);
        Start::Latest
    }

    fn on_gap(&mut self, value: i32) -> bool {
        if proto::OnGap::try_from(value).is_err() {
            let why = format!("{value} is none of ON_GAP_REPORT (1) and ON_GAP_FAIL (2)");
            self.wrong("on_gap", "BAD_ON_GAP", why);
        }
        value == i32::from(proto::OnGap::Fail)
    }

    pub(super) fn limit(&mut self, field: &str, value: u32, default: u32, bound: u32) -> u32 {
        if value > bound {
            let why = format!("{value} is too much: at most {bound}, or 0 for {default}");
            self.wrong(field, "BAD_LIMIT", why);
        }
        if value == 0 { default } else { value }
    }

    pub(super) fn filter(&mut self, asked: Option<&proto::Filter>, filters: &Filters) -> Option<Arc<Filter>> {
        match filters.get(asked?) {
            Ok(filter) => filter,
            Err(mut violations) => {
                self.violations.append(&mut violations);
                None
            }
        }
    }

    fn heartbeat(&mut self, interval: Option<&prost_types::Duration>) -> Duration {
        let Some(interval) = interval else { return HEARTBEAT };
        if let Some(interval) = proto::duration(interval)
            && (MIN_HEARTBEAT..=MAX_HEARTBEAT).contains(&interval)
        {
            return interval;
        }
        let asked = format!("{} s and {} ns", interval.seconds, interval.nanos);
        let why = format!("{asked} is not between {MIN_HEARTBEAT:?} and {MAX_HEARTBEAT:?}");
        self.wrong("heartbeat_interval", "BAD_HEARTBEAT", why);
        HEARTBEAT
    }
}

#[cfg(test)]
mod tests;
