//! What administrators do: `DeleteTopic`, `TrimTopic`, `SetRetention`.

mod delete;
mod retention;
mod trim;

pub(super) use self::{delete::Deletion, retention::Change, trim::Trimming};
