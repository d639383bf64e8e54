//! The number of a line in its topic.

use std::fmt;

/// A line's number in its topic: 0, 1, 2, … with no holes.
///
/// At most [`MAX_OFFSET`]: Redis counts offsets in Lua numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(u64);

/// The greatest offset: 2^53 - 1, the last whole number that a double (and so
/// a Lua script) tells from its neighbours.
pub const MAX_OFFSET: u64 = (1 << 53) - 1;

/// A number that is too large for an offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("offset {0} is too large: an offset is a whole number from 0 to {MAX_OFFSET}")]
pub struct OffsetError(pub u64);

impl Offset {
    /// The first line of a topic.
    pub const ZERO: Self = Self(0);

    /// The offset of this number.
    ///
    /// # Errors
    /// [`OffsetError`] above [`MAX_OFFSET`].
    pub fn new(number: u64) -> Result<Self, OffsetError> {
        if number > MAX_OFFSET { Err(OffsetError(number)) } else { Ok(Self(number)) }
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The offset `lines` later; stays at [`MAX_OFFSET`], which no topic reaches
    /// (a million lines a second would need 285 years).
    #[must_use]
    pub fn plus(self, lines: u64) -> Self {
        Self(self.0.saturating_add(lines).min(MAX_OFFSET))
    }

    /// The offset `lines` earlier, or zero.
    #[must_use]
    pub fn minus(self, lines: u64) -> Self {
        Self(self.0.saturating_sub(lines))
    }

    /// How many lines lie from `earlier` up to here; zero when it is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
