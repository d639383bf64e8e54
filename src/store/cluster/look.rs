//! Asks the nodes who holds what: when somebody could not be reached, and now and then.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{Value, aio::MultiplexedConnection};
use tokio::time::{sleep, timeout};

use super::{
    nodes::Nodes,
    slots::{self, Held},
};
use crate::store::{connect::Connector, error::Error};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Least time between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Time between two looks that nobody asks for.
const INTERVAL: Duration = Duration::from_secs(5);
/// Most nodes that one look asks.
const MOST_ASKED: usize = 12;

/// Looks for as long as the cluster is used.
pub(super) async fn keep(nodes: Arc<Nodes>) {
    loop {
        look(&nodes).await;
        sleep(PAUSE).await;
        tokio::select! {
            () = nodes.wanted() => {}
            () = sleep(INTERVAL) => {}
        }
    }
}

/// What a node says of the cluster.
struct View {
    /// Whether it believes that the cluster serves.
    is_ok: bool,
    /// Grows with every failover.
    epoch: u64,
    held: Vec<Held>,
}

async fn look(nodes: &Nodes) {
    let informants = nodes.informants();
    let views = join_all(informants.iter().take(MOST_ASKED).map(view)).await;
    let mut trouble = None;
    let mut best: Option<View> = None;
    for view in views {
        match view {
            Ok(view) => {
                let is_better =
                    best.as_ref().is_none_or(|best| (view.is_ok, view.epoch) > (best.is_ok, best.epoch));
                if is_better {
                    best = Some(view);
                }
            }
            Err(error) if error.needs_an_operator() => trouble = Some(error),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    match (best, trouble) {
        (Some(best), _) => nodes.install(&best.held),
        (None, Some(error)) => nodes.found_nothing(error),
        (None, None) => {}
    }
}

async fn view(connector: &Connector) -> Result<View, Error> {
    let asked = async {
        let mut connection = connector.open("look").await?;
        let info: String = query(&mut connection, connector, "INFO").await?;
        let slots: Value = query(&mut connection, connector, "SLOTS").await?;
        let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let held = slots::read(slots, connector.host()).ok_or_else(|| Error::Corrupt {
            at: connector.at().to_owned(),
            why: "its answer to CLUSTER SLOTS cannot be read".to_owned(),
        })?;
        Ok(View {
            is_ok: value("cluster_state") == Some("ok"),
            epoch: value("cluster_current_epoch").and_then(|text| text.trim().parse().ok()).unwrap_or(0),
            held,
        })
    };
    let after_ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let silent = |_| Error::Timeout { at: connector.at().to_owned(), after_ms };
    timeout(PATIENCE, asked).await.map_err(silent)?
}

async fn query<T: redis::FromRedisValue>(
    connection: &mut MultiplexedConnection,
    connector: &Connector,
    what: &str,
) -> Result<T, Error> {
    let answer = redis::cmd("CLUSTER").arg(what).query_async(connection).await;
    answer.map_err(|error| connector.error(&error))
}
