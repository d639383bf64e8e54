//! Reads what needs no waiting: no disk, no network.

use std::fs::File;

/// Reads from `position` on what the system has in memory; returns how many bytes, 0 at the end
/// of the file. None where it has nothing, or cannot say: network file systems are such.
#[cfg(target_os = "linux")]
pub(super) fn read_at(file: &File, bytes: &mut [u8], position: u64) -> Option<usize> {
    use std::io::IoSliceMut;

    use rustix::io::{ReadWriteFlags, preadv2};

    preadv2(file, &mut [IoSliceMut::new(bytes)], position, ReadWriteFlags::NOWAIT).ok()
}

/// There is no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn read_at(_: &File, _: &mut [u8], _: u64) -> Option<usize> {
    None
}
