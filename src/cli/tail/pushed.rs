//! The inputs that were pushed to Redis for this host and its groups, as far as they are
//! known: what Redis has lost, or nobody here can read, goes on as it was.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tracing::{debug, warn};

use crate::{
    config::{self, Input},
    record::Host,
    store::{Error, Store, StoredInput},
};

/// How often Redis is asked.
const POLL: Duration = Duration::from_secs(2);

/// What Redis has for each owner, in their order.
type Read = Vec<Vec<StoredInput>>;

/// Pushed inputs, read again and again for as long as this lives.
#[derive(Debug)]
pub(super) struct Pushed {
    known: Known,
    reads: mpsc::Receiver<Read>,
    _reader: JoinSet<()>,
}

/// What is known of the inputs of each owner.
#[derive(Debug)]
struct Known {
    owners: Vec<Host>,
    /// By the place of their owner, and name.
    inputs: BTreeMap<(usize, String), Last>,
}

#[derive(Debug)]
struct Last {
    version: u64,
    text: Option<String>,
    /// What it meant when it could be read; none where it was removed.
    input: Option<Input>,
}

impl Pushed {
    /// Begins to read the inputs of these hosts and groups; an input of an earlier one hides
    /// those of its name of later ones.
    pub(super) fn new(store: Store, owners: Vec<Host>) -> Self {
        let (sender, reads) = mpsc::channel(1);
        let mut reader = JoinSet::new();
        reader.spawn(read(store, owners.clone(), sender));
        Self { known: Known { owners, inputs: BTreeMap::new() }, reads, _reader: reader }
    }

    /// Waits for the next answer of Redis.
    pub(super) async fn next(&mut self) {
        match self.reads.recv().await {
            Some(read) => self.known.take(read),
            None => std::future::pending().await,
        }
    }

    /// All that are known, in the order in which they count.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.known.inputs.values().filter_map(|last| last.input.as_ref())
    }
}

impl Known {
    /// Takes over what is newer than what is known. What is not there any more was lost by
    /// Redis, as one that is removed stays there and says so.
    fn take(&mut self, read: Read) {
        for (owner, stored) in read.into_iter().enumerate() {
            for StoredInput { name, version, text } in stored {
                let key = (owner, name);
                let last = self.inputs.get(&key);
                let is_news = last.is_none_or(|last| version >= last.version && text != last.text);
                if is_news {
                    let before = last.and_then(|last| last.input.clone());
                    let input = meaning(self.owners[owner].as_str(), &key.1, text.as_deref(), before);
                    self.inputs.insert(key, Last { version, text, input });
                }
            }
        }
    }
}

fn meaning(owner: &str, name: &str, text: Option<&str>, before: Option<Input>) -> Option<Input> {
    match config::input_from_redis(owner, name, text?) {
        Ok(input) => Some(input),
        Err(error) => {
            let goes_on = before.is_some();
            warn!(%error, goes_on, "an input in redis cannot be read by this version");
            before
        }
    }
}

/// Reads at once, on every new connection, and now and then.
async fn read(store: Store, owners: Vec<Host>, reads: mpsc::Sender<Read>) {
    let mut connections = store.connections();
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_refused = false;
    loop {
        tokio::select! {
            _ = poll.tick() => {}
            Ok(()) = connections.changed() => {}
        }
        match read_once(&store, &owners).await {
            Ok(read) => {
                is_refused = false;
                if reads.send(read).await.is_err() {
                    return;
                }
            }
            Err(error) if error.needs_an_operator() && !is_refused => {
                warn!(%error, "the inputs in redis cannot be read, and stay as they are");
                is_refused = true;
            }
            // Whoever appends says that Redis is away.
            Err(error) => debug!(%error, "the inputs in redis cannot be read now"),
        }
    }
}

async fn read_once(store: &Store, owners: &[Host]) -> Result<Read, Error> {
    let mut read = Vec::new();
    for owner in owners {
        read.push(store.inputs(owner.as_str()).await?);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known { owners: vec!["web-1".parse().unwrap(), "web".parse().unwrap()], inputs: BTreeMap::new() }
    }

    fn stored(version: u64, text: Option<&str>) -> StoredInput {
        StoredInput { name: "a".to_owned(), version, text: text.map(str::to_owned) }
    }

    fn text(path: &str) -> String {
        format!("[[inputs]]\nname = 'a'\npaths = ['{path}']\n")
    }

    fn paths(known: &Known) -> Vec<String> {
        let inputs = known.inputs.values().filter_map(|last| last.input.as_ref());
        inputs.map(|input| input.keys.paths.as_ref().unwrap()[0].as_str().to_owned()).collect()
    }

    #[test]
    fn the_latest_version_counts_and_what_redis_has_lost_goes_on() {
        let mut known = known();
        known.take(vec![vec![stored(5, Some(&text("/1")))], vec![stored(1, Some(&text("/2")))]]);
        assert_eq!(paths(&known), ["/1", "/2"]);
        known.take(vec![vec![], vec![]]);
        assert_eq!(paths(&known), ["/1", "/2"], "it was wiped");
        known.take(vec![vec![stored(4, Some(&text("/0")))], vec![]]);
        assert_eq!(paths(&known), ["/1", "/2"], "it forgot the last push");
        known.take(vec![vec![stored(6, None)], vec![stored(7, Some(&text("/3")))]]);
        assert_eq!(paths(&known), ["/3"]);
        known.take(vec![vec![stored(5, Some(&text("/1")))], vec![]]);
        assert_eq!(paths(&known), ["/3"], "it forgot the removal");
    }

    #[test]
    fn one_that_cannot_be_read_leaves_the_last_one_that_could() {
        let mut known = known();
        known.take(vec![vec![stored(1, Some("[[inputs]]\nname = 'a'\nof_tomorrow = 1\n"))], vec![]]);
        assert_eq!(paths(&known), [""; 0]);
        known.take(vec![vec![stored(2, Some(&text("/1")))], vec![]]);
        known.take(vec![vec![stored(3, Some(&text("/1").replace("'a'", "'b'")))], vec![]]);
        assert_eq!(paths(&known), ["/1"]);
    }
}
