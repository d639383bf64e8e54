//! Asks what a caller may do, and says so where that is not enough.

use std::time::Duration;

use tonic::{Code, Request, Status};

use super::status;
use crate::{
    access::{Action, Lapse, Principal},
    record::Topic,
};

/// How long a caller should stay away at least that has to get another token first.
const LEAST_LAPSE_WAIT: Duration = Duration::from_millis(500);

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

/// The end of a call whose caller may not go on as it is. The next one will be told whether it may.
pub(super) fn lapsed(lapse: Lapse) -> Status {
    status::unavailable("CREDENTIALS_LAPSED", format!("{lapse}: call again"), lapse_wait())
}

/// When such a caller should come back: not all in the same moment.
pub(super) fn lapse_wait() -> Duration {
    LEAST_LAPSE_WAIT.mul_f64(1.0 + fastrand::f64())
}
