//! What a client shows of itself to relays, and which relays it believes: certificates and a
//! token, in files that are read again for every connection, so that they can be replaced.

use std::{
    fmt,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::{Certificate, ClientTlsConfig, Identity},
};
use xxhash_rust::xxh3::xxh3_64;

use super::RelayAddress;
use crate::files::{self, FileError};

/// What a client shows, and whom it believes.
#[derive(Debug, Default)]
pub struct Credentials {
    /// Authorities by which certificates of relays are believed (PEM); none: those of the system.
    pub ca: Option<PathBuf>,
    /// The client's own certificate and its key (PEM).
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The token.
    pub token: Option<Token>,
    /// Send the token also without encryption to other machines.
    pub insecure_token: bool,
    /// Of the token that was sent last.
    sent: AtomicU64,
}

/// Where a token comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// The first line of a file.
    File(PathBuf),
    /// The token itself.
    Text(String),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Text(_) => f.write_str("…"),
        }
    }
}

/// Why nothing can be shown to a relay.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A token has characters that no header has.
    #[error("the token is not made of visible ASCII characters")]
    Token,
    /// Whoever is on the way to the relay could read the token.
    #[error(
        "the token is not sent to {0} without encryption: use https://, or say by --insecure-token that it may be"
    )]
    Plaintext(RelayAddress),
    /// What is for TLS would show and check nothing.
    #[error("--ca and --client-certificate are for relays with https://, and --relay names none")]
    NoTls,
    /// A file is to have certificates, and has none.
    #[error("{what} {}: it has no certificate in PEM", path.display())]
    NoCertificate {
        /// What it is given as.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// There are no certificates to use.
    #[error("no TLS: {0}")]
    Tls(String),
}

impl Credentials {
    /// Whether all of it can be used with these relays, as things are now.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn check(&self, relays: &[RelayAddress]) -> Result<(), CredentialsError> {
        let is_for_tls = self.ca.is_some() || self.certificate.is_some();
        if is_for_tls && !relays.iter().any(RelayAddress::is_encrypted) {
            return Err(CredentialsError::NoTls);
        }
        for relay in relays {
            self.bearer(relay)?;
            self.tls(relay)?;
        }
        Ok(())
    }

    /// What is sent with every call to a relay.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub(super) fn bearer(&self, relay: &RelayAddress) -> Result<Bearer, CredentialsError> {
        let Some(token) = self.read_token()? else { return Ok(Bearer(None)) };
        if !relay.is_encrypted() && !relay.is_loopback() && !self.insecure_token {
            return Err(CredentialsError::Plaintext(relay.clone()));
        }
        self.sent.store(xxh3_64(token.as_bytes()), Ordering::Relaxed);
        let header: Result<MetadataValue<Ascii>, _> = format!("Bearer {token}").parse();
        let mut header = header.map_err(|_| CredentialsError::Token)?;
        header.set_sensitive(true);
        Ok(Bearer(Some(header)))
    }

    /// How to speak TLS to a relay; none where it speaks none.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub(super) fn tls(&self, relay: &RelayAddress) -> Result<Option<ClientTlsConfig>, CredentialsError> {
        if !relay.is_encrypted() {
            return Ok(None);
        }
        // A file of something else would be taken for no certificates at all.
        let certificates = |what, path: &PathBuf| match files::read_given(what, path)? {
            pem if CertificateDer::pem_slice_iter(&pem).next().is_some_and(|first| first.is_ok()) => Ok(pem),
            _ => Err(CredentialsError::NoCertificate { what, path: path.clone() }),
        };
        let mut tls = match &self.ca {
            Some(path) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates("--ca", path)?))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((certificate, key)) = &self.certificate {
            tls = tls.identity(Identity::from_pem(
                certificates("--client-certificate", certificate)?,
                files::read_given("--client-key", key)?,
            ));
        }
        Ok(Some(tls))
    }

    /// Whether another token would be sent now than was sent last.
    pub(super) fn has_other_token(&self) -> bool {
        let token = self.read_token().ok().flatten();
        token.is_some_and(|token| xxh3_64(token.as_bytes()) != self.sent.load(Ordering::Relaxed))
    }

    fn read_token(&self) -> Result<Option<String>, FileError> {
        match &self.token {
            None => Ok(None),
            Some(Token::File(path)) => files::read_secret("--token-file", path).map(Some),
            Some(Token::Text(token)) => Ok(Some(token.clone())),
        }
    }
}

/// Puts the token into every call.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Bearer …" } else { "no token" })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn with(token: Token) -> Credentials {
        Credentials { token: Some(token), ..Credentials::default() }
    }

    #[test]
    fn a_token_goes_in_the_clear_to_this_machine_only() {
        let mut credentials = with(Token::Text("hunter2".to_owned()));
        let check = |credentials: &Credentials, relay: &str| credentials.check(&[relay.parse().unwrap()]);
        for relay in ["127.0.0.1:1", "[::1]:1", "localhost:1", "http://127.3.4.5:1"] {
            check(&credentials, relay).unwrap();
        }
        for relay in ["10.0.0.1:1", "relay:1", "http://localhost.example.org:1", "[::]:1"] {
            let error = check(&credentials, relay).unwrap_err().to_string();
            assert!(error.contains("--insecure-token") && !error.contains("hunter"), "{relay}: {error}");
        }
        credentials.insecure_token = true;
        check(&credentials, "10.0.0.1:1").unwrap();
    }

    #[test]
    fn what_is_for_tls_is_refused_where_no_relay_speaks_it_and_files_are_named_by_what_they_are_for() {
        let credentials = Credentials { ca: Some("/nowhere".into()), ..Credentials::default() };
        let error = |relays: &[&str]| {
            let relays: Vec<RelayAddress> = relays.iter().map(|relay| relay.parse().unwrap()).collect();
            credentials.check(&relays).unwrap_err().to_string()
        };
        assert!(error(&["http://127.0.0.1:1"]).contains("https://"));
        let unreadable = error(&["http://127.0.0.1:1", "https://127.0.0.1:1"]);
        assert!(unreadable.starts_with("--ca /nowhere: No such file"), "{unreadable}");
    }

    #[test]
    fn a_token_is_read_again_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "hunter1\n").unwrap();
        let credentials = with(Token::File(path.clone()));
        let relay: RelayAddress = "localhost:1".parse().unwrap();
        let bearer = credentials.bearer(&relay).unwrap();
        assert!(!credentials.has_other_token());
        fs::write(&path, "hunter2\n").unwrap();
        assert!(credentials.has_other_token());
        let other = with(Token::Text("hunter3".to_owned()));
        assert!(!format!("{bearer:?} {:?} {credentials:?} {other:?}", bearer.0).contains("hunter"));
        fs::remove_file(&path).unwrap();
        assert!(!credentials.has_other_token());
        let error = credentials.check(&[relay]).unwrap_err().to_string();
        assert!(error.contains("token"), "{error}");
        assert!(with(Token::Text("a\u{7f}b".to_owned())).check(&["localhost:1".parse().unwrap()]).is_err());
    }
}
