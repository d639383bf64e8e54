//! What a request shows to say who makes it, and why that is not enough.

use http::{HeaderMap, header::AUTHORIZATION};

/// Why nobody is known by what was shown. Never repeats it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error(
        "this relay needs to know who calls: send `authorization: Bearer <token>`, or a client certificate"
    )]
    NoCredentials,
    /// It is no token of this relay's.
    #[error("the token is not valid: {0}")]
    BadToken(&'static str),
    /// It was valid.
    #[error("the token has expired")]
    ExpiredToken,
    /// It will be valid (`nbf`).
    #[error("the token is not valid yet")]
    EarlyToken,
    /// The certificate is valid, and nobody's that is known.
    #[error("nothing is granted to any name of the client certificate")]
    UnknownCertificate,
}

impl Refusal {
    /// The stable reason, for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCredentials => "NO_TOKEN",
            Self::BadToken(_) => "BAD_TOKEN",
            Self::ExpiredToken => "EXPIRED_TOKEN",
            Self::EarlyToken => "EARLY_TOKEN",
            Self::UnknownCertificate => "UNKNOWN_CERTIFICATE",
        }
    }
}

/// The token in the `authorization` headers of a request; none where there are none.
///
/// # Errors
/// [`Refusal::BadToken`] where it is not exactly one, of the scheme `Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let header = match (headers.next(), headers.next()) {
        (None, _) => return Ok(None),
        (Some(header), None) => header,
        (Some(_), Some(_)) => {
            return Err(Refusal::BadToken("there is more than one header `authorization`"));
        }
    };
    let text = header.to_str().map_err(|_| Refusal::BadToken("it is not text"))?;
    match text.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Some(token.trim()))
        }
        _ => Err(Refusal::BadToken("expected is `authorization: Bearer <token>`")),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        bearer(&headers).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn a_token_is_the_one_of_the_scheme_bearer() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(read(&[b"bearer  abc "]), Ok(Some("abc".to_owned())));
        for wrong in [&b""[..], b"Bearer", b"Bearer ", b"Basic abc", b"abc", b"Bearer a\xffb"] {
            assert!(matches!(read(&[wrong]), Err(Refusal::BadToken(_))), "{wrong:?}");
        }
        assert!(matches!(read(&[b"Bearer abc", b"Bearer abc"]), Err(Refusal::BadToken(_))));
    }
}
