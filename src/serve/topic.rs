//! `GetTopic`: one topic and where its sources stand, as Redis says it now.

use prost::Message as _;
use tonic::Status;

use super::{
    frame::timestamp,
    status::{self, Violation},
    topics::{info, not_found, patiently},
};
use crate::{
    hub, proto,
    record::{Activity, Record, SourceKey, SourceStatus, Topic},
    store::{self, Resolved, Store},
};

/// Greatest number of sources in an answer, where the caller says nothing and at all.
const SOURCES: u32 = 1_000;
const MAX_SOURCES: u32 = 10_000;
/// Greatest size of the sources of an answer: clients refuse messages over 4 MiB.
const MAX_SOURCES_BYTES: usize = 3 * 1024 * 1024;
/// How many records are looked at: those that are current are found among the others.
const MAX_RECORDS: usize = 20_000;

/// What a caller wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) topic: Topic,
    max_sources: usize,
}

impl Question {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every field that is wrong.
    pub(super) fn parse(request: &proto::GetTopicRequest) -> Result<Self, Status> {
        let mut violations = Vec::new();
        let most = request.max_sources;
        if most > MAX_SOURCES {
            let why = format!("{most} is too much: at most {MAX_SOURCES}, or 0 for {SOURCES}");
            violations.push(Violation { field: "max_sources".to_owned(), reason: "BAD_LIMIT", why });
        }
        let max_sources = if most == 0 { SOURCES } else { most } as usize;
        match request.topic.parse() {
            Ok(topic) if violations.is_empty() => return Ok(Self { topic, max_sources }),
            Ok(_) => {}
            Err(error) => {
                let why = format!("{error}");
                violations.insert(0, Violation { field: "topic".to_owned(), reason: "BAD_TOPIC", why });
            }
        }
        Err(status::invalid(&violations))
    }
}

/// The topic and its sources.
///
/// # Errors
/// `NOT_FOUND` where there is no such topic, `UNAVAILABLE` when Redis does not answer within
/// `redis_wait_ms`.
pub(super) async fn describe(
    store: &Store,
    hub: &hub::Handle,
    question: &Question,
    redis_wait_ms: u64,
) -> Result<proto::GetTopicResponse, Status> {
    let topic = &question.topic;
    let Some((resolved, records)) = patiently(redis_wait_ms, || look(store, topic)).await? else {
        return Err(not_found(topic));
    };
    let (count, may_be_more) = (records.len(), records.len() > MAX_RECORDS);
    let mut bytes = 0;
    let fits = |source: &proto::SourceInfo| {
        // With the key and the length before it.
        bytes += source.encoded_len() + 6;
        bytes <= MAX_SOURCES_BYTES
    };
    let found = SourceStatus::of(records).into_iter().map(source_info);
    let sources: Vec<_> = found.take(question.max_sources).take_while(fits).collect();
    Ok(proto::GetTopicResponse {
        topic: Some(info(topic, &resolved, hub.readers(topic))),
        has_more_sources: may_be_more || sources.len() < count,
        sources,
    })
}

async fn look(
    store: &Store,
    topic: &Topic,
) -> Result<Option<(Resolved, Vec<(SourceKey, Record)>)>, store::Error> {
    let Some(resolved) = store.resolve(topic).await? else { return Ok(None) };
    Ok(Some((resolved, store.all_records(topic, MAX_RECORDS).await?)))
}

fn source_info(source: SourceStatus) -> proto::SourceInfo {
    let state = match source.activity {
        Activity::Active => proto::SourceState::Active,
        Activity::Rotated => proto::SourceState::Rotated,
        Activity::Gone => proto::SourceState::Gone,
    };
    proto::SourceInfo {
        key: source.key.to_string(),
        host: source.key.host().to_owned(),
        position: source.record.position,
        size: source.size(),
        lag: source.lag(),
        state: state.into(),
        lines: source.record.details.lines(),
        last_time: source.record.details.appended_ms.map(timestamp),
        path: source.record.details.path,
    }
}
