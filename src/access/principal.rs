//! Somebody who calls, for as long as that is valid.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Action, Grants};
use crate::record::Topic;

/// How long a wait for a time of day lasts at most before the clock is asked again, which may
/// have been set.
const ASK_CLOCK_EVERY: Duration = Duration::from_secs(30);

/// Who made a request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    name: Arc<str>,
    grants: Arc<Grants>,
    expires: Option<SystemTime>,
    withdrawn: CancellationToken,
}

/// Why a principal is not valid any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse {
    /// Its time is over.
    Expired,
    /// What made it valid was removed, or grants something else now.
    Withdrawn,
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the token or certificate of this call has expired",
            Self::Withdrawn => "what the token or certificate of this call may do has changed",
        })
    }
}

/// Ends when a principal is not valid any more; not to be asked again then.
pub struct Expiry(Pin<Box<dyn Future<Output = Lapse> + Send>>);

impl Future for Expiry {
    type Output = Lapse;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Lapse> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expiry")
    }
}

/// That a rule stands: what was granted by it is withdrawn when its last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    ends: CancellationToken,
    _guard: Arc<DropGuard>,
}

impl Standing {
    pub(super) fn new() -> Self {
        let ends = CancellationToken::new();
        Self { _guard: Arc::new(ends.clone().drop_guard()), ends }
    }
}

impl Principal {
    /// Somebody who may do this, until `expires` (none: for ever).
    pub fn new(name: &str, grants: Grants, expires: Option<SystemTime>) -> Self {
        Self { name: name.into(), grants: Arc::new(grants), expires, withdrawn: CancellationToken::new() }
    }

    /// Whoever calls a relay that asks for no identity.
    pub fn anonymous(grants: Grants) -> Self {
        Self::new("anonymous", grants, None)
    }

    /// The same, at most until then.
    #[must_use]
    pub(super) fn until(self, expires: SystemTime) -> Self {
        let expires = Some(self.expires.map_or(expires, |before| before.min(expires)));
        Self { expires, ..self }
    }

    /// The same, for as long as a rule stands.
    #[must_use]
    pub(super) fn under(self, rule: &Standing) -> Self {
        Self { withdrawn: rule.ends.clone(), ..self }
    }

    /// Who made the request with these extensions. Where nobody said who it is, it is somebody
    /// who may do nothing.
    pub fn of(extensions: &http::Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(|| Self::anonymous(Grants::default()))
    }

    /// The name, for logs and bounds; no secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From when on it is not valid any more.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Whether it may do this to a topic.
    pub fn may(&self, action: Action, topic: &Topic) -> bool {
        self.grants.allow(action, topic)
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.expires.is_some_and(|end| end <= SystemTime::now())
    }

    /// Ends when it is not valid any more, which is when a stream of it has to end.
    pub fn expired(&self) -> Expiry {
        let (expires, withdrawn) = (self.expires, self.withdrawn.clone());
        Expiry(Box::pin(async move {
            tokio::select! {
                () = time_is(expires) => Lapse::Expired,
                () = withdrawn.cancelled() => Lapse::Withdrawn,
            }
        }))
    }

    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }
}

/// Ends at a time; never where there is none.
async fn time_is(time: Option<SystemTime>) {
    let Some(time) = time else { return std::future::pending().await };
    while let Ok(left) = time.duration_since(SystemTime::now())
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(ASK_CLOCK_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_lapses_at_its_time_or_when_it_is_withdrawn() {
        let soon = SystemTime::now() + Duration::from_millis(20);
        assert_eq!(Principal::new("a", Grants::default(), Some(soon)).expired().await, Lapse::Expired);
        let past = SystemTime::UNIX_EPOCH;
        assert_eq!(Principal::new("a", Grants::default(), Some(past)).expired().await, Lapse::Expired);
        let far = SystemTime::now() + Duration::from_secs(1 << 40);
        let rule = Standing::new();
        let principal = Principal::new("a", Grants::default(), Some(far)).under(&rule.clone());
        let lapse = principal.expired();
        drop(rule);
        assert_eq!(lapse.await, Lapse::Withdrawn);
    }

    #[test]
    fn a_request_of_nobody_may_do_nothing() {
        let nobody = Principal::of(&http::Extensions::new());
        assert!(!nobody.may(Action::Read, &"web".parse().unwrap()));
    }
}
