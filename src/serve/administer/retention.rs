//! `SetRetention`: how much of one topic is kept.

use tonic::Status;

use crate::{
    proto,
    record::{MAX_OFFSET, Topic},
    serve::{
        request::Check,
        topics::{not_found, patiently},
    },
    store::{OwnRetention, Store},
};

/// How much of a topic is to be kept from now on.
#[derive(Debug)]
pub(in crate::serve) struct Change {
    pub(in crate::serve) topic: Topic,
    retention: OwnRetention,
}

impl Change {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every field that is wrong.
    pub(in crate::serve) fn parse(request: &proto::SetRetentionRequest) -> Result<Self, Status> {
        let mut check = Check::default();
        let topic = check.read("topic", "BAD_TOPIC", &request.topic);
        let proto::Retention { max_age_ms, max_bytes } = request.retention.unwrap_or_default();
        for (field, bound) in [("max_age_ms", max_age_ms), ("max_bytes", max_bytes)] {
            if let Some(bound) = bound.filter(|bound| *bound > MAX_OFFSET) {
                let why = format!("{bound} is too much: at most {MAX_OFFSET}, or 0 for no bound");
                check.wrong(format!("retention.{field}"), "BAD_RETENTION", why);
            }
        }
        Ok(Self { topic: check.finish(topic)?, retention: OwnRetention { max_age_ms, max_bytes } })
    }

    /// Sets it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `UNAVAILABLE` when Redis does not answer within `redis_wait_ms`.
    pub(in crate::serve) async fn carry_out(
        &self,
        store: &Store,
        redis_wait_ms: u64,
    ) -> Result<proto::SetRetentionResponse, Status> {
        let Self { topic, retention } = self;
        if !patiently(redis_wait_ms, || store.set_retention(topic, *retention)).await? {
            return Err(not_found(topic));
        }
        tracing::info!(%topic, ?retention, "retention was set");
        Ok(proto::SetRetentionResponse {})
    }
}
