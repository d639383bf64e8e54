//! What the demo shows: chapters, notes, and as many lines as a person can follow.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

/// More lines than this in [`WINDOW`] are counted and not shown.
const SHOWN: usize = 8;
const WINDOW: Duration = Duration::from_millis(300);

pub(crate) struct Screen {
    silent: bool,
    colours: bool,
    window_began: Instant,
    shown: usize,
    held_back: usize,
}

impl Default for Screen {
    fn default() -> Self {
        let colours = io::stdout().is_terminal();
        Self { silent: false, colours, window_began: Instant::now(), shown: 0, held_back: 0 }
    }
}

impl Screen {
    pub(crate) fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    pub(crate) fn chapter(&mut self, title: &str) {
        self.say_what_was_held_back();
        self.print(&format!("\n{}\n", self.paint("1", &format!("── {title}"))));
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.say_what_was_held_back();
        self.print(&self.paint("36", &format!("   {text}")));
    }

    /// A line that arrived.
    pub(crate) fn line(&mut self, offset: u64, service: &str, text: &str) {
        if self.window_began.elapsed() > WINDOW {
            self.say_what_was_held_back();
            self.window_began = Instant::now();
        }
        if self.shown == SHOWN {
            self.held_back += 1;
            return;
        }
        self.shown += 1;
        let colour = if text.contains(" ERROR ") {
            "31"
        } else if text.contains(" WARN ") {
            "33"
        } else {
            "0"
        };
        self.print(&format!("{offset:>7}  {service:<7}  {}", self.paint(colour, text)));
    }

    fn say_what_was_held_back(&mut self) {
        self.shown = 0;
        match std::mem::take(&mut self.held_back) {
            0 => {}
            lines => self.print(&format!("      …  {} more lines", grouped(lines))),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn print(&self, text: &str) {
        if !self.silent {
            println!("{text}");
        }
    }
}

/// 12345 as `12,345`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
