//! TLS of the port: certificate, key and the authority of clients, which can be replaced while
//! connections run. A connection keeps what it began with.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    access::ClientCertificate,
    files::{Contents, FileError},
};

/// What the files are given as.
const CERTIFICATE: &str = "--tls-certificate";
const KEY: &str = "--tls-key";
const CLIENT_CA: &str = "--tls-client-ca";

/// Where certificates are, and what is asked of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificate and those between it and its authority (PEM); none: no TLS.
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// The authorities of client certificates (PEM); none: clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a client may come without.
    pub client_certificates: ClientCertificates,
    /// How long a handshake may take.
    pub handshake_timeout_ms: u64,
}

/// Whether clients have to have a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Who has none is refused in the handshake.
    #[default]
    Required,
    /// Who has none may show a token.
    Optional,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            client_ca: None,
            client_certificates: ClientCertificates::default(),
            handshake_timeout_ms: 10_000,
        }
    }
}

/// Why there is no TLS with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One setting is of no use without another.
    #[error("{given} needs {missing}")]
    Incomplete {
        /// What was given.
        given: &'static str,
        /// What was not.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file has something else in it, or not all of it.
    #[error("{what} {}: {why}", path.display())]
    Content {
        /// What it is given as.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The key is of another certificate, or of a kind that is not supported.
    #[error("{}: it does not go with the certificate {}: {why}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What TLS says.
        why: rustls::Error,
    },
}

/// What was loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    config: Arc<ServerConfig>,
    /// The end of the relay's own certificate.
    pub(super) not_after: SystemTime,
}

impl TlsOptions {
    /// Reads the files; none where there is to be no TLS.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn load(&self, contents: &mut Contents) -> Result<Option<Loaded>, TlsError> {
        let incomplete = |given, missing| Err(TlsError::Incomplete { given, missing });
        let (certificate, key) = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return incomplete(CERTIFICATE, KEY),
            (None, Some(_)) => return incomplete(KEY, CERTIFICATE),
            (None, None) if self.client_ca.is_some() => {
                return incomplete(CLIENT_CA, "--tls-certificate and --tls-key");
            }
            (None, None) => return Ok(None),
        };
        let chain = certificates(CERTIFICATE, certificate, contents)?;
        let content = |what, path: &Path, why: String| TlsError::Content { what, path: path.to_owned(), why };
        let own = chain.first().map_or(&[][..], |own| own.as_ref());
        let own = ClientCertificate::parse(own)
            .map_err(|why| content(CERTIFICATE, certificate, why.to_string()))?;
        let private = PrivateKeyDer::from_pem_slice(&contents.read(KEY, key)?)
            .map_err(|why| content(KEY, key, format!("it has no private key in PEM: {why}")))?;
        let provider = Arc::new(ring::default_provider());
        let verifier = match &self.client_ca {
            Some(authority) => self.verifier(authority, Arc::clone(&provider), contents)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mismatch = |why| TlsError::Mismatch { certificate: certificate.clone(), key: key.clone(), why };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(mismatch)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, private)
            .map_err(mismatch)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Loaded { config: Arc::new(config), not_after: own.not_after() }))
    }

    fn verifier(
        &self,
        authority: &Path,
        provider: Arc<rustls::crypto::CryptoProvider>,
        contents: &mut Contents,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let content = |why: String| TlsError::Content { what: CLIENT_CA, path: authority.to_owned(), why };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(CLIENT_CA, authority, contents)? {
            roots.add(certificate).map_err(|why| content(why.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match self.client_certificates {
            ClientCertificates::Required => builder,
            ClientCertificates::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|why| content(why.to_string()))
    }
}

/// The certificates of a file, at least one.
fn certificates(
    what: &'static str,
    path: &Path,
    contents: &mut Contents,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = contents.read(what, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let why = match found {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) => "it has no certificate in PEM".to_owned(),
        Err(why) => format!("it is no PEM file, or half of one: {why}"),
    };
    Err(TlsError::Content { what, path: path.to_owned(), why })
}

/// Makes TLS of connections, with what was loaded last. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    current: Arc<ArcSwap<ServerConfig>>,
    handshake_timeout: Duration,
    failed: Counter,
}

impl Tls {
    /// `failed` counts handshakes that nothing came of.
    pub(super) fn new(loaded: Loaded, options: &TlsOptions, failed: Counter) -> Self {
        let handshake_timeout = Duration::from_millis(options.handshake_timeout_ms.max(1));
        Self { current: Arc::new(ArcSwap::new(loaded.config)), handshake_timeout, failed }
    }

    /// What the next connections begin with.
    pub(super) fn replace(&self, loaded: Loaded) {
        self.current.store(loaded.config);
    }

    /// Shakes hands; the certificate is that of the client, where it showed one.
    ///
    /// # Errors
    /// What the other side did wrong, or that it took too long.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<ClientCertificate>)> {
        let shaken = self.shake_hands(stream).await;
        if shaken.is_err() {
            self.failed.inc();
        }
        shaken
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<ClientCertificate>)> {
        let acceptor = TlsAcceptor::from(self.current.load_full());
        let stream = timeout(self.handshake_timeout, acceptor.accept(stream)).await??;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(|der| ClientCertificate::parse(der)).transpose();
        Ok((stream, certificate.map_err(io::Error::other)?))
    }
}
