//! One timeline of a topic.

use std::{fmt, str::FromStr};

/// One timeline of a topic: 16 hex digits, of which 11 are the server's unix
/// milliseconds when it began (always later than the one before) and 5 come
/// from its replication id. Later epochs compare greater.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u64);

/// A text that is no epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("epoch {0:?} is not 16 hex digits (0-9, a-f)")]
pub struct EpochError(pub String);

impl Epoch {
    /// How many characters an epoch has.
    pub const LEN: usize = 16;

    /// The epoch of this number, as [`Epoch::get`] gave it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The epoch as one number, in which the milliseconds weigh most.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// When it began, in unix milliseconds of the server's clock.
    pub const fn began_ms(self) -> u64 {
        self.0 >> 20
    }
}

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, EpochError> {
        let legal =
            text.len() == Self::LEN && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match u64::from_str_radix(text, 16) {
            Ok(number) if legal => Ok(Self(number)),
            _ => Err(EpochError(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
