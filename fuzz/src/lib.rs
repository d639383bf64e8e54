//! What must hold whatever bytes come: each module has a `check` that panics where it
//! does not, and `seeds` from which a search begins. libFuzzer calls them from
//! `targets`; the tests here try each a few times. Not here: anything that waits or
//! opens a file.

#![expect(clippy::missing_panics_doc, reason = "a panic is how a check says what does not hold")]

pub mod batch;
pub mod config;
pub mod containers;
pub mod framing;
pub mod lines;
pub mod packed;
pub mod patterns;
mod problems;
pub mod rules;
pub mod tokens;
pub mod values;

#[cfg(test)]
mod tests;

/// A name, what must hold of any bytes, and bytes to begin with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const TARGETS: &[Target] = &[
    ("containers", containers::check, containers::seeds),
    ("framing", framing::check, framing::seeds),
    ("lines", lines::check, lines::seeds),
    ("batch", batch::check, batch::seeds),
    ("values", values::check, values::seeds),
    ("packed", packed::check, packed::seeds),
    ("patterns", patterns::check, patterns::seeds),
    ("config", config::check, config::seeds),
    ("rules", rules::check, rules::seeds),
    ("tokens", tokens::check, tokens::seeds),
];
