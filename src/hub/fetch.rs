//! What a reader asks Redis for itself: a page, or where its topic stands.
//!
//! Commands run as tasks of the hub. A reader that nobody polls, because its caller
//! does not take what it has, must not hold a connection, nor the turn of others; and
//! one that is dropped must not cut off a command in the middle.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    Inner,
    page::{Page, bytes_of},
    topic::HotTopic,
};
use crate::{record::Offset, retry::Backoff, store};

/// The answer to come: a page, or none where only the timeline was looked up.
pub(super) type Fetch = Pin<Box<dyn Future<Output = Option<Page>> + Send>>;

/// The delays between tries while Redis is away.
fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(2))
}

/// Reads a page from `offset` on; tries for as long as Redis is away.
pub(super) fn page(hub: &Arc<Inner>, topic: &Arc<HotTopic>, offset: Offset, count: usize) -> Fetch {
    let (hub, topic) = (Arc::clone(hub), Arc::clone(topic));
    Box::pin(async move {
        let mut backoff = backoff();
        loop {
            let room = hub.pages.reserve().await;
            let (task_hub, name) = (Arc::clone(&hub), topic.name.clone());
            let read = hub.errands.spawn(async move {
                let items = task_hub.store.page(&name, offset, count).await;
                items.map(|items| (VecDeque::from(items), room))
            });
            match read.await {
                Ok(Ok((mut items, room))) => {
                    hub.metrics.pages.inc();
                    hub.metrics.page_bytes.inc_by(bytes_of(items.make_contiguous()) as u64);
                    return Some(Page { was_empty: items.is_empty(), items, _room: room });
                }
                Ok(Err(error)) => tracing::debug!(topic = %topic.name, %error, "a page could not be read"),
                Err(error) => tracing::debug!(topic = %topic.name, %error, "a page's task died"),
            }
            sleep(backoff.next_delay()).await;
        }
    })
}

/// Looks up the timeline after a while; tries for as long as Redis is away.
pub(super) fn timeline(hub: &Arc<Inner>, topic: &Arc<HotTopic>, after: Duration) -> Fetch {
    let (hub, topic) = (Arc::clone(hub), Arc::clone(topic));
    Box::pin(async move {
        sleep(after).await;
        let mut backoff = backoff();
        while let Err(error) = refresh(&hub, &topic).await {
            tracing::debug!(topic = %topic.name, %error, "a topic could not be resolved");
            sleep(backoff.next_delay()).await;
        }
        None
    })
}

/// Asks Redis where a topic stands.
pub(super) async fn refresh(hub: &Arc<Inner>, topic: &Arc<HotTopic>) -> Result<(), store::Error> {
    let (hub, topic) = (Arc::clone(hub), Arc::clone(topic));
    let store = hub.store.clone();
    let asked = hub.errands.spawn(async move { topic.refresh(&store).await }).await;
    asked.unwrap_or_else(|died| {
        Err(store::Error::Unreachable { at: hub.store.address().to_owned(), why: died.to_string() })
    })
}
