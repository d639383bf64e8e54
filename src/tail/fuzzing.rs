//! What `fuzz/` needs of the parts inside: no part of the interface.

use std::{fs::File, io, path::Path, time::Duration};

use super::{
    discover::Found,
    packed::{End, Packed, Shelf},
};

/// What a compressed file holds.
#[derive(Debug)]
pub struct Unpacked(Packed);

impl Unpacked {
    /// The content of an open file, in the format that the ending of its name says.
    ///
    /// # Errors
    /// What the system says of the file.
    pub fn new(file: File, name: &Path) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let found = Found {
            path: name.to_owned(),
            device: 0,
            inode: 0,
            len: metadata.len(),
            modified: metadata.modified()?,
        };
        let shelf = Shelf::new(Duration::ZERO);
        Ok(Self(Packed::new(file, name, shelf.facts(&found))))
    }

    /// Reads at most `bytes.len()` bytes from `position` on; 0 where there is no more.
    ///
    /// # Errors
    /// What the system says of the file.
    pub fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(bytes, position)
    }

    /// How many bytes can be unpacked, and whether these are all.
    ///
    /// # Errors
    /// What the system says of the file.
    pub fn extent(&self) -> io::Result<(u64, bool)> {
        let extent = self.0.extent()?;
        Ok((extent.len, extent.end == End::Whole))
    }
}
