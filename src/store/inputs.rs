//! Inputs of tailers that are kept in Redis: a hash for each host or group, a field for
//! each input. What a text means is not known here.

use std::sync::LazyLock;

use redis::Script;

use super::{Error, Store};

static REPLACE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("inputs.lua")));

/// Most inputs that are kept for one host or group, removed ones included.
pub const MAX_INPUTS: usize = 500;

/// Greatest size of the text of one, in bytes.
pub const MAX_INPUT_BYTES: usize = 64 * 1024;

/// An input as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInput {
    /// Its name.
    pub name: String,
    /// When it was pushed or removed, in unix milliseconds by the server's clock; always later
    /// than what it was before. 0 for one that `logrelay` has not pushed.
    pub version: u64,
    /// What it says; none where it was removed.
    pub text: Option<String>,
}

impl Store {
    /// The inputs of a host or group by name, those that were removed among them. An input
    /// that is not there although it was once has been lost by Redis.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn inputs(&self, of: &str) -> Result<Vec<StoredInput>, Error> {
        let key = self.keys.inputs(of);
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let fields: Vec<(Vec<u8>, Vec<u8>)> = self.servers.query(&key, &command).await?;
        let mut inputs: Vec<_> = fields.iter().map(|(name, value)| stored(name, value)).collect();
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(inputs)
    }

    /// Puts inputs, each a name and a text, in the place of those with their names: all of
    /// them or, where there is an error, none. The version of each; it stays where the text
    /// does.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Refused`] where there would be more than [`MAX_INPUTS`].
    pub async fn push_inputs(&self, of: &str, inputs: &[(String, String)]) -> Result<Vec<u64>, Error> {
        self.replace_inputs(of, inputs.iter().map(|(name, text)| (name.as_str(), text.as_str()))).await
    }

    /// Removes inputs by name; false for each that was not there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove_inputs(&self, of: &str, names: &[String]) -> Result<Vec<bool>, Error> {
        let versions = self.replace_inputs(of, names.iter().map(|name| (name.as_str(), ""))).await?;
        Ok(versions.into_iter().map(|version| version > 0).collect())
    }

    /// The hosts and groups that have inputs, sorted.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn input_owners(&self) -> Result<Vec<String>, Error> {
        let prefix = self.keys.inputs("");
        let mut owners = std::collections::BTreeSet::new();
        for pool in self.servers.every().await? {
            let mut at = 0_u64;
            loop {
                let mut command = redis::cmd("SCAN");
                command.arg(at).arg("MATCH").arg(format!("{}*", literal(&prefix))).arg("COUNT").arg(1_000);
                let (next, keys): (u64, Vec<String>) = pool.get().await?.query(&command).await?;
                owners.extend(keys.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned));
                if next == 0 {
                    break;
                }
                at = next;
            }
        }
        Ok(owners.into_iter().collect())
    }

    async fn replace_inputs(
        &self,
        of: &str,
        inputs: impl Iterator<Item = (&str, &str)>,
    ) -> Result<Vec<u64>, Error> {
        let key = self.keys.inputs(of);
        let mut script = REPLACE.key(&key);
        script.arg(MAX_INPUTS);
        for (name, text) in inputs {
            script.arg(name).arg(text);
        }
        self.servers.invoke(&key, &script).await
    }
}

fn stored(name: &[u8], value: &[u8]) -> StoredInput {
    let value = String::from_utf8_lossy(value);
    let versioned = value.split_once('\n').and_then(|(version, text)| Some((version.parse().ok()?, text)));
    let (version, text) = versioned.unwrap_or((0, &value));
    let text = (!text.is_empty()).then(|| text.to_owned());
    StoredInput { name: String::from_utf8_lossy(name).into_owned(), version, text }
}

/// A text as a pattern of Redis that only it matches.
fn literal(text: &str) -> String {
    text.chars().fold(String::new(), |pattern, character| match character {
        '*' | '?' | '[' | ']' | '\\' => pattern + "\\" + &character.to_string(),
        other => pattern + &other.to_string(),
    })
}
