//! Reads what Redis keeps of sources.

use super::{
    Error, Store,
    keys::{ALL_RECORD_FIELDS, record_field, record_fields_of, source_of_field},
};
use crate::record::{Host, Record, SourceKey, Topic};

/// How many fields one command asks for: a hash of 10,000 records read at once
/// would hold up the server for tenths of a second.
const FIELDS_PER_COMMAND: usize = 500;

impl Store {
    /// The records of all sources that a host has in a topic, as they are on a master
    /// and in one epoch: who does not find a source there takes it for a new one. A producer
    /// of that name is no source of the host.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Corrupt`] where one cannot be read, because a source
    /// without its record would be read from its start again.
    pub async fn records(&self, topic: &Topic, host: &Host) -> Result<Vec<(SourceKey, Record)>, Error> {
        let epoch = async || Ok(self.resolve(topic).await?.map(|found| found.timeline.epoch()));
        let mut before = epoch().await?;
        loop {
            let mut found = self.scan_records(topic, &record_fields_of(host), usize::MAX).await?;
            found.retain(|(_, record)| !record.details.is_producer);
            let after = epoch().await?;
            if before == after {
                return Ok(found);
            }
            before = after;
        }
    }

    /// The records of the sources of all hosts in a topic: `most` of them, and a few more
    /// where there are more.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn all_records(&self, topic: &Topic, most: usize) -> Result<Vec<(SourceKey, Record)>, Error> {
        self.scan_records(topic, ALL_RECORD_FIELDS, most).await
    }

    async fn scan_records(
        &self,
        topic: &Topic,
        fields: &str,
        most: usize,
    ) -> Result<Vec<(SourceKey, Record)>, Error> {
        let key = self.keys.state(topic);
        let mut found = std::collections::BTreeMap::new();
        let mut at = 0_u64;
        loop {
            let (next, pairs) = self.scan_fields(&key, fields, at).await?;
            for (field, text) in pairs {
                if let Some(source) = source_of_field(&field) {
                    found.insert(source, self.read_record(&key, &text)?);
                }
            }
            if next == 0 || found.len() > most {
                return Ok(found.into_iter().collect());
            }
            at = next;
        }
    }

    /// Some of the fields of a hash that match, each with its value, and where to go on; 0: that
    /// was the last of them.
    pub(super) async fn scan_fields(
        &self,
        key: &str,
        fields: &str,
        at: u64,
    ) -> Result<(u64, Vec<(String, String)>), Error> {
        let mut command = redis::cmd("HSCAN");
        command.arg(key).arg(at).arg("MATCH").arg(fields);
        command.arg("COUNT").arg(FIELDS_PER_COMMAND);
        self.servers.query(key, &command).await
    }

    /// The records of these sources, in their order.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn records_of(
        &self,
        topic: &Topic,
        sources: &[SourceKey],
    ) -> Result<Vec<Option<Record>>, Error> {
        let key = self.keys.state(topic);
        let mut records = Vec::with_capacity(sources.len());
        for some in sources.chunks(FIELDS_PER_COMMAND) {
            let mut command = redis::cmd("HMGET");
            command.arg(&key);
            for source in some {
                command.arg(record_field(source));
            }
            let texts: Vec<Option<String>> = self.servers.query(&key, &command).await?;
            for text in texts {
                records.push(text.map(|text| self.read_record(&key, &text)).transpose()?);
            }
        }
        Ok(records)
    }

    pub(super) fn read_record(&self, key: &str, text: &str) -> Result<Record, Error> {
        Record::parse(text).map_err(|e| self.corrupt(key, e))
    }
}
