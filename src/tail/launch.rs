//! Begins to follow a file: registers it where it is new, and takes it up where Redis
//! has it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tracing::info;

use super::{
    Input, StartAt,
    control::{Control, Fate},
    discover::{FileId, displayed, id_of},
    identity::Surroundings,
    lineage::{Launch, Origin},
    reader::{Reader, off_the_runtime},
    source::{Context, Source},
};
use crate::{
    publish::{Registered, Standing},
    record::{Details, Host, SourceKey, Topic},
};

/// A file that is followed.
#[derive(Debug)]
pub(super) struct Live {
    /// The path whose past it is part of.
    pub(super) path: PathBuf,
    /// Where it is now.
    pub(super) place: PathBuf,
    pub(super) modified: SystemTime,
    pub(super) reader: Reader,
    pub(super) control: Arc<Control>,
    pub(super) standing: Arc<Standing>,
}

/// What came of a launch.
pub(super) enum Started {
    Source(FileId, Box<Source>, Live),
    /// The content is not that of the source any more, or another tailer has registered the file
    /// as this source; the path of which it was.
    Changed(PathBuf, Arc<Standing>),
    /// The topic cannot be used now.
    Later(PathBuf),
    Unreadable(PathBuf, io::Error),
}

impl Launch {
    /// Makes the source ready to run. A new one begins as `start` says, and is none of the sources
    /// that `is_ours` knows.
    pub(super) async fn start(
        self,
        context: &Context,
        topic: &Topic,
        host: &Host,
        input: &Input,
        start: StartAt,
        is_ours: impl Fn(&SourceKey) -> bool,
    ) -> Started {
        let Self { found, reader, path, origin } = self;
        let is_resumed = matches!(origin, Origin::Known(..));
        let first = match origin {
            Origin::Known(key, record) => Ok(context.publisher.stand(topic, key, record)),
            Origin::New => Err(first_details(&reader, &path, found.len, start).await),
            Origin::Copied => Err(details_of_copy(&reader, &path).await),
        };
        let standing = match first {
            Ok(standing) => standing,
            Err(Ok(details)) => match register(context, topic, host, &details, is_ours).await {
                Some(Registered::New(standing)) => standing,
                Some(Registered::Taken(standing)) => return Started::Changed(path, standing),
                None => return Started::Later(path),
            },
            Err(Err(error)) => return Started::Unreadable(found.path, error),
        };
        let in_place = found.path == path;
        let control = Arc::new(Control::new(if in_place { Fate::InPlace } else { Fate::Moved }));
        let source = Source::open(
            context.clone(),
            found.path.clone(),
            reader.clone(),
            Arc::clone(&standing),
            Arc::clone(&control),
            input,
        );
        match source.await {
            Ok(Some(source)) => {
                let position = standing.confirmed().position;
                let (place, key, input) = (displayed(&found.path), standing.key(), input.name.as_deref());
                info!(path = place, input, %topic, source = %key, position, is_resumed, "following");
                let (id, modified, place) = (id_of(&found), found.modified, found.path);
                let live = Live { path, place, modified, reader, control, standing };
                Started::Source(id, Box::new(source), live)
            }
            Ok(None) => Started::Changed(path, standing),
            Err(error) => Started::Unreadable(found.path, error),
        }
    }
}

/// Registers a file. Redis may have it as a source that is known to be something else by now, such
/// as the copy of what was in it before it was emptied.
async fn register(
    context: &Context,
    topic: &Topic,
    host: &Host,
    details: &Details,
    is_ours: impl Fn(&SourceKey) -> bool,
) -> Option<Registered> {
    let mut is_not = Vec::new();
    loop {
        match context.publisher.register(topic, host, details.clone(), &is_not).await {
            Some(Registered::Taken(standing)) if is_ours(standing.key()) => {
                is_not.push(standing.key().clone());
            }
            registered => return registered,
        }
    }
}

/// The record of a file that was never seen, which had `len` bytes when it was found.
async fn first_details(reader: &Reader, path: &Path, len: u64, start: StartAt) -> io::Result<Details> {
    let looked_at = reader.clone();
    let start = off_the_runtime(move || match start {
        StartAt::Beginning => Ok(0),
        StartAt::End => last_line_end(&looked_at, len),
    });
    details_at(reader, path, start.await?).await
}

/// The record of a complete copy, all of which was read from the original.
async fn details_of_copy(reader: &Reader, path: &Path) -> io::Result<Details> {
    let looked_at = reader.clone();
    let len = off_the_runtime(move || looked_at.len()).await?;
    details_at(reader, path, len).await
}

async fn details_at(reader: &Reader, path: &Path, start: u64) -> io::Result<Details> {
    let looked_at = reader.clone();
    let look = move || Ok((Surroundings::read(&looked_at, start)?, looked_at.len()?));
    let (around, len) = off_the_runtime(look).await?;
    let identity = around.identity(reader);
    Ok(Details { start, path: displayed(path), identity, size: Some(len), ..Details::default() })
}

/// Where the last complete line of a file ends, looked for before `len`. Blocks.
fn last_line_end(file: &Reader, len: u64) -> io::Result<u64> {
    let mut end = len;
    let mut block = vec![0; 64 * 1024];
    while end > 0 {
        let size = usize::try_from(end).unwrap_or(usize::MAX).min(block.len());
        file.read_exact_at(&mut block[..size], end - size as u64)?;
        if let Some(newline) = memchr::memrchr(b'\n', &block[..size]) {
            return Ok(end - (size - newline - 1) as u64);
        }
        end -= size as u64;
    }
    Ok(0)
}
