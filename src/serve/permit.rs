//! Asks what a caller may do, and says so where that is not enough.

use tonic::{Code, Request, Status};

use super::status;
use crate::{
    access::{Action, Principal},
    record::Topic,
};

/// Who made a request.
pub(super) fn caller<T>(request: &Request<T>) -> Principal {
    Principal::of(request.extensions())
}

/// Whether a caller may do this to a topic, which need not exist: what is refused is no news
/// about that.
///
/// # Errors
/// `PERMISSION_DENIED`, `TOPIC_DENIED`.
pub(super) fn permit(caller: &Principal, action: Action, topic: &Topic) -> Result<(), Status> {
    if caller.may(action, topic) {
        return Ok(());
    }
    let verb = match action {
        Action::Read => "read",
        Action::Publish => "publish to",
        Action::Administer => "administer",
    };
    let name = caller.name();
    let message = format!("{name} may not {verb} the topic {topic}");
    let metadata = [("topic", topic.to_string()), ("action", verb.to_owned())];
    Err(status::with_reason(Code::PermissionDenied, "TOPIC_DENIED", message, &metadata))
}
