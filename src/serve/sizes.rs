//! How large the head and the message of a call may be, how long the latter may take to come, and
//! how that is said.

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{Options, arrival::timely, bounds::Bound, metrics::Metrics, status};

/// What HTTP/2 counts for each header beside its name and value.
const HEADER_OVERHEAD_BYTES: usize = 32;

#[derive(Debug, Clone)]
struct Sizes {
    header_bytes: usize,
    request_bytes: usize,
    request_wait: Duration,
    metrics: Metrics,
}

impl Sizes {
    fn too_late(&self) -> Status {
        let wait_ms = usize::try_from(self.request_wait.as_millis()).unwrap_or(usize::MAX);
        Bound::RequestTime.reached(wait_ms, &self.metrics)
    }
}

/// The routes, for calls that keep their sizes.
pub(super) fn within(router: Router, options: &Options, metrics: &Metrics) -> Router {
    let sizes = Sizes {
        header_bytes: options.max_header_bytes as usize,
        request_bytes: options.max_request_bytes,
        request_wait: Duration::from_millis(options.request_timeout_ms),
        metrics: metrics.clone(),
    };
    router.layer(from_fn_with_state(sizes, keep))
}

/// Routes that answer everything with one status, and say when they have.
pub(super) fn always(status: Status, told: CancellationToken) -> Router {
    Router::new().fallback(move |request: Request| {
        told.cancel();
        let answer = status::answer(&request, &status, StatusCode::SERVICE_UNAVAILABLE);
        std::future::ready(answer)
    })
}

async fn keep(State(sizes): State<Sizes>, request: Request, next: Next) -> Response {
    if header_bytes(&request) > sizes.header_bytes {
        let status = Bound::HeaderBytes.reached(sizes.header_bytes, &sizes.metrics);
        return status::answer(&request, &status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let late = sizes.clone();
    let request = if status::is_grpc(&request) {
        request.map(|body| timely(body, sizes.request_wait, move || late.too_late()))
    } else {
        request
    };
    let response = next.run(request).await;
    if is_too_large(&response) {
        return Bound::RequestBytes.reached(sizes.request_bytes, &sizes.metrics).into_http();
    }
    response
}

fn header_bytes(request: &Request) -> usize {
    let headers = request.headers().iter();
    let bytes = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES);
    request.uri().path().len() + bytes.sum::<usize>()
}

/// Whether tonic has refused a message for its size. It has no name for that; our own
/// `OUT_OF_RANGE` comes with details.
fn is_too_large(response: &Response) -> bool {
    let headers = response.headers();
    let is_out_of_range = headers
        .get(Status::GRPC_STATUS)
        .is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::OutOfRange);
    is_out_of_range && !headers.contains_key(Status::GRPC_STATUS_DETAILS)
}
