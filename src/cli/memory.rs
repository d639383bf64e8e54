//! How the memory of large blocks is kept. Not here: how much there may be of it, which every part
//! bounds for itself.

use std::hint::black_box;

/// Blocks up to this size stay with the process when they are given back, in bytes: a few batches.
const KEPT_BYTES: usize = 1024 * 1024;

/// Lets the allocator of glibc keep what batches take: it goes by the largest block that it was ever
/// given back (mallopt(3), `M_MMAP_THRESHOLD`). Else the pages of every batch that is unpacked go back to
/// the system, and come again by a fault each: a fifth of a relay's processor time. Other allocators
/// do not mind.
pub(super) fn keep_large_blocks() {
    drop(black_box(Vec::<u8>::with_capacity(black_box(KEPT_BYTES))));
}
