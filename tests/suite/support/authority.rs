//! Certificates for tests: an authority that signs for relays and for clients.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use logrelay::serve::Options;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
};
use tempfile::TempDir;

/// An authority of its own for every test.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, both as files of PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), pem("CERTIFICATE", issuer.der())).unwrap();
        Self { issuer, folder }
    }

    /// Its own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// For 127.0.0.1 and localhost.
    pub(crate) fn relay(&self) -> Pair {
        self.sign("relay", &CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap())
    }

    /// For a client of this common name and URI.
    pub(crate) fn client(&self, name: &str, uri: &str) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        self.sign(name, &params)
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        let pair = Pair { certificate: path("crt"), key: path("key") };
        fs::write(&pair.certificate, pem("CERTIFICATE", certificate.der())).unwrap();
        fs::write(&pair.key, pem("PRIVATE KEY", &key.serialize_der())).unwrap();
        pair
    }
}

impl Pair {
    /// Has a relay use it.
    pub(crate) fn into_options(self, options: &mut Options) {
        options.tls.certificate = Some(self.certificate);
        options.tls.key = Some(self.key);
    }

    /// Puts this pair where another one is, as a whole or in part.
    pub(crate) fn replace(&self, other: &Self) {
        fs::copy(&self.certificate, &other.certificate).unwrap();
        fs::copy(&self.key, &other.key).unwrap();
    }

    /// The same in another folder.
    pub(crate) fn copied_to(&self, folder: &Path) -> Self {
        let copy = Self { certificate: folder.join("relay.crt"), key: folder.join("relay.key") };
        self.replace(&copy);
        copy
    }
}

/// PEM of some bytes.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
