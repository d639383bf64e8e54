//! By what a file is known again, whatever its name is.

use serde::{Deserialize, Serialize};

/// A hash over some bytes, and over how many (XXH3, 128 bits).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PrintHash {
    /// Number of bytes.
    pub len: u32,
    /// Their hash; zero for no bytes.
    pub hash: u128,
}

impl PrintHash {
    /// The hash of these bytes (at most a few kilobytes are ever given).
    pub fn of(bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let hash = if bytes.is_empty() { 0 } else { xxhash_rust::xxh3::xxh3_128(bytes) };
        Self { len, hash }
    }
}

impl Serialize for PrintHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{:032x}", self.len, self.hash))
    }
}

impl<'de> Deserialize<'de> for PrintHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.split_once(':').and_then(|(len, hash)| {
            Some(Self { len: len.parse().ok()?, hash: u128::from_str_radix(hash, 16).ok()? })
        });
        parsed.ok_or_else(|| serde::de::Error::custom("a hash is written <bytes>:<32 hex digits>"))
    }
}

/// By what a file is known again: its content; device and inode are hints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Device number of the file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// The first bytes, up to 1024 and never past the position.
    pub head: PrintHash,
    /// The last bytes before the position, up to 1024.
    pub tail: PrintHash,
}

impl Identity {
    /// Device and inode.
    pub fn file(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}
