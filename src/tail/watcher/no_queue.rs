//! Where the system is not Linux, nothing is watched: everything is polled.

use std::{io, path::Path};

use super::{Event, Extent};

/// Nobody asks.
pub(super) fn remote(_folder: &Path) -> Option<&'static str> {
    None
}

#[derive(Debug)]
pub(super) enum Queue {}

impl Queue {
    pub(super) fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn add(&self, _folder: &Path, _extent: Extent) -> io::Result<i32> {
        match *self {}
    }

    pub(super) fn remove(&self, _watch: i32) {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "it is one where there is a queue")]
    pub(super) async fn read(&self, _take: impl FnMut(Event<'_>)) -> io::Result<()> {
        match *self {}
    }
}
