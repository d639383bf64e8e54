//! Lines of standard input: read once, with nothing to go back to.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::lines::Lines;
use crate::{
    proto,
    publish::{Group, Outcome, Publisher, Standing},
    record::{Details, Host, Record, Token, Topic},
};

/// How many bytes are read at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// How long a topic that cannot be used is left alone.
const TOPIC_RETRY: Duration = Duration::from_secs(1);

/// Appends the lines of `input` to a topic until its end or until `shutdown`; what was
/// read is confirmed when this returns. The source has the path `-`.
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
    max_line_bytes: usize,
    mut input: impl AsyncRead + Unpin,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let details = Details { path: "-".to_owned(), ..Details::default() };
    let standing = loop {
        if let Some(standing) = publisher.register(topic, host, details.clone()).await {
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
    let mut lines = Lines::new(0, max_line_bytes);
    let mut group = Group::new(publisher.options(), &message, 0, 0);
    let mut block = vec![0; BLOCK_BYTES];
    let mut result = Ok(());
    loop {
        let count = tokio::select! {
            read = input.read(&mut block) => match read {
                Ok(count) => count,
                Err(error) => {
                    result = Err(error);
                    0
                }
            },
            () = shutdown.cancelled() => 0,
        };
        lines.extend(&block[..count]);
        loop {
            // At the end of a stream the last line needs no newline.
            let line = if count == 0 { lines.finish() } else { lines.next_line() };
            let Some(line) = line else { break };
            group.push(line.content, line.truncated_bytes);
            if group.is_full() {
                append(publisher, &standing, &mut group, lines.position()).await;
            }
        }
        append(publisher, &standing, &mut group, lines.position()).await;
        if count == 0 {
            return result;
        }
    }
}

async fn append(publisher: &Publisher, standing: &Standing, group: &mut Group, position: u64) {
    let Some((batch, _)) = group.seal(position) else { return };
    loop {
        let last = standing.confirmed().details;
        let details = Details { next_line: batch.next_line, ..last };
        let record = Record { token: Token::random(), position, details };
        match publisher.append(standing, record, Some(batch.clone())).await {
            Outcome::Stored => return,
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
