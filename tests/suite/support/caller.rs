//! A caller that shows something of itself: a token, a certificate.

use std::{fs, path::Path, sync::Arc};

use logrelay::proto::log_relay_client::LogRelayClient;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity},
};

use super::authority::Pair;

/// What is called.
pub(crate) type Client = LogRelayClient<InterceptedService<Channel, Header>>;

/// The header `authorization` of every call, where there is one.
#[derive(Debug, Clone)]
pub(crate) struct Header(Option<MetadataValue<Ascii>>);

impl Interceptor for Header {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// Calls that show this token; none: nothing.
pub(crate) fn with_token(channel: Channel, token: Option<&str>) -> Client {
    let header = token.map(|token| format!("Bearer {token}").parse().unwrap());
    LogRelayClient::with_interceptor(channel, Header(header))
}

/// A connection to a relay that speaks TLS.
pub(crate) async fn encrypted(url: &str, ca: &Path, client: Option<&Pair>) -> Result<Channel, Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(ca).unwrap()));
    if let Some(pair) = client {
        let read = |path| fs::read(path).unwrap();
        tls = tls.identity(Identity::from_pem(read(&pair.certificate), read(&pair.key)));
    }
    Endpoint::from_shared(url.to_owned()).unwrap().tls_config(tls).unwrap().connect().await
}

/// An HTTP/1.1 request that shows a token: status line and body.
pub(crate) async fn get_as(token: &str, url: &str, path: &str) -> (String, String) {
    let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    exchange(stream, path, &format!("authorization: Bearer {token}\r\n")).await
}

/// An HTTP/1.1 request over TLS: status line and body.
pub(crate) async fn get_encrypted(url: &str, path: &str, ca: &Path) -> (String, String) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(url.strip_prefix("https://").unwrap()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap();
    exchange(stream, path, "").await
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: &str,
    headers: &str,
) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: relay\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}
