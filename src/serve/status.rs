//! Errors of calls: a code, a sentence, and a reason that programs can rely on.

use std::{collections::HashMap, time::Duration};

use axum::{
    extract::Request as HttpRequest,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response as HttpResponse},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Whose reasons they are.
const DOMAIN: &str = "logrelay.v1";

/// A field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// Which field, as `topics[2]`.
    pub(super) field: String,
    /// The reason, for programs.
    pub(super) reason: &'static str,
    /// What is wrong and what would be right.
    pub(super) why: String,
}

/// Greatest length of what is wrong with one field, in characters, and about of all of it, in
/// bytes. Headers have a bound: some clients take 8 KiB.
const MAX_WHY: usize = 300;
const MAX_DETAIL_BYTES: usize = 1500;

/// `INVALID_ARGUMENT`: the fields that are wrong, at least one; as many as there is room for.
pub(super) fn invalid(violations: &[Violation]) -> Status {
    let mut message = String::from("the request is wrong");
    let mut details = ErrorDetails::new();
    let mut bytes = 0;
    for (at, Violation { field, reason, why }) in violations.iter().enumerate() {
        let why: String = why.chars().take(MAX_WHY).collect();
        bytes += field.len() + why.len();
        if at == 0 {
            message = format!("{field}: {why}");
            details.set_error_info(*reason, DOMAIN, HashMap::new());
        } else if bytes > MAX_DETAIL_BYTES {
            break;
        }
        details.add_bad_request_violation(field.as_str(), why);
    }
    if violations.len() > 1 {
        message = format!("{message} (and {} more)", violations.len() - 1);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A status with its reason and what a program may want to know of it.
pub(super) fn with_reason(code: Code, reason: &str, message: String, metadata: &[(&str, String)]) -> Status {
    Status::with_error_details(code, message, details(reason, metadata))
}

/// `UNAVAILABLE`: try again, after a while.
pub(super) fn unavailable(reason: &str, message: String, retry_after: Duration) -> Status {
    with_retry(Code::Unavailable, reason, message, &[], retry_after)
}

/// The same as [`with_reason`], and when to try again.
pub(super) fn with_retry(
    code: Code,
    reason: &str,
    message: String,
    metadata: &[(&str, String)],
    after: Duration,
) -> Status {
    let mut details = details(reason, metadata);
    details.set_retry_info(Some(after));
    Status::with_error_details(code, message, details)
}

fn details(reason: &str, metadata: &[(&str, String)]) -> ErrorDetails {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    ErrorDetails::with_error_info(reason, DOMAIN, metadata.collect::<HashMap<_, _>>())
}

/// Whether a request is a call of gRPC.
pub(super) fn is_grpc(request: &HttpRequest) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A status in the way of whoever asks: of gRPC, or as an answer of HTTP with this code.
pub(super) fn answer(request: &HttpRequest, status: &Status, code: StatusCode) -> HttpResponse {
    if is_grpc(request) {
        return status.clone().into_http();
    }
    (code, format!("{}\n", status.message())).into_response()
}
