//! The keys of a file of rules, with the places of their values.

use std::path::PathBuf;

use serde::Deserialize;
use toml::{Spanned, value::Datetime};

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    #[serde(default)]
    pub(super) tokens: Vec<TokenForm>,
    #[serde(default)]
    pub(super) certificates: Vec<CertificateForm>,
    #[serde(default)]
    pub(super) jwt: Vec<JwtForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenForm {
    pub(super) name: Text,
    pub(super) sha256: Text,
    #[serde(default)]
    pub(super) read: Vec<Text>,
    #[serde(default)]
    pub(super) publish: Vec<Text>,
    #[serde(default)]
    pub(super) administer: Vec<Text>,
    pub(super) expires: Option<Spanned<Datetime>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateForm {
    pub(super) subject: Text,
    #[serde(default)]
    pub(super) read: Vec<Text>,
    #[serde(default)]
    pub(super) publish: Vec<Text>,
    #[serde(default)]
    pub(super) administer: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtForm {
    pub(super) name: Text,
    pub(super) issuer: Text,
    pub(super) audience: Text,
    pub(super) algorithm: Text,
    pub(super) key_file: Spanned<PathBuf>,
    pub(super) kid: Option<String>,
    pub(super) leeway_ms: Option<Spanned<u64>>,
}
