//! Lines of standard input: read once, with nothing to go back to.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{LineOptions, framing::Framer};
use crate::{
    proto,
    publish::{Group, Outcome, Publisher, Registered, Standing},
    record::{Details, Host, Record, Token, Topic},
};

/// How many bytes are read at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// How long a topic that cannot be used is left alone.
const TOPIC_RETRY: Duration = Duration::from_secs(1);
/// How long an end waits for Redis when all lines are stored.
const MARK_GONE: Duration = Duration::from_secs(5);

/// Appends the lines of `input` to a topic until its end or until `shutdown`; what was
/// read is confirmed when this returns, also an unfinished line. The source has the path `-`.
///
/// What Redis forgets in a failover cannot be read again: it is said and counted in
/// the line numbers, which go on.
///
/// # Errors
/// When `input` cannot be read.
pub async fn publish_stdin(
    publisher: &Publisher,
    topic: &Topic,
    host: &Host,
    options: &LineOptions,
    mut input: impl AsyncRead + Unpin,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let details = Details { path: "-".to_owned(), ..Details::default() };
    let standing = loop {
        // All may be read before an audit would say that there is such a topic.
        publisher.announce(topic).await;
        // What is no file, nobody else can have.
        if let Some(Registered::New(standing)) = publisher.register(topic, host, details.clone(), &[]).await {
            break standing;
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = sleep(TOPIC_RETRY) => {}
        }
    };
    let message = proto::Source {
        key: standing.key().to_string(),
        host: host.to_string(),
        path: "-".to_owned(),
        ..Default::default()
    };
    let mut framer = Framer::new(options, 0, &[]);
    let mut group = Group::new(publisher.options(), &message, 0, 0);
    let mut block = vec![0; BLOCK_BYTES];
    let mut result = Ok(());
    loop {
        let deadline = framer.deadline();
        let count = tokio::select! {
            read = input.read(&mut block) => match read {
                Ok(count) => Some(count),
                Err(error) => {
                    result = Err(error);
                    Some(0)
                }
            },
            () = wait_until(deadline) => None,
            () = shutdown.cancelled() => Some(0),
        };
        let now = Instant::now().into_std();
        match count {
            // At the end of a stream the last line needs no newline.
            Some(0) => framer.finish(),
            Some(count) => framer.extend(&block[..count], now),
            None => framer.expire(now),
        }
        while let Some(line) = framer.next_line() {
            group.push(&line);
            if group.is_full() && !framer.is_within_unit() {
                append(publisher, &standing, &mut group, framer.position()).await;
            }
        }
        append(publisher, &standing, &mut group, framer.position()).await;
        if framer.take_malformed().is_some() {
            warn!("a line of standard input is not of its format: such lines are published as they are");
        }
        if count == Some(0) {
            mark_gone(publisher, &standing).await;
            return result;
        }
    }
}

/// Nothing can come of this source any more, so that its record may expire.
async fn mark_gone(publisher: &Publisher, standing: &Standing) {
    let marked = async {
        let gone = || standing.confirmed().gone();
        while let Outcome::Elsewhere(stored) = publisher.append(standing, gone(), None).await {
            standing.confirm(stored);
        }
    };
    if timeout(MARK_GONE, marked).await.is_err() {
        debug!(source = %standing.key(), "redis is away: the source is not marked as gone, and is kept");
    }
}

async fn wait_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => sleep_until(Instant::from_std(deadline)).await,
        None => std::future::pending().await,
    }
}

async fn append(publisher: &Publisher, standing: &Standing, group: &mut Group, position: u64) {
    let Some((batch, _)) = group.seal(position) else { return };
    loop {
        let last = standing.confirmed().details;
        let details = Details { next_line: batch.next_line, ..last };
        let record = Record { token: Token::random(), position, details };
        match publisher.append(standing, record, Some(publisher.pack(batch.clone()))).await {
            Outcome::Stored => return,
            // Nothing is before it.
            Outcome::Early => {}
            Outcome::Elsewhere(stored) => {
                let (from_line, to_line) = (stored.details.next_line, standing.confirmed().details.next_line);
                warn!(from_line, to_line, "redis lost lines of standard input, which cannot be read again");
                standing.confirm(stored);
            }
            Outcome::Forgotten => {
                let to_line = standing.confirmed().details.next_line;
                warn!(
                    from_line = 0,
                    to_line, "redis lost lines of standard input, which cannot be read again"
                );
                let details = Details { path: "-".to_owned(), ..Details::default() };
                let first = Record { token: Token::random(), position: 0, details };
                publisher.register_again(standing, first).await;
            }
        }
    }
}
