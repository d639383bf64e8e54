//! What nodes of a cluster answer about slots: they have moved, move, or nobody has them.

use super::Bed;
use crate::{
    support::{cluster::Cluster, eventually},
    tailing::Tailing,
};

/// A bed over two masters.
struct Slots {
    cluster: Cluster,
    bed: Bed,
    /// The slot of its topic, the master that has it, and the other one.
    slot: u16,
    at: usize,
    other: usize,
}

impl Slots {
    async fn start() -> Self {
        let cluster = Cluster::small().await;
        let tailing = Tailing::prepare(&cluster.nodes[0], "*.log", |options| options);
        let tailing = tailing.everything_over(cluster.connect());
        let bed = Bed::of(tailing, cluster.connect(), |_, _| ()).await;
        let topic = bed.tailing.topic();
        let (slot, at) = (cluster.slot(topic).await, cluster.master_of(topic).await);
        Self { cluster, bed, slot, at, other: 1 - at }
    }

    /// How often the master that had the slot has said this.
    async fn answers(&self, code: &str) -> u64 {
        self.cluster.nodes[self.at].control().await.errors(code).await
    }

    async fn until_answered(&self, code: &str) {
        let before = self.answers(code).await;
        eventually(code, async || self.answers(code).await > before).await;
    }

    async fn begin_to_move(&self) {
        self.cluster.begin_to_move(self.slot, self.at, self.other).await;
    }

    async fn move_key(&self, name: &str) {
        self.cluster.move_key(&self.bed.key(name), self.at, self.other).await;
    }

    async fn has_moved(&self) {
        self.cluster.has_moved(self.slot, self.at, self.other).await;
    }
}

#[tokio::test]
async fn a_slot_that_has_moved_is_followed_at_once() {
    let slots = Slots::start().await;
    let before = slots.answers("MOVED").await;
    slots.cluster.migrate(slots.bed.tailing.topic(), slots.at, slots.other, std::time::Duration::ZERO).await;
    slots.bed.lines_come().await;
    assert!(slots.answers("MOVED").await > before);
    slots.bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn keys_that_have_moved_before_their_slot_are_asked_for_where_they_are() {
    let slots = Slots::start().await;
    slots.begin_to_move().await;
    slots.move_key("lines").await;
    slots.move_key("state").await;
    slots.until_answered("ASK").await;
    // As long as it takes.
    for _ in 0..3 {
        slots.bed.goes_on().await;
    }
    slots.has_moved().await;
    slots.bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_topic_of_which_half_has_moved_is_waited_for() {
    let slots = Slots::start().await;
    slots.begin_to_move().await;
    slots.move_key("lines").await;
    slots.until_answered("TRYAGAIN").await;
    slots.bed.tailer_hears("TRYAGAIN").await;
    slots.bed.reader_waits().await;
    slots.move_key("state").await;
    slots.has_moved().await;
    slots.bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_slot_that_nobody_has_is_waited_for() {
    let slots = Slots::start().await;
    let mut control = slots.cluster.nodes[slots.at].control().await;
    control.run::<()>(&format!("CLUSTER DELSLOTS {}", slots.slot)).await;
    slots.until_answered("CLUSTERDOWN").await;
    slots.bed.tailer_hears("CLUSTERDOWN").await;
    slots.bed.reader_waits().await;
    control.run::<()>(&format!("CLUSTER ADDSLOTS {}", slots.slot)).await;
    slots.bed.ends_as_if_nothing_happened().await;
}
