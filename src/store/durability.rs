//! How safe an append has to be before it counts as stored.

use std::{fmt, num::NonZeroU32, str::FromStr};

use redis::{Cmd, ScriptInvocation, Value};

use super::{
    Error, Store,
    pool::{Pool, Pooled},
};

/// What a batch has to have reached before its source goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// The memory of the server.
    #[default]
    Memory,
    /// The memory of so many replicas, too.
    Replicas(NonZeroU32),
    /// The disk of the server.
    Fsync,
}

/// A text that is no [`Durability`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected is memory, fsync, or replicas=N with N of at least 1")]
pub struct DurabilityError;

impl FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(text: &str) -> Result<Self, DurabilityError> {
        match (text, text.strip_prefix("replicas=")) {
            ("memory", _) => Ok(Self::Memory),
            ("fsync", _) => Ok(Self::Fsync),
            (_, Some(number)) => number.parse().map(Self::Replicas).map_err(|_| DurabilityError),
            _ => Err(DurabilityError),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Replicas(number) => write!(f, "replicas={number}"),
            Self::Fsync => f.write_str("fsync"),
        }
    }
}

impl Durability {
    /// The command that waits for it, no longer than `patience_ms`, on the connection of what
    /// was written.
    fn wait(self, patience_ms: u64) -> Option<Cmd> {
        let mut command = match self {
            Self::Memory => return None,
            Self::Replicas(number) => redis::cmd("WAIT").arg(number.get()).take(),
            Self::Fsync => redis::cmd("WAITAOF").arg(1).arg(0).take(),
        };
        command.arg(patience_ms);
        Some(command)
    }

    /// How many have it, as the answer to the command says, and how many were wanted.
    fn counted(self, answer: &Value) -> (i64, i64) {
        let wanted = match self {
            Self::Replicas(number) => i64::from(number.get()),
            Self::Memory | Self::Fsync => 1,
        };
        let got = match answer {
            Value::Int(number) => *number,
            Value::Array(numbers) => match numbers.first() {
                Some(Value::Int(local)) => *local,
                _ => 0,
            },
            _ => 0,
        };
        (got, wanted)
    }
}

impl Pooled<'_> {
    /// Runs a script, and waits until what it wrote is so safe.
    pub(super) async fn invoke_durably(
        &mut self,
        script: &ScriptInvocation<'_>,
        durability: Durability,
    ) -> Result<Value, Error> {
        let answer = self.invoke(script).await?;
        let patience_ms = self.patience_ms();
        if let Some(wait) = durability.wait(patience_ms) {
            let counted = self.query::<Value>(&wait).await;
            let counted = counted.map_err(|error| unsupported(durability, "an unknown version", error))?;
            let (got, wanted) = durability.counted(&counted);
            if got < wanted {
                let at = self.at().to_owned();
                return Err(Error::NotDurable { at, durability, got, wanted, after_ms: patience_ms });
            }
        }
        Ok(answer)
    }
}

impl Store {
    /// Whether the servers can do what the durability asks for at all.
    ///
    /// # Errors
    /// [`Error::NoDurability`] where one cannot; [`Error`].
    pub async fn check_durability(&self) -> Result<(), Error> {
        if self.durability == Durability::Memory {
            return Ok(());
        }
        for pool in self.servers.every().await? {
            check(&pool, self.durability).await?;
        }
        Ok(())
    }
}

async fn check(pool: &Pool, durability: Durability) -> Result<(), Error> {
    let Some(wait) = durability.wait(1) else { return Ok(()) };
    let mut connection = pool.get().await?;
    let Err(error) = connection.query::<Value>(&wait).await else { return Ok(()) };
    let info: String = connection.query(redis::cmd("INFO").arg("server")).await.unwrap_or_default();
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let version = match (value("valkey_version"), value("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, version) => format!("Redis {}", version.unwrap_or("of an unknown version")),
    };
    Err(unsupported(durability, &version, error))
}

fn unsupported(durability: Durability, version: &str, error: Error) -> Error {
    let Error::Refused { at, message, .. } = &error else { return error };
    let why = if message.contains("unknown command") {
        format!("it needs WAITAOF, which Redis has from 7.2 on, and this is {version}")
    } else if message.contains("appendonly is disabled") {
        "the server keeps nothing on disk: set appendonly to yes".to_owned()
    } else {
        return error;
    };
    Error::NoDurability { at: at.clone(), durability, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nonsense_is_refused() {
        for text in ["memory", "fsync", "replicas=1", "replicas=12"] {
            assert_eq!(text.parse::<Durability>().unwrap().to_string(), text);
        }
        for text in ["", "disk", "replicas", "replicas=", "replicas=0", "replicas=-1", "replicas=x"] {
            assert!(text.parse::<Durability>().is_err(), "{text}");
        }
    }

    #[test]
    fn answers_are_counted_and_strange_ones_count_for_nothing() {
        let two = Durability::Replicas(NonZeroU32::new(2).unwrap());
        assert_eq!(two.counted(&Value::Int(1)), (1, 2));
        let of_both = |local| Value::Array(vec![Value::Int(local), Value::Int(0)]);
        assert_eq!(Durability::Fsync.counted(&of_both(1)), (1, 1));
        assert_eq!(Durability::Fsync.counted(&of_both(0)), (0, 1));
        assert_eq!(Durability::Fsync.counted(&Value::Nil), (0, 1));
    }
}
