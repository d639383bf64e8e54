//! Asks Sentinels which server is the master now. Decides nothing: who is told an address
//! looks there whether it is one.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::AsyncConnectionConfig;

use super::{
    connect::{ConnectOptions, client},
    error::Error,
    url::Endpoint,
};

/// How long one Sentinel may take for its answer before the next one is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// Several that watch one master.
#[derive(Debug)]
pub(super) struct Sentinels {
    servers: Vec<Endpoint>,
    master: String,
    /// Whom to ask first: who answered last, until its answer was wrong.
    first: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(servers: Vec<Endpoint>, master: String) -> Self {
        Self { servers, master, first: AtomicUsize::new(0) }
    }

    /// Where the master is, as the first of them says that answers.
    ///
    /// # Errors
    /// Why none does; before others, what only an operator can mend.
    pub(super) async fn ask(&self, options: &ConnectOptions) -> Result<Endpoint, Error> {
        let mut trouble: Option<Error> = None;
        let first = self.first.load(Ordering::Relaxed);
        for index in (0..self.servers.len()).map(|step| (first + step) % self.servers.len()) {
            match self.ask_one(&self.servers[index], options).await {
                Ok(master) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(master);
                }
                Err(error) if trouble.as_ref().is_some_and(Error::needs_an_operator) => drop(error),
                Err(error) => trouble = Some(error),
            }
        }
        Err(trouble.unwrap_or_else(|| self.unknown(&self.master)))
    }

    /// The one that answered last was wrong: another one is asked first next time.
    pub(super) fn doubt(&self) {
        self.first.fetch_add(1, Ordering::Relaxed);
    }

    async fn ask_one(&self, server: &Endpoint, options: &ConnectOptions) -> Result<Endpoint, Error> {
        let at = server.to_string();
        let patience = PATIENCE.min(Duration::from_millis(options.connect_timeout_ms));
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let wrong = |error| Error::of(&at, patience_ms, &error);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let client = client(options, options.url.sentinel_info(server).map_err(wrong)?)?;
        let mut connection =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(wrong)?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let found: Option<(String, u16)> = command.query_async(&mut connection).await.map_err(wrong)?;
        found.map(|(host, port)| Endpoint::Tcp { host, port }).ok_or_else(|| self.unknown(&at))
    }

    fn unknown(&self, at: &str) -> Error {
        Error::UnknownMaster { at: at.to_owned(), name: self.master.clone() }
    }
}
