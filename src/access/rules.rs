//! Who is known, and what is granted to them: what a file of rules says.

use subtle::ConstantTimeEq as _;

use super::{
    ClientCertificate, Principal, Refusal,
    certificate::CertificateName,
    jwt::{self, JwtKey},
    principal::Standing,
    token::Digest,
};

/// What a file says.
#[derive(Debug, Default)]
pub struct Rules {
    pub(super) tokens: Vec<Rule<Digest>>,
    pub(super) certificates: Vec<Rule<CertificateName>>,
    pub(super) keys: Vec<JwtKey>,
}

/// Somebody who is known by what they show.
#[derive(Debug, Clone)]
pub(super) struct Rule<K> {
    pub(super) shown: K,
    pub(super) principal: Principal,
    _standing: Standing,
}

impl<K: PartialEq + Clone> Rule<K> {
    pub(super) fn new(shown: K, principal: Principal) -> Self {
        let standing = Standing::new();
        Self { shown, principal: principal.under(&standing), _standing: standing }
    }

    fn says_the_same_as(&self, other: &Self) -> bool {
        let (one, another) = (&self.principal, &other.principal);
        self.shown == other.shown
            && one.name() == another.name()
            && one.grants() == another.grants()
            && one.expires() == another.expires()
    }

    fn take_over(rules: &mut [Self], before: &[Self]) {
        for rule in rules {
            if let Some(old) = before.iter().find(|old| old.says_the_same_as(rule)) {
                *rule = old.clone();
            }
        }
    }
}

impl Rules {
    /// How many tokens, names of certificates and keys of issuers there are, in words.
    pub fn summary(&self) -> String {
        let Self { tokens, certificates, keys } = self;
        format!("{} tokens, {} certificates, {} JWT keys", tokens.len(), certificates.len(), keys.len())
    }

    /// Who holds a token. It is compared with every one, in a time that tells nothing of them.
    pub(super) fn of_token(&self, token: &str) -> Result<Principal, Refusal> {
        let digest = Digest::of(token.as_bytes());
        let mut found = None;
        for rule in &self.tokens {
            if bool::from(rule.shown.ct_eq(&digest)) {
                found = Some(&rule.principal);
            }
        }
        match found {
            Some(principal) if principal.is_over() => Err(Refusal::ExpiredToken),
            Some(principal) => Ok(principal.clone()),
            None if self.keys.is_empty() => Err(Refusal::BadToken("it is none that this relay knows")),
            None => jwt::identify(token, &self.keys),
        }
    }

    /// Who holds a certificate: the first of the file that has a name of it.
    pub(super) fn of_certificate(&self, certificate: &ClientCertificate) -> Result<Principal, Refusal> {
        let found = self.certificates.iter().find(|rule| certificate.has(&rule.shown));
        let rule = found.ok_or(Refusal::UnknownCertificate)?;
        Ok(rule.principal.clone().until(certificate.not_after()))
    }

    /// Goes on with what is the same as before, so that it does not lapse.
    pub(super) fn take_over(&mut self, before: &Self) {
        Rule::take_over(&mut self.tokens, &before.tokens);
        Rule::take_over(&mut self.certificates, &before.certificates);
        for key in &mut self.keys {
            if let Some(old) = before.keys.iter().find(|old| old.trust == key.trust) {
                *key = old.clone();
            }
        }
    }
}
