//! Everything that speaks Redis; nothing outside of this module does.

mod blocking;
mod connect;
mod entry;
mod error;
mod keepalive;
mod pool;
mod server;
mod url;

pub use blocking::{BlockingConnection, LIVENESS_MARGIN_MS};
pub use connect::{ConnectOptions, Connector};
pub use entry::{Entry, KeyEntries};
pub use error::Error;
pub use pool::{Pool, Pooled};
pub use server::{PrivateServer, ServerError, ServerOptions};
pub use url::{RedisUrl, UrlError};
