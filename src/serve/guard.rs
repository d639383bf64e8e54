//! The layer before every route: who calls. It puts a [`Principal`] into the extensions of a
//! request, or answers it. What a caller may do there is asked for by `permit`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::Response,
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tonic::{Code, transport::server::TcpConnectInfo};

use super::{metrics::Metrics, status};
use crate::access::{Access, ClientCertificate, Refusal};

/// What anybody may ask, so that load balancers need no token: whether the relay serves.
const OPEN_TO_ALL: &str = "/grpc.health.v1.Health/";
/// How often at most the log tells of refusals.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Decides who comes in. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    access: Arc<Access>,
    metrics: Metrics,
    log: Arc<Log>,
}

/// Says that callers are refused, and not each time.
#[derive(Debug)]
struct Log {
    pace: Option<DefaultDirectRateLimiter>,
    untold: AtomicU64,
}

impl Guard {
    pub(super) fn new(access: Arc<Access>, metrics: Metrics) -> Self {
        let pace = Quota::with_period(TELL_EVERY).map(RateLimiter::direct);
        Self { access, metrics, log: Arc::new(Log { pace, untold: AtomicU64::new(0) }) }
    }

    fn refuse(&self, request: &Request, refusal: &Refusal) -> Response {
        self.metrics.unauthenticated(refusal.reason());
        let untold = self.log.untold.fetch_add(1, Ordering::Relaxed);
        if self.log.pace.as_ref().is_some_and(|pace| pace.check().is_ok()) {
            self.log.untold.store(0, Ordering::Relaxed);
            let peer = request.extensions().get().and_then(TcpConnectInfo::remote_addr);
            let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
            tracing::warn!(
                peer,
                reason = refusal.reason(),
                others = untold,
                "a caller was refused: {refusal}"
            );
        }
        answer(request, refusal)
    }
}

/// The layer, for `axum::middleware::from_fn_with_state`.
pub(super) async fn identify(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(OPEN_TO_ALL) {
        let certificate = request.extensions().get::<ClientCertificate>();
        match guard.access.identify(request.headers(), certificate) {
            Ok(principal) => {
                request.extensions_mut().insert(principal);
            }
            Err(refusal) => return guard.refuse(&request, &refusal),
        }
    }
    // Nobody behind this can log it.
    request.headers_mut().remove(AUTHORIZATION);
    next.run(request).await
}

/// The refusal in the way of whoever asks.
fn answer(request: &Request, refusal: &Refusal) -> Response {
    let status = status::with_reason(Code::Unauthenticated, refusal.reason(), refusal.to_string(), &[]);
    let mut answer = status::answer(request, &status, StatusCode::UNAUTHORIZED);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}
