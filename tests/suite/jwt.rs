//! JSON Web Tokens: each algorithm, and everything about a token that can be wrong.

use std::{fs, path::Path, process::Command, time::SystemTime};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use logrelay::{
    access::{Access, Action, Lapse, Principal, load},
    files::Contents,
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SignatureAlgorithm};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::authority::pem;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Keys of an issuer, and a relay that believes it.
struct Issuer {
    folder: TempDir,
    sections: String,
}

impl Issuer {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), sections: String::new() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Has the relay believe a key.
    fn believe(&mut self, algorithm: &str, file: &str, more: &str) {
        let name = format!("id{}", self.sections.matches("[[jwt]]").count());
        let section = format!(
            "[[jwt]]\nname = \"{name}\"\nissuer = \"https://id.example.org\"\naudience = \"logrelay\"\n\
             algorithm = \"{algorithm}\"\nkey_file = \"{file}\"\nleeway_ms = 0\n{more}\n"
        );
        self.sections.push_str(&section);
    }

    fn access(&self) -> Access {
        let path = self.folder.path().join("access.toml");
        fs::write(&path, &self.sections).unwrap();
        Access::ruled(load(&path, &mut Contents::default()).unwrap())
    }

    fn hs256(&mut self) -> EncodingKey {
        fs::write(self.path("secret"), format!("{SECRET}\n")).unwrap();
        self.believe("HS256", "secret", "");
        EncodingKey::from_secret(SECRET.as_bytes())
    }

    fn generated(&mut self, algorithm: &str, kind: &'static SignatureAlgorithm, file: &str) -> KeyPair {
        let key = KeyPair::generate_for(kind).unwrap();
        fs::write(self.path(file), pem("PUBLIC KEY", &key.subject_public_key_info())).unwrap();
        self.believe(algorithm, file, "");
        key
    }

    /// No provider of ours makes RSA keys.
    fn rs256(&mut self) -> EncodingKey {
        let private = self.path("rsa.der");
        openssl(&["genrsa", "-out", &self.path("rsa.pem"), "2048"]);
        openssl(&["rsa", "-in", &self.path("rsa.pem"), "-traditional", "-outform", "DER", "-out", &private]);
        openssl(&["rsa", "-in", &self.path("rsa.pem"), "-pubout", "-out", &self.path("rsa.pub")]);
        self.believe("RS256", "rsa.pub", "");
        EncodingKey::from_rsa_der(&fs::read(private).unwrap())
    }
}

fn openssl(arguments: &[&str]) {
    let run = Command::new("openssl").args(arguments).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What a good token claims.
fn claims() -> Value {
    json!({
        "sub": "alice", "exp": now() + 600, "iss": "https://id.example.org", "aud": "logrelay",
        "logrelay": { "read": ["web.*"] },
    })
}

/// The claims of a good token, but for this one.
fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, key).unwrap()
}

/// Who the relay says it is, or the reason and the words of its refusal.
fn identify(access: &Access, token: &str) -> Result<Principal, String> {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    access.identify(&headers, None).map_err(|refusal| format!("{}: {refusal}", refusal.reason()))
}

