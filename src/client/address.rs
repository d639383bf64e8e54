//! Where a relay is.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use http::{Uri, uri::Scheme};

use super::Credentials;

/// The address of a relay: `https://HOST:PORT`, `http://HOST:PORT`, or `HOST:PORT` for short; a
/// link-local one with its interface, `[fe80::1%eth0]:PORT`. With it goes what is shown to the
/// relay. Cheap to clone.
#[derive(Clone)]
pub struct RelayAddress {
    parts: Arc<Parts>,
    credentials: Arc<Credentials>,
}

/// By where it is; what is shown there makes no difference.
impl PartialEq for RelayAddress {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for RelayAddress {}

#[derive(PartialEq, Eq)]
struct Parts {
    /// Without an interface, of which URLs know nothing.
    uri: Uri,
    /// What is looked up: a name or an address, with its interface, without brackets.
    host: String,
}

/// Why a text is no address of a relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL with a host.
    #[error("relay {text:?} is not of the form http://HOST:PORT: {why}")]
    Form {
        /// The text as it was given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Its scheme is another one.
    #[error("relay {text:?}: the scheme {scheme:?} is not supported, only http and https")]
    Scheme {
        /// The text as it was given.
        text: String,
        /// Its scheme.
        scheme: String,
    },
}

/// Of HTTP and HTTPS.
const DEFAULT_PORT: u16 = 80;
const DEFAULT_TLS_PORT: u16 = 443;

impl RelayAddress {
    /// The same relay, to which this is shown.
    #[must_use]
    pub fn with(self, credentials: Arc<Credentials>) -> Self {
        Self { credentials, ..self }
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The name or address to look up.
    pub(super) fn host(&self) -> &str {
        &self.parts.host
    }

    pub(super) fn port(&self) -> u16 {
        let default = if self.is_encrypted() { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        self.uri().port_u16().unwrap_or(default)
    }

    /// Whether it speaks TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.uri().scheme() == Some(&Scheme::HTTPS)
    }

    /// Whether it is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let address = self.host().parse::<IpAddr>();
        self.host().eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

impl FromStr for RelayAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = |why: &dyn fmt::Display| AddressError::Form { text: shown(text), why: why.to_string() };
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let (full, interface) = without_interface(full);
        let uri: Uri = full.parse().map_err(|error: http::uri::InvalidUri| form(&error))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            scheme => {
                let scheme = scheme.unwrap_or_default().to_owned();
                return Err(AddressError::Scheme { text: shown(text), scheme });
            }
        }
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err(form(&"a user or a password has no place in it"));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(form(&"it has no host"));
        }
        let host = host.to_owned() + &interface;
        // A port that is there but no number makes `port` none.
        let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        if after_host.contains(':') && uri.port_u16().is_none_or(|port| port == 0) {
            return Err(form(&"the port is not a number from 1 to 65535"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(form(&"a path has no place in it"));
        }
        Ok(Self { parts: Arc::new(Parts { uri, host }), credentials: Arc::default() })
    }
}

/// A URL without the interface of its address, and that interface with its `%` (in URLs `%25`).
fn without_interface(url: String) -> (String, String) {
    let parts = url.split_once('%').and_then(|(before, rest)| {
        let (interface, after) = rest.split_once(']')?;
        before.contains('[').then_some((before, interface, after))
    });
    let Some((before, interface, after)) = parts else { return (url, String::new()) };
    let interface = interface.strip_prefix("25").filter(|name| !name.is_empty()).unwrap_or(interface);
    (format!("{before}]{after}"), format!("%{interface}"))
}

/// The text without what may be a password.
fn shown(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let text = match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("…@{host}"),
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => text.to_owned(),
    };
    text.chars().take(200).collect()
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri().scheme_str().unwrap_or_default();
        let authority = self.uri().authority().map_or("", |authority| authority.as_str());
        let interface = self.host().find('%').and_then(|at| self.host().get(at..));
        match (interface, authority.split_once(']')) {
            (Some(interface), Some((address, port))) => write!(f, "{scheme}://{address}{interface}]{port}"),
            _ => write!(f, "{scheme}://{authority}"),
        }
    }
}

impl fmt::Debug for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_and_without_a_scheme() {
        for (text, expected) in [
            ("http://127.0.0.1:7171", "http://127.0.0.1:7171"),
            ("http://relay/", "http://relay"),
            ("https://relay", "https://relay"),
            ("relay:7171", "http://relay:7171"),
            ("[::1]:7171", "http://[::1]:7171"),
            ("[fe80::1%eth0]:7171", "http://[fe80::1%eth0]:7171"),
            ("http://[fe80::1%25eth0]:7171", "http://[fe80::1%eth0]:7171"),
        ] {
            assert_eq!(text.parse::<RelayAddress>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_looked_up_has_no_brackets_and_keeps_its_interface() {
        for (text, host, port) in [
            ("relay", "relay", 80),
            ("https://relay", "relay", 443),
            ("[::1]:7171", "::1", 7171),
            ("[fe80::1%25eth0]:7171", "fe80::1%eth0", 7171),
            ("[fe80::1%2]:7171", "fe80::1%2", 7171),
        ] {
            let address: RelayAddress = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_a_password_is_not_repeated() {
        let error = |text: &str| text.parse::<RelayAddress>().unwrap_err().to_string();
        assert!(error("ftp://relay:1").contains("\"ftp\" is not supported"));
        assert!(error("http://relay:99999").contains("port"));
        assert!(error("http://relay:0").contains("port"));
        assert!(error("http://relay:1/path").contains("path"));
        assert!(error("").contains("http://HOST:PORT"));
        let secret = error("http://user:hunter2@relay:1");
        assert!(secret.contains("password") && !secret.contains("hunter2"), "{secret}");
    }
}
