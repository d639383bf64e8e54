//! Redis behind TLS, with a CA of its own and certificates of clients.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use logrelay::store::{self, ConnectOptions, Connector, Error, Store, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{
    spine::{Program, Reader},
    support::{TestRedis, eventually, free_port, relay::TestRelay},
    tailing::Tailing,
};

/// A CA, and the certificates that it has signed, as files.
struct Ca {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("CA {}", fastrand::u64(..)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let ca = Self { folder: TempDir::new().unwrap(), issuer };
        fs::write(ca.path("ca.pem"), pem("CERTIFICATE", ca.issuer.der())).unwrap();
        ca
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for these names: `<of>.pem` and `<of>.key`.
    fn sign(&self, of: &str, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, of);
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{of}.pem")), pem("CERTIFICATE", signed.der())).unwrap();
        fs::write(self.path(&format!("{of}.key")), pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    }

    /// What a client of this CA needs; `of` is its own certificate.
    fn files(&self, of: Option<&str>) -> TlsFiles {
        let path = |end: &str| of.map(|of| self.path(&format!("{of}.{end}")));
        TlsFiles { ca: Some(self.path("ca.pem")), cert: path("pem"), key: path("key") }
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// A server that speaks nothing but TLS on a port of 127.0.0.1.
struct TlsRedis {
    redis: TestRedis,
    port: u16,
}

impl TlsRedis {
    async fn start(ca: &Ca, auth_clients: &str) -> Self {
        ca.sign("redis", &["localhost", "127.0.0.1"]);
        let port = free_port();
        let (cert, key, trusted) = (ca.path("redis.pem"), ca.path("redis.key"), ca.path("ca.pem"));
        let args = [
            ("--tls-port", port.to_string()),
            ("--bind", "127.0.0.1".to_owned()),
            ("--tls-cert-file", cert.display().to_string()),
            ("--tls-key-file", key.display().to_string()),
            ("--tls-ca-cert-file", trusted.display().to_string()),
            ("--tls-auth-clients", auth_clients.to_owned()),
        ];
        let args: Vec<&str> = args.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
        Self { redis: TestRedis::with_args(&args).await, port }
    }

    fn options(&self, tls: TlsFiles) -> ConnectOptions {
        let url = format!("rediss://localhost:{}", self.port).parse().unwrap();
        ConnectOptions { tls, connect_timeout_ms: 2000, ..ConnectOptions::new(url) }
    }
}

fn store_with(connect: ConnectOptions) -> Store {
    Store::new(store::Options { connect, ..store::Options::new("redis://unused".parse().unwrap()) }).unwrap()
}

/// Why Redis cannot be asked anything.
async fn refusal(connect: ConnectOptions) -> Error {
    let error = store_with(connect).probe().await.unwrap_err();
    assert!(error.needs_an_operator(), "{error}");
    error
}

#[tokio::test]
async fn the_spine_runs_over_tls_with_certificates_on_both_sides() {
    let ca = Ca::new();
    let tls = TlsRedis::start(&ca, "yes").await;
    ca.sign("client", &["client"]);
    let connect = tls.options(ca.files(Some("client")));
    let mut tailing = Tailing::prepare(&tls.redis, "*.log", |options| options).over(connect.clone());
    tailing.resume();
    let relay = TestRelay::over(store_with(connect), |_, _| ()).await;
    let live = Reader::start(&relay, tailing.topic());
    let program = Program::start(tailing.path("app.log"), 0);
    eventually("lines", async || live.count() > 500).await;
    let killed: i64 = tls.redis.control().await.run("CLIENT KILL TYPE normal SKIPME yes").await;
    assert!(killed > 0);
    let before = live.count();
    eventually("it goes on", async || live.count() > before + 500).await;
    let (log, count) = program.stop().await;
    live.until(count).await;
    live.has_each_once(&[(&log, count)]);
    live.was_told_nothing();
}

#[tokio::test]
async fn who_is_not_trusted_hears_why_and_what_helps() {
    let (ca, other) = (Ca::new(), Ca::new());
    let tls = TlsRedis::start(&ca, "optional").await;
    assert!(store_with(tls.options(ca.files(None))).probe().await.is_ok());
    let error = refusal(tls.options(other.files(None))).await.to_string();
    assert!(error.contains("invalid peer certificate") && error.contains("redis_ca_file"), "{error}");
    // Nobody signed it for this name.
    let url = format!("rediss://127.0.0.2:{}", tls.port).parse().unwrap();
    let named_otherwise = ConnectOptions { url, ..tls.options(ca.files(None)) };
    assert!(store_with(named_otherwise).probe().await.is_err());
    // A server without TLS.
    let plain = TestRedis::with_port(&[]).await;
    let url = format!("rediss://127.0.0.1:{}", plain.port()).parse().unwrap();
    let error = store_with(ConnectOptions { url, ..tls.options(ca.files(None)) }).probe().await.unwrap_err();
    assert!(error.to_string().contains(&plain.port().to_string()), "{error}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_none_and_its_refusal_is_named() {
    let (ca, other) = (Ca::new(), Ca::new());
    let tls = TlsRedis::start(&ca, "yes").await;
    other.sign("client", &["client"]);
    let error = refusal(tls.options(ca.files(None))).await.to_string();
    assert!(error.contains("redis_cert_file"), "{error}");
    let foreign = TlsFiles { ca: Some(ca.path("ca.pem")), ..other.files(Some("client")) };
    let error = refusal(tls.options(foreign)).await.to_string();
    assert!(error.contains("redis_cert_file"), "{error}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_on_the_next_connection() {
    let ca = Ca::new();
    let tls = TlsRedis::start(&ca, "yes").await;
    let other = Ca::new();
    other.sign("client", &["client"]);
    for end in ["pem", "key"] {
        fs::copy(other.path(&format!("client.{end}")), ca.path(&format!("client.{end}"))).unwrap();
    }
    let store = store_with(tls.options(ca.files(Some("client"))));
    assert!(store.probe().await.is_err());
    ca.sign("client", &["client"]);
    eventually("it is trusted", async || store.probe().await.is_ok()).await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let ca = Ca::new();
    ca.sign("client", &["client"]);
    fs::write(ca.path("empty.pem"), "").unwrap();
    let all = ca.files(Some("client"));
    let wrong = |tls: TlsFiles, url: &str| {
        let options = ConnectOptions { tls, ..ConnectOptions::new(url.parse().unwrap()) };
        Connector::new(&options).unwrap_err().to_string()
    };
    for (tls, url, expected) in [
        (TlsFiles { ca: Some("/no/ca.pem".into()), ..all.clone() }, "rediss://h", "/no/ca.pem: No such file"),
        (TlsFiles { ca: Some(ca.path("empty.pem")), ..all.clone() }, "rediss://h", "no certificate"),
        (TlsFiles { key: Some(ca.path("client.pem")), ..all.clone() }, "rediss://h", "no private key"),
        (TlsFiles { key: None, ..all.clone() }, "rediss://h", "needs redis_key_file"),
        (TlsFiles { cert: None, ..all.clone() }, "rediss://h", "needs redis_cert_file"),
        (all, "redis://me:hunter2@h", "redis_ca_file is set, but redis://me@h:6379/0 has no TLS"),
    ] {
        let error = wrong(tls, url);
        assert!(error.contains(expected), "{error}");
    }
}
