//! Why a subscription ended, and which failures are only passing.

use std::{error::Error as StdError, ops::Range, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{CredentialsError, OptionsError, RelayAddress, lines::BatchFault};

/// Why a call ended for good.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The options make no sense.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The relay refused, and would refuse again.
    #[error("relay {relay} refused: {message} ({code:?}{})", if reason.is_empty() { String::new() } else { format!(", {reason}") })]
    Refused {
        /// Who refused.
        relay: RelayAddress,
        /// The gRPC code.
        code: Code,
        /// The stable reason of the contract, such as `CURSOR_TRIMMED`; empty when none was given.
        reason: String,
        /// What the relay said.
        message: String,
    },
    /// The producer is elsewhere than the lines of this program are: it numbers its lines itself,
    /// and Redis has forgotten some of them; or another program has its instance.
    #[error("the producer is at {next_sequence}, and here are lines {} to {}", lines.start, lines.end)]
    OutOfStep {
        /// The number that Redis expects next.
        next_sequence: u64,
        /// The numbers of the lines that are here, not confirmed.
        lines: Range<u64>,
    },
    /// Nobody served it, as often as was allowed.
    #[error("gave up after {failures} failed {}, the last one: {last}", if *failures == 1 { "try" } else { "tries" })]
    GaveUp {
        /// How many.
        failures: u32,
        /// What happened last, and where.
        last: String,
    },
}

/// Why one call on one relay ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot be reached: {}", .0.source().map_or_else(|| .0.to_string(), with_causes))]
    Connect(#[from] tonic::transport::Error),
    #[error("{}", status_text(.0))]
    Status(Box<Status>),
    #[error("said nothing for {0} ms")]
    Silent(u128),
    #[error("ended the stream")]
    Ended,
    #[error("sent what makes no sense: {0}")]
    Nonsense(#[from] BatchFault),
    /// To come back would take the subscription from whoever has it now.
    #[error("closed: {0}")]
    TakenOver(String),
    #[error("is at line {found}, where lines {} to {} were sent", lines.start, lines.end)]
    Sequence { lines: Range<u64>, found: u64 },
    #[error("was not asked: {0}")]
    Credentials(#[from] CredentialsError),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Failure {
    /// When the relay wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let Self::Status(status) = self else { return None };
        status.get_details_retry_info()?.retry_delay
    }

    /// The error to return where trying again, there or elsewhere, would not help.
    pub(super) fn permanent(&self, relay: &RelayAddress) -> Option<Error> {
        let status = match self {
            Self::Status(status) => status,
            Self::TakenOver(message) => {
                return Some(Error::Refused {
                    relay: relay.clone(),
                    code: Code::FailedPrecondition,
                    reason: "SUBSCRIPTION_TAKEN".to_owned(),
                    message: message.clone(),
                });
            }
            Self::Credentials(CredentialsError::Plaintext(relay)) => {
                return Some(OptionsError::PlaintextToken(relay.clone()).into());
            }
            _ => return None,
        };
        // Whoever replaces tokens may be a moment late.
        if status.code() == Code::Unauthenticated && relay.credentials().has_other_token() {
            return None;
        }
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        let hopeless = match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented => true,
            // A relay with room for other callers would have none for so many of these.
            Code::ResourceExhausted => {
                matches!(reason.as_str(), "TOO_MANY_TOPICS" | "TOO_MANY_DURABLE_SUBSCRIPTIONS")
            }
            _ => false,
        };
        hopeless.then(|| Error::Refused {
            relay: relay.clone(),
            code: status.code(),
            reason,
            message: status.message().to_owned(),
        })
    }
}

fn status_text(status: &Status) -> String {
    // What broke the connection is the status's source; its message only repeats that in part.
    match status.source() {
        Some(source) => format!("the connection broke: {}", with_causes(source)),
        None => format!("{} ({:?})", status.message(), status.code()),
    }
}

/// What libraries say of a mistake, and what it is likely to be.
const HINTS: [(&str, &str); 3] = [
    ("InvalidContentType", "it does not speak TLS here: is its address http://…?"),
    ("frame with invalid size", "it speaks no HTTP/2 here: is its address https://…?"),
    ("UnknownIssuer", "nothing that is trusted has signed its certificate: name the authority, --ca FILE"),
];

/// An error and what caused it, without saying a thing twice; with what it may mean.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    match HINTS.iter().find(|(said, _)| text.contains(said)) {
        Some((_, hint)) => format!("{text} ({hint})"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_libraries_say_comes_with_what_it_means() {
        let text = |said: &str| with_causes(&io::Error::other(said.to_owned()));
        assert!(text("received corrupt message of type InvalidContentType").contains("http://"));
        assert!(text("connection error detected: frame with invalid size").contains("https://"));
        assert!(text("invalid peer certificate: UnknownIssuer").contains("--ca"));
        assert_eq!(text("Connection refused"), "Connection refused");
    }
}
