//! What a reader asks Redis for itself: a page, or where its topic stands.
//!
//! Commands run as tasks of the hub. A reader that nobody polls, because its caller
//! does not take what it has, must not hold a connection, nor the turn of others; and
//! one that is dropped must not cut off a command in the middle.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle, time::sleep};

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
        let room = hub.pages.reserve().await;
        let begun = begin(&hub, &topic, offset, count, room);
        Some(finish(hub, topic, offset, count, begun).await)
    })
}

/// The same for a page that is wanted next: it is read while the one before is taken. None where
/// there is not plenty of room.
pub(super) fn page_ahead(
    hub: &Arc<Inner>,
    topic: &Arc<HotTopic>,
    offset: Offset,
    count: usize,
) -> Option<Fetch> {
    let room = hub.pages.spare()?;
    let begun = begin(hub, topic, offset, count, Some(room));
    let (hub, topic) = (Arc::clone(hub), Arc::clone(topic));
    Some(Box::pin(async move { Some(finish(hub, topic, offset, count, begun).await) }))
}

/// One try.
type Begun = JoinHandle<Result<Page, store::Error>>;

fn begin(
    hub: &Arc<Inner>,
    topic: &HotTopic,
    offset: Offset,
    count: usize,
    room: Option<OwnedSemaphorePermit>,
) -> Begun {
    let (task_hub, name) = (Arc::clone(hub), topic.name.clone());
    hub.errands.spawn(async move {
        let items = task_hub.store.page(&name, offset, count).await?;
        task_hub.metrics.pages.inc();
        task_hub.metrics.page_bytes.inc_by(bytes_of(&items) as u64);
        Ok(Page { was_empty: items.is_empty(), items: items.into(), _room: room })
    })
}

async fn finish(
    hub: Arc<Inner>,
    topic: Arc<HotTopic>,
    offset: Offset,
    count: usize,
    mut begun: Begun,
) -> Page {
    let mut backoff = backoff();
    loop {
        match begun.await {
            Ok(Ok(page)) => return page,
            Ok(Err(error)) => tracing::debug!(topic = %topic.name, %error, "a page could not be read"),
            Err(error) => tracing::debug!(topic = %topic.name, %error, "a page's task died"),
        }
        sleep(backoff.next_delay()).await;
        let room = hub.pages.reserve().await;
        begun = begin(&hub, &topic, offset, count, room);
    }
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
