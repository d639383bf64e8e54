//! What can go wrong between us and Redis, sorted by what helps.

use redis::{ErrorKind, RedisError};

use super::durability::Durability;

/// Why Redis did not do what it was asked. `at` is its address without user or
/// password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No connection could be made, or it broke. Waiting helps.
    #[error("redis at {at} cannot be reached: {why}")]
    Unreachable {
        /// Where it should be.
        at: String,
        /// What the system or the client said.
        why: String,
    },
    /// No answer came in time; whether the command was carried out is not known.
    /// Waiting helps.
    #[error("redis at {at} did not answer within {after_ms} ms")]
    Timeout {
        /// Who did not answer.
        at: String,
        /// How long the command waited.
        after_ms: u64,
    },
    /// The server answered with an error: loading, out of memory, read-only, …
    #[error("redis at {at} refuses: {code} {message}")]
    Refused {
        /// Who refused.
        at: String,
        /// The first word of the error, such as `OOM` or `WRONGPASS`.
        code: String,
        /// The rest of it.
        message: String,
    },
    /// TLS failed: somebody does not trust, or does not speak it.
    #[error("redis at {at}: {why}")]
    Untrusted {
        /// Who it was tried with.
        at: String,
        /// What is wrong, and what helps.
        why: String,
    },
    /// The settings or files for TLS cannot be used.
    #[error("TLS to redis: {why}")]
    Tls {
        /// Which one, and what is wrong with it.
        why: String,
    },
    /// The server is a replica: it may be behind, and it must not be written to.
    #[error("redis at {at} is a {role}, not a master")]
    NotMaster {
        /// Who answered.
        at: String,
        /// Its role, as it says.
        role: String,
    },
    /// The Sentinels watch no master of this name.
    #[error("sentinel at {at} watches no master {name:?}: write redis+sentinel://host:port/<its name>")]
    UnknownMaster {
        /// Who was asked.
        at: String,
        /// The name in the URL.
        name: String,
    },
    /// The lines are stored, and not yet as safe as they have to be. Waiting helps.
    #[error(
        "redis at {at} has the lines, and durability = \"{durability}\" is not reached: {got} of {wanted} \
         confirmed within {after_ms} ms"
    )]
    NotDurable {
        /// Who has them.
        at: String,
        /// What was asked for.
        durability: Durability,
        /// How many replicas or disks have them.
        got: i64,
        /// How many should.
        wanted: i64,
        /// How long it was waited for.
        after_ms: u64,
    },
    /// The server cannot do what the durability asks for.
    #[error("redis at {at} cannot do durability = \"{durability}\": {why}")]
    NoDurability {
        /// Who cannot.
        at: String,
        /// What was asked for.
        durability: Durability,
        /// Why, and what helps.
        why: String,
    },
    /// Something stored is not what logrelay writes.
    #[error("redis at {at}: {why}")]
    Corrupt {
        /// Where it is stored.
        at: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The error of a command or a connection to `at`, which was given `timeout_ms`.
    pub(super) fn of(at: &str, timeout_ms: u64, error: &RedisError) -> Self {
        let at = at.to_owned();
        if error.is_timeout() {
            return Self::Timeout { at, after_ms: timeout_ms };
        }
        if matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse) {
            return Self::Corrupt { at, why: error.to_string() };
        }
        if error.kind() == ErrorKind::InvalidClientConfig {
            return Self::Tls { why: error.to_string() };
        }
        if let Some(code) = error.code() {
            return refused(at, code, error.detail().unwrap_or_default());
        }
        let why = error.to_string();
        match advice_on_tls(&why) {
            Some(advice) => Self::Untrusted { at, why: format!("{why}: {advice}") },
            None => Self::Unreachable { at, why },
        }
    }

    /// Whether only somebody who changes a setting can help: a wrong password, a
    /// missing right, a key of another type, a format that is not ours.
    pub fn needs_an_operator(&self) -> bool {
        match self {
            Self::Refused { code, message, .. } => {
                matches!(code.as_str(), "WRONGPASS" | "NOAUTH" | "NOPERM" | "WRONGTYPE")
                    || message.contains("AUTH <password> called without any password configured")
                    || message.contains("cluster support disabled")
            }
            Self::Corrupt { .. }
            | Self::Untrusted { .. }
            | Self::Tls { .. }
            | Self::UnknownMaster { .. }
            | Self::NoDurability { .. } => true,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::NotMaster { .. }
            | Self::NotDurable { .. } => false,
        }
    }

    /// Whether the server does its work, and only the data of one topic cannot be used:
    /// other topics can go on.
    pub fn is_of_one_topic(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::Refused { code, message, .. } => {
                // A script that fails at its work has met data that it cannot use.
                matches!(code.as_str(), "WRONGTYPE" | "LOGRELAY")
                    || (code == "ERR" && message.contains("@user_script"))
                    || (code == "NOPERM" && is_about_keys(message))
            }
            _ => false,
        }
    }

    /// Whether the connection that it came over is of no more use: it has lost its login,
    /// which a new one has.
    pub(super) fn ends_the_connection(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "NOAUTH")
    }

    /// Whether what was asked for is, or will be in a moment, on another node of the cluster.
    pub fn is_elsewhere(&self) -> bool {
        let codes = ["MOVED", "ASK", "TRYAGAIN"];
        matches!(self, Self::Refused { code, .. } if codes.contains(&code.as_str()))
    }

    /// Whether the server refuses writes and may still serve reads: it is full, has too
    /// few replicas, cannot save, or does not make them as safe as they have to be.
    pub fn refuses_writes(&self) -> bool {
        if matches!(self, Self::NotDurable { .. } | Self::NoDurability { .. }) {
            return true;
        }
        let codes = ["OOM", "READONLY", "NOREPLICAS", "MISCONF"];
        matches!(self, Self::Refused { code, .. } if codes.contains(&code.as_str()))
    }
}

fn refused(at: String, code: &str, message: &str) -> Error {
    // What servers say of a script: those of version 7.0 do not say which command.
    let is_of_script = ["ACL failure in script", "executing the script can't access"];
    let (code, message) = if is_of_script.iter().any(|words| message.contains(words)) {
        ("NOPERM", message)
    } else if message.contains("executing the script can't run this command") {
        let message = "this user has no permissions to run a command of the script; ACL LOG of the server \
                       names it, and deploy/redis has the rights that are needed";
        ("NOPERM", message)
    } else {
        (code, message)
    };
    Error::Refused { at, code: code.to_owned(), message: message.to_owned() }
}

/// Whether a right is missing that is one to keys, of which other topics have others.
fn is_about_keys(message: &str) -> bool {
    ["access a key", "access one of the keys", "access at least one of the keys"]
        .iter()
        .any(|words| message.contains(words))
}

/// What helps where TLS failed. The client library keeps the error of the TLS library as text.
fn advice_on_tls(why: &str) -> Option<&'static str> {
    let hints = [
        (
            "invalid peer certificate",
            "set redis_ca_file to the CA that signed it, and use a host name that it has",
        ),
        ("received fatal alert", "it refuses us; set redis_cert_file and redis_key_file to what it trusts"),
        ("received corrupt message", "it does not speak TLS there; redis:// is without"),
    ];
    hints.iter().find(|(sign, _)| why.contains(sign)).map(|(_, advice)| *advice)
}
