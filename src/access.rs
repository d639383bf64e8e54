//! Who calls, and what they may do: the one layer that every way into a relay asks.
//!
//! A [`Principal`] travels in the extensions of a request. What is refused, and how that is
//! said, is the affair of the way in.

use std::{sync::Arc, time::SystemTime};

use crate::record::{Topic, TopicGlob};

/// What may be done to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read its lines, see it in lists, keep cursors of it.
    Read,
    /// Append lines to it.
    Publish,
    /// Delete it, trim it, say how much of it is kept.
    Administer,
}

/// The topics that somebody may use, by what for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Those that may be read.
    pub read: Vec<TopicGlob>,
    /// Those that may be appended to.
    pub publish: Vec<TopicGlob>,
    /// Those that may be administered.
    pub administer: Vec<TopicGlob>,
}

impl Grants {
    /// Everything to every topic.
    pub fn everything() -> Self {
        let all = || vec![TopicGlob::all()];
        Self { read: all(), publish: all(), administer: all() }
    }

    fn of(&self, action: Action) -> &[TopicGlob] {
        match action {
            Action::Read => &self.read,
            Action::Publish => &self.publish,
            Action::Administer => &self.administer,
        }
    }
}

/// Who made a request. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    name: Arc<str>,
    grants: Arc<Grants>,
    expires: Option<SystemTime>,
}

impl Principal {
    /// Somebody who may do this, until `expires` (none: for ever).
    pub fn new(name: &str, grants: Grants, expires: Option<SystemTime>) -> Self {
        Self { name: name.into(), grants: Arc::new(grants), expires }
    }

    /// Whoever calls a relay that asks for no identity.
    pub fn anonymous(grants: Grants) -> Self {
        Self::new("anonymous", grants, None)
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
        self.grants.of(action).iter().any(|glob| glob.matches(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_for_one_action_and_its_topics() {
        let grants = Grants { read: vec!["web.*".parse().unwrap()], ..Grants::default() };
        let reader = Principal::new("reader", grants, None);
        assert!(reader.may(Action::Read, &"web.1".parse().unwrap()));
        assert!(!reader.may(Action::Read, &"db".parse().unwrap()));
        assert!(!reader.may(Action::Publish, &"web.1".parse().unwrap()));
        assert!(!reader.may(Action::Administer, &"web.1".parse().unwrap()));
    }

    #[test]
    fn a_request_of_nobody_may_do_nothing() {
        let nobody = Principal::of(&http::Extensions::new());
        assert!(!nobody.may(Action::Read, &"web".parse().unwrap()));
    }
}
