//! Tokens that a file names: random text, of which only the hash is kept.
//!
//! The hash is one round of SHA-256. That is enough because a token has 256 random bits: there is
//! no shorter list of likely ones to try, as there is for passwords.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
    error::Unspecified,
    rand::{SecureRandom as _, SystemRandom},
};
use subtle::{Choice, ConstantTimeEq};

/// What a token of ours begins with, so that those who scan for leaked secrets know it.
const PREFIX: &str = "logrelay_";
const RANDOM_BYTES: usize = 32;

/// The hash of a token or a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; SHA256_OUTPUT_LEN]);

impl Digest {
    /// The hash of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// A hash that is written in hexadecimal digits; none where it is not 64 of them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        if text.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |at: u8| char::from(at).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(hash))
    }
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A token that nobody has yet.
pub struct NewToken(String);

impl NewToken {
    /// A token of 256 random bits.
    ///
    /// # Errors
    /// When the system has no random bits.
    pub fn random() -> Result<Self, Unspecified> {
        let mut bytes = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The token itself, which is a secret.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Its hash as it stands in a file of rules.
    pub fn sha256(&self) -> String {
        Digest::of(self.0.as_bytes()).to_string()
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_openssl_writes_it() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), hash);
        assert_eq!(Digest::parse(hash), Some(Digest::of(b"abc")));
        assert_eq!(Digest::parse(&hash.to_uppercase()), Some(Digest::of(b"abc")));
        for wrong in [
            "",
            "ba78",
            hash.trim_start_matches('b'),
            &format!("{hash}0"),
            &hash.replace('b', "g"),
            &"é".repeat(32),
        ] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_new_token_is_another_one_each_time_and_debug_does_not_show_it() {
        let (one, other) = (NewToken::random().unwrap(), NewToken::random().unwrap());
        assert_ne!(one.secret(), other.secret());
        assert_eq!(one.secret().len(), PREFIX.len() + 43);
        assert!(!format!("{one:?}").contains(PREFIX));
    }
}
