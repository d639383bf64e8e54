//! The queue of inotify. It has no thread: whoever waits for changes reads it.

use std::{
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};

pub(super) use super::remote::remote;
use super::{Event, Extent, What};

/// How much is read at once: some two hundred events.
const READ_BYTES: usize = 16 * 1024;

/// Neither opening nor reading: to answer those would be to wake oneself for ever.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
const ALL: WatchFlags = NAMES.union(WatchFlags::MODIFY).union(WatchFlags::ATTRIB);

#[derive(Debug)]
pub(super) struct Queue(AsyncFd<OwnedFd>);

impl Queue {
    #[expect(deprecated, reason = "sound for an OwnedFd, which never changes; what replaces it is unsafe")]
    pub(super) fn open() -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self(AsyncFd::with_interest(queue, Interest::READABLE)?))
    }

    pub(super) fn add(&self, folder: &Path, extent: Extent) -> io::Result<i32> {
        let flags = match extent {
            Extent::All => ALL,
            // What is reported of it already goes on.
            Extent::Names => NAMES.union(WatchFlags::MASK_ADD),
        };
        Ok(inotify::add_watch(self.0.get_ref(), folder, flags)?)
    }

    pub(super) fn remove(&self, watch: i32) {
        // Fails when the watch has ended by itself, which is as good.
        inotify::remove_watch(self.0.get_ref(), watch).ok();
    }

    /// Waits for events, and gives those of one read to `take`.
    pub(super) async fn read(&self, mut take: impl FnMut(Event<'_>)) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|queue| Ok(read(queue.get_ref(), &mut take)?));
            match read {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }
}

fn read(queue: &OwnedFd, take: &mut impl FnMut(Event<'_>)) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); READ_BYTES];
    let mut events = Reader::new(queue, &mut buffer);
    loop {
        let event = events.next()?;
        let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
        take(Event { watch: event.wd(), name, what: what(event.events()) });
        if events.is_buffer_empty() {
            return Ok(());
        }
    }
}

fn what(events: ReadFlags) -> What {
    if events.contains(ReadFlags::QUEUE_OVERFLOW) {
        What::Everything
    } else if events.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
        What::Ended
    } else if events.contains(ReadFlags::MODIFY) {
        What::Written
    } else if events.contains(ReadFlags::ISDIR) {
        What::Folder
    } else {
        What::Entry
    }
}
