//! Who calls, and what they may do: the one layer that every way into a relay asks.
//!
//! [`Access`] makes a [`Principal`] of what a request shows: a token, or the certificate of its
//! connection. It travels in the extensions of the request. What is refused, and how that is said
//! on the wire, is the affair of the way in.

mod certificate;
mod credentials;
mod file;
mod jwt;
mod principal;
mod rules;
mod token;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;

pub use self::{
    certificate::{CertificateError, ClientCertificate},
    credentials::Refusal,
    file::{load, parse},
    principal::{Expiry, Lapse, Principal},
    rules::Rules,
    token::NewToken,
};
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

    /// Whether this may be done to a topic.
    fn allow(&self, action: Action, topic: &Topic) -> bool {
        let globs = match action {
            Action::Read => &self.read,
            Action::Publish => &self.publish,
            Action::Administer => &self.administer,
        };
        globs.iter().any(|glob| glob.matches(topic))
    }
}

/// Who may call. The rules of a file can be replaced while it is asked.
#[derive(Debug)]
pub enum Access {
    /// Whoever calls may do everything.
    Anybody(Principal),
    /// Whoever has a certificate may do everything, until that ends.
    AnyCertificate,
    /// As a file says.
    Rules(ArcSwap<Rules>),
}

impl Access {
    /// Whoever calls may do everything.
    pub fn anybody() -> Self {
        Self::Anybody(Principal::anonymous(Grants::everything()))
    }

    /// As these rules say.
    pub fn ruled(rules: Rules) -> Self {
        Self::Rules(ArcSwap::from_pointee(rules))
    }

    /// Who makes a request with these headers, over a connection with this certificate. A token
    /// wins over a certificate, also where it is a bad one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn identify(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Principal, Refusal> {
        match self {
            Self::Anybody(principal) => Ok(principal.clone()),
            Self::AnyCertificate => {
                let certificate = certificate.ok_or(Refusal::NoCredentials)?;
                let name = certificate.name().ok_or(Refusal::UnknownCertificate)?;
                Ok(Principal::new(&name, Grants::everything(), Some(certificate.not_after())))
            }
            Self::Rules(rules) => {
                let rules = rules.load();
                match credentials::bearer(headers)? {
                    Some(token) => rules.of_token(token),
                    None => rules.of_certificate(certificate.ok_or(Refusal::NoCredentials)?),
                }
            }
        }
    }

    /// Takes other rules. What they do not grant any more, or not in the same way, lapses for
    /// those who have it already. Nothing changes where no rules are asked for.
    pub fn replace(&self, mut rules: Rules) {
        if let Self::Rules(current) = self {
            rules.take_over(&current.load());
            current.store(Arc::new(rules));
        }
    }
}

#[cfg(test)]
mod tests;
