//! What a node says that is not the one to ask. No I/O.

use super::slots::beside;
use crate::store::{error::Error, url::Endpoint};

/// Where to go instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redirect {
    /// Another node holds the slot.
    Moved(Endpoint),
    /// The slot moves there now, and this key has: for this command alone.
    Ask(Endpoint),
    /// Some keys of the command have moved, and some not yet.
    Later,
}

impl Redirect {
    /// What the error of the node at the host `asked` says, when it is a redirection.
    pub(super) fn of(error: &Error, asked: &str) -> Option<Self> {
        let Error::Refused { code, message, .. } = error else { return None };
        match code.as_str() {
            "MOVED" => target(message, asked).map(Self::Moved),
            "ASK" => target(message, asked).map(Self::Ask),
            "TRYAGAIN" => Some(Self::Later),
            _ => None,
        }
    }
}

/// Whether an error may mean that other nodes hold the slots by now.
pub(super) fn calls_for_a_look(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::Timeout { .. } | Error::NotMaster { .. } => true,
        Error::Refused { code, .. } => {
            matches!(
                code.as_str(),
                "CLUSTERDOWN" | "MASTERDOWN" | "READONLY" | "LOADING" | "UNBLOCKED" | "MOVED"
            )
        }
        _ => false,
    }
}

/// The node in `<slot> <host>:<port>`.
fn target(message: &str, asked: &str) -> Option<Endpoint> {
    let (host, port) = message.split_whitespace().nth(1)?.rsplit_once(':')?;
    Some(beside(asked, host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_read_and_other_errors_are_none() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.to_owned(), port };
        let of = |code: &str, message: &str| {
            let (at, code, message) = ("h:1".to_owned(), code.to_owned(), message.to_owned());
            Redirect::of(&Error::Refused { at, code, message }, "h")
        };
        assert_eq!(of("MOVED", "3999 10.0.0.1:6381"), Some(Redirect::Moved(tcp("10.0.0.1", 6381))));
        assert_eq!(of("ASK", "3999 ::1:6381"), Some(Redirect::Ask(tcp("::1", 6381))));
        assert_eq!(of("MOVED", "3999 :6381"), Some(Redirect::Moved(tcp("h", 6381))));
        assert_eq!(of("TRYAGAIN", "Multiple keys request during rehashing of slot"), Some(Redirect::Later));
        for (code, message) in [("MOVED", ""), ("MOVED", "1 h"), ("MOVED", "1 h:x"), ("ERR", "1 h:1")] {
            assert_eq!(of(code, message), None);
        }
    }
}
