//! Who appends under a producer's name.

use std::{fmt, num::NonZeroU64, str::FromStr};

use super::SourceKey;

/// Names one run of a program that publishes: a random number of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance(NonZeroU64);

/// The claim of an instance on a producer's name, as Redis keeps it: the source that it
/// appends to, and until when nobody else may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The source.
    pub source: SourceKey,
    /// Who has it.
    pub instance: Instance,
    /// Until when, in unix milliseconds of the server's clock. Then another instance may
    /// have the name, and until that happens this one still has it.
    pub until_ms: u64,
}

/// A stored text that is no claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a producer's claim is not readable: {0:?}")]
pub struct ClaimError(String);

impl Instance {
    /// An instance that nobody else is, but for a chance of one in 2^64.
    pub fn random() -> Self {
        Self(NonZeroU64::MIN.saturating_add(fastrand::u64(..u64::MAX)))
    }

    /// The instance of this number; none: it is 0.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.source, self.instance, self.until_ms)
    }
}

impl FromStr for Claim {
    type Err = ClaimError;

    fn from_str(text: &str) -> Result<Self, ClaimError> {
        let read = || {
            let mut words = text.split(' ');
            let (source, instance, until_ms) = (words.next()?, words.next()?, words.next()?);
            let instance = Instance::new(u64::from_str_radix(instance, 16).ok()?)?;
            let claim = Self { source: source.parse().ok()?, instance, until_ms: until_ms.parse().ok()? };
            words.next().is_none().then_some(claim)
        };
        read().ok_or_else(|| ClaimError(text.chars().take(500).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_back_as_it_was_written() {
        for instance in [Instance::random(), Instance::new(1).unwrap(), Instance::new(u64::MAX).unwrap()] {
            let claim = Claim { source: "job/0a-1".parse().unwrap(), instance, until_ms: 1_790_000_000_000 };
            assert_eq!(claim.to_string().parse(), Ok(claim));
        }
        for wrong in ["", "job/1", "job/1 0a", "job/1 0a x", "job/1 0 5", "job/1 0a 5 6", "job 0a 5"] {
            assert!(wrong.parse::<Claim>().is_err(), "{wrong}");
        }
        assert_eq!(Instance::new(0), None);
    }
}
