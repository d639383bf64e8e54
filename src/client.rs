//! ⑥ The client library: reads topics through any of several relays and resumes by itself.
//!
//! A [`Subscription`] goes on over lost connections: it asks the next relay for
//! what comes after its last cursor, and drops lines that Redis had forgotten and
//! that are sent again. What it needs for that is its [`State`], which a caller
//! may save and give back in [`Options`]. A [`Publisher`] sends lines of a program that has no
//! file, and keeps each until it is confirmed. Neither prints anything or writes a file.

mod address;
mod administer;
mod call;
mod commits;
mod credentials;
mod dial;
mod error;
mod event;
mod fetch;
mod incoming;
mod lines;
mod link;
mod marks;
mod options;
mod publisher;
mod state;
mod subscription;
mod topics;
mod turn;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use self::{
    address::{AddressError, RelayAddress},
    administer::{delete_topic, set_retention, trim_topic},
    credentials::{Credentials, CredentialsError, Token},
    error::Error,
    event::{Event, Jump},
    fetch::fetch,
    lines::{Line, Lines},
    marks::Marks,
    options::{Options, OptionsError, Start},
    publisher::{PublishEvent, PublishOptions, Publisher},
    state::State,
    subscription::Subscription,
    topics::{get_topic, list_topics},
};
