//! JSON Web Tokens: whom an issuer knows, and what they may do by its word.
//!
//! Each key has one algorithm, one issuer and one audience, and a token is held against all
//! three: what its header says of itself decides only which keys are tried.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, errors::ErrorKind};
use serde::Deserialize;

use super::{Grants, Principal, Refusal, principal::Standing, token::Digest};
use crate::record::{TopicError, TopicGlob};

/// Longest name that is taken from a token, in characters.
const MAX_NAME_CHARS: usize = 200;
const UNREADABLE: Refusal = Refusal::BadToken("it is none that this relay gave out, and no readable JWT");
const NO_KEY: Refusal = Refusal::BadToken("no key of this relay's has its algorithm and its kid");
const BAD_SIGNATURE: Refusal = Refusal::BadToken("its signature is of none of this relay's keys");
const BAD_CLAIMS: Refusal = Refusal::BadToken("a claim is missing or of another form than is expected");

/// What a key is trusted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trust {
    /// By which its principals are known: they are `<name>/<sub>`.
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) algorithm: Algorithm,
    /// The key's own name, where it has one.
    pub(super) kid: Option<String>,
    /// By how much clocks may differ, in ms.
    pub(super) leeway_ms: u64,
    /// Of the key.
    pub(super) digest: Digest,
}

/// A key whose tokens are believed.
#[derive(Clone)]
pub(super) struct JwtKey {
    pub(super) trust: Trust,
    pub(super) key: DecodingKey,
    pub(super) standing: Standing,
}

impl std::fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.trust.fmt(f)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    /// Extensions that have to be understood; none is.
    crit: Option<serde::de::IgnoredAny>,
}

/// The claims that count, each of which has to have the type that it is given here.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    #[serde(rename = "nbf")]
    _nbf: Option<f64>,
    #[serde(rename = "iss")]
    _iss: String,
    #[serde(default)]
    logrelay: Claimed,
}

/// The claim `logrelay`: patterns of topics.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claimed {
    read: Vec<Glob>,
    publish: Vec<Glob>,
    administer: Vec<Glob>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Glob(TopicGlob);

impl TryFrom<String> for Glob {
    type Error = TopicError;

    fn try_from(text: String) -> Result<Self, TopicError> {
        text.parse().map(Self)
    }
}

/// Who holds a token that one of the keys has signed.
///
/// # Errors
/// [`Refusal`].
pub(super) fn identify(token: &str, keys: &[JwtKey]) -> Result<Principal, Refusal> {
    let header = header(token).ok_or(UNREADABLE)?;
    if header.crit.is_some() {
        return Err(Refusal::BadToken("its header has `crit`, of which this relay knows nothing"));
    }
    let named =
        |key: &&JwtKey| header.kid.is_none() || key.trust.kid.is_none() || key.trust.kid == header.kid;
    let fitting = keys.iter().filter(|key| key.trust.algorithm == header.alg).filter(named);
    let mut refusal = NO_KEY;
    for key in fitting {
        match key.identify(token) {
            Err(BAD_SIGNATURE) => refusal = BAD_SIGNATURE,
            decided => return decided,
        }
    }
    Err(refusal)
}

fn header(token: &str) -> Option<Header> {
    let (header, rest) = token.split_once('.')?;
    (rest.matches('.').count() == 1).then_some(())?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

impl JwtKey {
    fn identify(&self, token: &str) -> Result<Principal, Refusal> {
        let Trust { name, issuer, audience, algorithm, leeway_ms, .. } = &self.trust;
        let mut validation = Validation::new(*algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.validate_nbf = true;
        validation.leeway = leeway_ms / 1000;
        let decoded = decode::<Claims>(token, &self.key, &validation);
        let claims = decoded.map_err(|error| refusal(error.kind()))?.claims;
        let leeway = Duration::from_millis(*leeway_ms);
        let end = Duration::try_from_secs_f64(claims.exp).ok();
        // A time that no clock reaches is never.
        let end = end.and_then(|end| SystemTime::UNIX_EPOCH.checked_add(end)?.checked_add(leeway));
        let sub: String = claims.sub.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
        let Claimed { read, publish, administer } = claims.logrelay;
        let globs = |globs: Vec<Glob>| globs.into_iter().map(|Glob(glob)| glob).collect();
        let grants = Grants { read: globs(read), publish: globs(publish), administer: globs(administer) };
        let principal = Principal::new(&format!("{name}/{sub}"), grants, end).under(&self.standing);
        if principal.is_over() { Err(Refusal::ExpiredToken) } else { Ok(principal) }
    }
}

fn refusal(error: &ErrorKind) -> Refusal {
    match error {
        ErrorKind::ExpiredSignature => Refusal::ExpiredToken,
        ErrorKind::ImmatureSignature => Refusal::EarlyToken,
        ErrorKind::InvalidIssuer => Refusal::BadToken("it is of another issuer"),
        ErrorKind::InvalidAudience => Refusal::BadToken("it is for another audience"),
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => BAD_CLAIMS,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => UNREADABLE,
        _ => BAD_SIGNATURE,
    }
}
