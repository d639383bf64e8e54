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

/// By what a file is known again: its content; all else are hints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Device number of the file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// When that was given to a file, in unix nanoseconds: it is given again when the file is
    /// deleted. None: the file system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ns: Option<u64>,
    /// When the file was changed last before it was read last, in unix seconds; none where that
    /// is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_s: Option<u64>,
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

    /// Whether a file with this device and inode, created then, has not got the inode of one
    /// that was deleted; true where that is not known.
    pub fn is_of(&self, file: (u64, u64), created_ns: Option<u64>) -> bool {
        let is_given_again = self.created_ns.zip(created_ns).is_some_and(|(then, now)| then != now);
        self.file() == file && !is_given_again
    }
}
