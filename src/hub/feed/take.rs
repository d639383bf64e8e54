//! What a feed does with one topic: asks where it stands, reads a page of it, and puts what
//! was read into its window.

use std::time::Instant;

use super::{Followed, MAX_PROMPT_READS, PROMPT_READS};
use crate::{
    hub::{Inner, page::bytes_of, reader::LOOK_AGAIN, topic::Taken},
    record::{Offset, Timeline},
    store::{self, Item},
};

/// Asks where a topic stands. What is wrong with its keys alone is no outage.
pub(super) async fn refresh(hub: &Inner, followed: &mut Followed) -> Result<(), store::Error> {
    if followed.broken {
        return look_closely(hub, followed).await;
    }
    let answer = followed.topic.refresh(&hub.store).await;
    followed.looked(answer)
}

/// The same, and whether it can be read there.
pub(super) async fn look_closely(hub: &Inner, followed: &mut Followed) -> Result<(), store::Error> {
    let mut answer = followed.topic.refresh(&hub.store).await;
    if answer.is_ok() {
        let wanted = followed.topic.state().wanted();
        answer = hub.store.page(&followed.topic.name, wanted, 1).await.map(drop);
    }
    followed.looked(answer)
}

/// Reads a page at the window's end.
pub(super) async fn read_page(hub: &Inner, followed: &mut Followed) -> Result<(), store::Error> {
    let (wanted, count) = (followed.topic.state().wanted(), followed.count.get());
    let items = match hub.store.page(&followed.topic.name, wanted, count).await {
        Err(error) if followed.breaks(&error) => return Ok(()),
        items => items?,
    };
    followed.count.learn(items.len(), bytes_of(&items), hub.options.page_bytes);
    if items.is_empty() {
        followed.prompt_bound = (followed.prompt_bound * 2).min(MAX_PROMPT_READS);
    } else {
        followed.prompt_bound = PROMPT_READS;
    }
    if items.len() < count {
        followed.prompt_reads = 0;
    }
    let tail = followed.topic.state().timeline.as_ref().map_or(Offset::ZERO, Timeline::next);
    if items.is_empty() && tail > wanted {
        // There should be lines. Trimmed or lost since: the timeline tells.
        if !is_lost(hub, followed).await? {
            return Ok(());
        }
        let why = format!("no entry in Redis holds the lines before offset {tail}");
        return take(hub, followed, vec![Item::Bad { last: tail.minus(1), why }]).await;
    }
    take(hub, followed, items).await
}

/// Whether what was read, and does not fit, is lost: it was read between two looks at the same
/// timeline, a while after it did not fit first. If not, it is to be read again. Before that, the
/// two may come from two servers of which one is the former master.
async fn is_lost(hub: &Inner, followed: &mut Followed) -> Result<bool, store::Error> {
    let before = followed.topic.spot();
    refresh(hub, followed).await?;
    let after = followed.topic.spot();
    let can_be_lost = {
        let state = followed.topic.state();
        before == after && state.is_readable() && !state.is_absent
    };
    let since = followed.settled.filter(|&(spot, _)| can_be_lost && spot == after);
    followed.settled = since.or(can_be_lost.then(|| (after, Instant::now())));
    let Some((_, since)) = since else { return Ok(false) };
    let is_lost = since.elapsed() >= hub.ahead_wait();
    followed.rests_until = (!is_lost).then(|| Instant::now() + LOOK_AGAIN.min(hub.ahead_wait()));
    Ok(is_lost)
}

/// Puts what was read into the window, as far as it fits.
pub(super) async fn take(hub: &Inner, followed: &mut Followed, items: Vec<Item>) -> Result<(), store::Error> {
    for item in items {
        let bound_bytes = hub.options.window_bytes;
        let again = followed.settled.is_some().then(|| item.clone());
        let mut taken = followed.topic.take(item, None, bound_bytes);
        if taken == Taken::Misfit
            && is_lost(hub, followed).await?
            && let Some(item) = again
        {
            let lost_at = followed.settled.map(|(spot, _)| spot);
            taken = followed.topic.take(item, lost_at, bound_bytes);
        }
        match taken {
            Taken::Yes { lost_lines } => {
                hub.metrics.entries.inc();
                hub.metrics.lost_lines.inc_by(lost_lines);
                followed.settled = None;
                followed.fresh_at = Some(Instant::now());
            }
            Taken::Newer => {
                tracing::warn!(topic = %followed.topic.name, "an entry of a newer format: upgrade this relay");
                return Ok(());
            }
            Taken::Misfit => return Ok(()),
        }
    }
    Ok(())
}
