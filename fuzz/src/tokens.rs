//! Tokens: whatever somebody shows, they are known only by a token of the rules or by a signed
//! one with every claim; and what is refused is never repeated.

use std::{
    fs,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use logrelay::{
    access::{Access, Principal, Refusal, parse},
    files::Contents,
};
use ring::hmac;
use serde_json::Value;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const RULES: &str = "[[tokens]]\nname = \"known\"\nread = [\"*\"]\n\
                     sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
                     [[jwt]]\nname = \"id\"\nissuer = \"https://id\"\naudience = \"logrelay\"\n\
                     algorithm = \"HS256\"\nkey_file = \"key\"\nleeway_ms = 0\n";
/// The token of the rules.
const KNOWN: &[u8] = b"abc";

static ACCESS: LazyLock<Access> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("key"), KEY).expect("it can be written");
    let rules = parse(&folder.path().join("access.toml"), RULES, &mut Contents::default());
    Access::ruled(rules.expect("they are good"))
});

/// Bytes that are a way to go, and a header, a token, or a token's claims; behind a newline
/// those of its head.
pub fn check(data: &[u8]) {
    let [way, rest @ ..] = data else { return };
    match way % 3 {
        0 => header(rest),
        1 => {
            let bearer = [b"Bearer ", rest].concat();
            if let Some(Ok(principal)) = shown(&bearer) {
                assert!(principal.name() == "known" && rest.trim_ascii() == KNOWN, "{principal:?}");
            }
        }
        _ => signed(rest),
    }
}

/// Who shows this header; none where no header may be so.
fn shown(value: &[u8]) -> Option<Result<Principal, Refusal>> {
    let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(value).ok()?)]);
    let identified = ACCESS.identify(&headers, None);
    if let Err(refusal) = &identified {
        let said = format!("{refusal} {refusal:?} {}", refusal.reason());
        for part in String::from_utf8_lossy(value).split_whitespace().filter(|part| part.len() > 12) {
            assert!(!said.contains(part), "{said}");
        }
    }
    Some(identified)
}

fn header(value: &[u8]) {
    if let Some(Ok(principal)) = shown(value) {
        assert!(principal.name() == "known" && value.ends_with(KNOWN), "{principal:?}");
    }
}

/// Claims that a key has signed: they count only where all of them do.
fn signed(rest: &[u8]) {
    let mut parts = rest.splitn(2, |&byte| byte == b'\n');
    let claims = parts.next().unwrap_or_default();
    let head = parts.next().unwrap_or(br#"{"alg":"HS256","typ":"JWT"}"#);
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(head), encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), message.as_bytes());
    let token = format!("Bearer {message}.{}", encode(tag.as_ref()));
    let Some(Ok(principal)) = shown(token.as_bytes()) else { return };
    // Claims that nobody asks for are passed over, whatever bytes they have.
    let read = |bytes: &[u8]| -> Value {
        serde_json::from_str(&String::from_utf8_lossy(bytes)).expect("what counts can be read")
    };
    let (claims, head) = (read(claims), read(head));
    assert!(head["alg"] == "HS256" && head.get("crit").is_none_or(Value::is_null), "{head}");
    assert!(claims["iss"] == "https://id", "{claims}");
    let audience = &claims["aud"];
    assert!(
        audience == "logrelay" || audience.as_array().is_some_and(|all| all.contains(&"logrelay".into()))
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs_f64();
    assert!(claims["exp"].as_f64().is_some_and(|end| end > now - 60.0), "{claims}");
    assert!(claims["nbf"].as_f64().is_none_or(|begin| begin < now + 60.0), "{claims}");
    assert!(principal.name().starts_with("id/") && !principal.name().contains(char::is_control));
}

/// What is known, what is signed, and what is nearly so.
pub fn seeds() -> Vec<Vec<u8>> {
    let claims = |more: &str| {
        format!("\x02{{\"sub\":\"x\",\"iss\":\"https://id\",\"aud\":\"logrelay\",\"exp\":4000000000{more}}}")
    };
    let texts = [
        "\0Bearer abc".to_owned(),
        "\0Basic YWJjOmRlZg==".to_owned(),
        "\x01abc".to_owned(),
        "\x01eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.".to_owned(),
        claims(""),
        claims(",\"nbf\":1,\"logrelay\":{\"read\":[\"web.*\"],\"administer\":[]}"),
        claims(",\"logrelay\":{\"read\":\"*\"}"),
        claims("") + "\n{\"alg\":\"HS256\",\"kid\":\"1\"}",
        claims("") + "\n{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
        claims("") + "\n{\"alg\":\"none\"}",
        "\x02{\"sub\":\"x\",\"iss\":\"https://id\",\"aud\":[\"a\",\"logrelay\"],\"exp\":1}".to_owned(),
    ];
    texts.map(String::into_bytes).into()
}
