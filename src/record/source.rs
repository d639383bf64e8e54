//! The names of where lines come from.

use std::{fmt, str::FromStr, sync::Arc};

/// The name of a host or a producer: `[A-Za-z0-9._-]`, 1 to 200 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

/// `<host or producer>/<id>`: one incarnation of one file, or one producer. The
/// id is given by Redis at registration and never given twice in a topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey(Arc<str>);

/// A text that is no name of a host or a subscription, or no source key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is wrong: {rule}")]
pub struct SourceNameError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

const NAME_RULE: &str = "a name has 1 to 200 characters out of A-Z, a-z, 0-9, '.', '_' and '-'";
const KEY_RULE: &str =
    "a source key is <host or producer>/<id>, both made of A-Z, a-z, 0-9, '.', '_' and '-'";

fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The text, where it is a name; `what` says of what in the error.
pub(super) fn name(what: &'static str, text: &str) -> Result<Arc<str>, SourceNameError> {
    if is_name(text) {
        return Ok(text.into());
    }
    let text = text.chars().take(210).collect();
    Err(SourceNameError { what, text, rule: NAME_RULE })
}

impl Host {
    /// The name of a producer: what is wrong with it is said as of one.
    ///
    /// # Errors
    /// [`SourceNameError`].
    pub fn of_producer(text: &str) -> Result<Self, SourceNameError> {
        name("producer", text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = SourceNameError;

    fn from_str(text: &str) -> Result<Self, SourceNameError> {
        name("host", text).map(Self)
    }
}

impl SourceKey {
    /// The whole key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host or the producer: what stands before the slash.
    pub fn host(&self) -> &str {
        self.0.split_once('/').map_or("", |(host, _)| host)
    }
}

impl FromStr for SourceKey {
    type Err = SourceNameError;

    fn from_str(text: &str) -> Result<Self, SourceNameError> {
        match text.split_once('/') {
            Some((host, id)) if is_name(host) && is_name(id) => Ok(Self(text.into())),
            _ => {
                let text = text.chars().take(410).collect();
                Err(SourceNameError { what: "source key", text, rule: KEY_RULE })
            }
        }
    }
}

macro_rules! shows_its_text {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
shows_its_text!(Host, SourceKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_checked() {
        assert_eq!("web-1".parse::<Host>().unwrap().as_str(), "web-1");
        assert!("web 1".parse::<Host>().unwrap_err().to_string().contains("web 1"));
        assert!("".parse::<Host>().is_err());
        assert_eq!("web-1/0a".parse::<SourceKey>().unwrap().host(), "web-1");
        for wrong in ["web-1", "web-1/", "/1", "a/b/c", "a b/1"] {
            assert!(wrong.parse::<SourceKey>().is_err(), "{wrong}");
        }
    }
}
