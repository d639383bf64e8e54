//! Finds files by path and glob. It opens and reads no file: what a file *is* gets
//! decided elsewhere, by its content.
//!
//! `*` and `?` stay within a name, `[…]` and `{a,b}` too, `**` stands for any number
//! of folders, `\` takes a special character as it is. Names that begin with a dot
//! match only where the pattern has that dot. Links to files are followed, and links
//! to folders where a pattern names them or says `*`, but not by `**`.

mod branch;
mod folder;
mod found;
mod pattern;
mod patterns;
mod room;
mod siblings;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

pub(super) use self::{
    found::{FileId, displayed, id_of},
    siblings::above,
};
pub use self::{
    found::{Found, Problem},
    pattern::PatternError,
    patterns::Patterns,
    room::{MAX_FILES, MAX_FOLDERS},
    siblings::{bases, is_older, newest_first, siblings},
    tree::{Scan, Tree},
    walk::Looked,
};