#[test]
fn a_token_of_each_algorithm_may_do_what_it_claims() {
    let mut issuer = Issuer::new();
    let hmac = issuer.hs256();
    let rsa = issuer.rs256();
    let p256 = issuer.generated("ES256", &PKCS_ECDSA_P256_SHA256, "p256.pub").serialize_der();
    let ed25519 = issuer.generated("EdDSA", &PKCS_ED25519, "ed25519.pub").serialize_der();
    let access = issuer.access();
    for (number, (algorithm, key)) in [
        (Algorithm::HS256, hmac),
        (Algorithm::RS256, rsa),
        (Algorithm::ES256, EncodingKey::from_ec_der(&p256)),
        (Algorithm::EdDSA, EncodingKey::from_ed_der(&ed25519)),
    ]
    .into_iter()
    .enumerate()
    {
        let principal = identify(&access, &sign(algorithm, &key, &claims())).unwrap();
        assert_eq!(principal.name(), format!("id{number}/alice"));
        assert!(principal.may(Action::Read, &"web.1".parse().unwrap()));
        assert!(!principal.may(Action::Read, &"db".parse().unwrap()));
        assert!(!principal.may(Action::Publish, &"web.1".parse().unwrap()));
        let token = sign(algorithm, &key, &claims());
        let (head, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[7] ^= 1;
        let forged = format!("{head}.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        assert!(identify(&access, &forged).unwrap_err().contains("signature"), "{algorithm:?}");
    }
}

#[test]
fn claims_that_are_wrong_are_refused_by_reason() {
    let mut issuer = Issuer::new();
    let key = issuer.hs256();
    let access = issuer.access();
    for (claims, expected) in [
        (but("exp", json!(now() - 5)), "EXPIRED_TOKEN: "),
        (but("exp", json!("9999999999")), "BAD_TOKEN: "),
        (but("exp", Value::Null), "BAD_TOKEN: "),
        (but("nbf", json!(now() + 60)), "EARLY_TOKEN: "),
        (but("nbf", json!("0")), "BAD_TOKEN: "),
        (
            but("iss", json!("https://evil.example.org")),
            "BAD_TOKEN: the token is not valid: it is of another issuer",
        ),
        (but("iss", json!(["https://id.example.org"])), "BAD_TOKEN: "),
        (but("iss", Value::Null), "BAD_TOKEN: "),
        (but("aud", json!("billing")), "BAD_TOKEN: the token is not valid: it is for another audience"),
        (but("aud", Value::Null), "BAD_TOKEN: "),
        (but("sub", Value::Null), "BAD_TOKEN: "),
        (but("logrelay", json!({ "read": "web" })), "BAD_TOKEN: "),
        (but("logrelay", json!({ "read": ["a/b"] })), "BAD_TOKEN: "),
        (json!([]), "BAD_TOKEN: "),
    ] {
        let error = identify(&access, &sign(Algorithm::HS256, &key, &claims)).unwrap_err();
        assert!(error.starts_with(expected), "{claims}: {error}");
    }
    for good in [
        but("aud", json!(["billing", "logrelay"])),
        but("nbf", json!(now() - 5)),
        but("exp", json!(1e15)),
        but("exp", json!(4_102_444_800.5)),
        but("sub", json!("a\u{0}b\n".repeat(1000))),
    ] {
        let principal = identify(&access, &sign(Algorithm::HS256, &key, &good)).unwrap();
        assert!(principal.name().len() <= 204 && !principal.name().contains(['\n', '\0']));
    }
    let silent = identify(&access, &sign(Algorithm::HS256, &key, &but("logrelay", Value::Null))).unwrap();
    assert!(!silent.may(Action::Read, &"web.1".parse().unwrap()));
}

#[test]
fn the_algorithm_is_that_of_the_key_and_not_what_a_token_says() {
    let mut issuer = Issuer::new();
    issuer.rs256();
    let access = issuer.access();
    // The public key is no secret; as one of HS256 it would let anybody sign.
    for public in [fs::read(issuer.path("rsa.pub")).unwrap(), b"x".repeat(32)] {
        let forged = sign(Algorithm::HS256, &EncodingKey::from_secret(&public), &claims());
        assert!(identify(&access, &forged).unwrap_err().contains("no key"));
    }
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    for (header, signature) in [
        (json!({ "alg": "none" }), ""),
        (json!({ "alg": "None", "typ": "JWT" }), ""),
        (json!({ "alg": "RS256" }), ""),
        (json!({ "alg": "RS256", "crit": ["b64"], "b64": false }), "AA"),
        (json!({ "typ": "JWT" }), "AA"),
        (json!({ "alg": "RS384" }), "AA"),
    ] {
        let token = format!("{}.{}.{signature}", part(header.clone()), part(claims()));
        assert!(identify(&access, &token).unwrap_err().starts_with("BAD_TOKEN"), "{header}");
    }
    for nonsense in ["..", "a.b.c", "a.b", "...", "....", &format!("{}.a.b", "A".repeat(7000))] {
        assert!(identify(&access, nonsense).unwrap_err().starts_with("BAD_TOKEN"), "{nonsense}");
    }
}

#[test]
fn of_several_keys_the_one_is_asked_that_the_token_names() {
    let mut issuer = Issuer::new();
    for (name, secret) in [("old", "o"), ("new", "n")] {
        fs::write(issuer.path(name), secret.repeat(32)).unwrap();
        issuer.believe("HS256", name, &format!("kid = \"{name}\""));
    }
    let access = issuer.access();
    let signed = |kid: Option<&str>, secret: &str| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims(), &EncodingKey::from_secret(secret.repeat(32).as_bytes())).unwrap()
    };
    assert_eq!(identify(&access, &signed(Some("new"), "n")).unwrap().name(), "id1/alice");
    assert_eq!(identify(&access, &signed(None, "o")).unwrap().name(), "id0/alice");
    assert_eq!(identify(&access, &signed(None, "n")).unwrap().name(), "id1/alice");
    assert!(identify(&access, &signed(Some("old"), "n")).unwrap_err().contains("signature"));
    assert!(identify(&access, &signed(Some("other"), "n")).unwrap_err().contains("no key"));
}

#[tokio::test]
async fn a_token_lapses_at_its_end_and_with_its_key() {
    let mut issuer = Issuer::new();
    let key = issuer.hs256();
    let access = issuer.access();
    let soon = identify(&access, &sign(Algorithm::HS256, &key, &but("exp", json!(now() + 2)))).unwrap();
    let later = identify(&access, &sign(Algorithm::HS256, &key, &claims())).unwrap();
    assert_eq!(soon.expired().await, Lapse::Expired);
    fs::write(issuer.path("secret"), "x".repeat(32)).unwrap();
    access.replace(load(Path::new(&issuer.path("access.toml")), &mut Contents::default()).unwrap());
    assert_eq!(later.expired().await, Lapse::Withdrawn);
}
