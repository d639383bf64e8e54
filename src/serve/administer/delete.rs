//! `DeleteTopic`. Each of its steps can be done again: who gets no answer asks once more.

use tonic::{Code, Status};

use crate::{
    proto::{self, OnActiveSources},
    record::{SourceState, Topic},
    serve::{
        request::Check,
        status::with_reason,
        topics::{not_found, patiently},
    },
    store::Store,
};

/// Greatest number of records that are looked at for one that is active.
const MAX_RECORDS: usize = 100_000;

/// A topic that is to be deleted.
#[derive(Debug)]
pub(in crate::serve) struct Deletion {
    pub(in crate::serve) topic: Topic,
    on_active: OnActiveSources,
}

impl Deletion {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every field that is wrong.
    pub(in crate::serve) fn parse(request: &proto::DeleteTopicRequest) -> Result<Self, Status> {
        let mut check = Check::default();
        let topic = check.read("topic", "BAD_TOPIC", &request.topic);
        let on_active = OnActiveSources::try_from(request.on_active_sources).unwrap_or_else(|_| {
            let why = format!(
                "{} is none of ON_ACTIVE_SOURCES_REFUSE (1), ON_ACTIVE_SOURCES_KEEP (2) and ON_ACTIVE_SOURCES_FORGET (3)",
                request.on_active_sources
            );
            check.wrong("on_active_sources", "BAD_ON_ACTIVE_SOURCES", why);
            OnActiveSources::Refuse
        });
        Ok(Self { topic: check.finish(topic)?, on_active })
    }

    /// Deletes it.
    ///
    /// # Errors
    /// `NOT_FOUND`; `FAILED_PRECONDITION` where sources may have more lines and nothing is said
    /// about them; `UNAVAILABLE` when Redis does not answer within `redis_wait_ms`.
    pub(in crate::serve) async fn carry_out(
        &self,
        store: &Store,
        redis_wait_ms: u64,
    ) -> Result<proto::DeleteTopicResponse, Status> {
        let Self { topic, on_active } = self;
        let records = patiently(redis_wait_ms, || store.all_records(topic, MAX_RECORDS)).await?;
        let count = records.len() as u64;
        let mut active = records.iter().filter(|(_, record)| record.details.state == SourceState::Active);
        if matches!(on_active, OnActiveSources::Unspecified | OnActiveSources::Refuse)
            && let Some((key, _)) = active.next()
        {
            return Err(in_use(topic, 1 + active.count(), key.host()));
        }
        let deleted = patiently(redis_wait_ms, || store.delete_lines(topic)).await?;
        let deleted = deleted.ok_or_else(|| not_found(topic))?;
        if *on_active == OnActiveSources::Forget {
            patiently(redis_wait_ms, || store.forget_sources(topic)).await?;
        }
        // Once to mark those that are gone, and once to forget them.
        for _ in 0..2 {
            patiently(redis_wait_ms, || store.expire_records(topic, 0, None)).await?;
        }
        let kept = patiently(redis_wait_ms, || store.all_records(topic, MAX_RECORDS)).await?.len() as u64;
        tracing::info!(%topic, lines = deleted.lines, kept_sources = kept, "the topic was deleted");
        Ok(proto::DeleteTopicResponse {
            lines: deleted.lines,
            subscriptions: deleted.subscriptions,
            sources: count.saturating_sub(kept),
            kept_sources: kept,
            next_offset: deleted.next.get(),
        })
    }
}

fn in_use(topic: &Topic, sources: usize, host: &str) -> Status {
    let message = format!(
        "{sources} sources of {topic} may have more lines, one of them of {host}: say whether to keep them \
         (they go on with their next line) or to forget them (a tailer sends their files again from the \
         beginning, and a producer begins anew)"
    );
    let metadata = [("topic", topic.to_string()), ("active_sources", sources.to_string())];
    with_reason(Code::FailedPrecondition, "TOPIC_IN_USE", message, &metadata)
}
