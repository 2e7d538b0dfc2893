//! What commands print: tables, blocks, times, sizes, JSON and templates. Pure, but for the last few functions.

pub mod allocs;
pub mod browser;
pub mod deployment;
mod devices;
pub mod diff;
pub mod eval;
pub mod history;
pub mod json;
pub mod metric;
pub mod sdk;
pub mod table;
pub mod time;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tarpan_api::Error;

pub use browser::page;
pub use devices::device_stats;
pub use json::Format;
pub use table::{Table, block};

static COLOR: AtomicBool = AtomicBool::new(false);
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Decides once, at start, whether output carries colours.
pub fn set_color(on: bool) {
    COLOR.store(on, Ordering::Relaxed);
}

/// Remembers the name that the program was called by.
pub fn set_program(argv0: &str) {
    let name = std::path::Path::new(argv0).file_name().and_then(|n| n.to_str()).unwrap_or("tarpan");
    let _ = PROGRAM.set(name.to_owned());
}

pub fn program() -> String {
    PROGRAM.get().cloned().unwrap_or_else(|| "tarpan".to_owned())
}

/// Called by the field's name: scripts read what follows, and expect nothing besides what the field prints.
pub fn as_the_field() -> bool {
    program() == "nomad"
}

/// Prints an error on stderr, red where colours are on.
pub fn error(text: &str) {
    eprintln!("{}", paint("31", text));
}

pub fn paint(code: &str, text: &str) -> String {
    if COLOR.load(Ordering::Relaxed) { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A section's title: a blank line, then the title, bold where colours are on.
pub fn title(text: &str) -> String {
    format!("\n{}\n", paint("1", text))
}

/// The pointer to the page that shows the same, unless `NOMAD_CLI_SHOW_HINTS` says no.
pub fn hint(text: &str, address: &str, path: &str) {
    let off = |v: String| matches!(v.to_ascii_lowercase().as_str(), "0" | "f" | "false");
    if !std::env::var("NOMAD_CLI_SHOW_HINTS").is_ok_and(off) {
        println!("\n{}", paint("1", &format!("==> {text} in the Web UI: {address}{path}")));
    }
}

/// An error of the API as the field words it.
pub fn api_error(error: &Error) -> String {
    match error {
        Error::Status { code, message } => format!("Unexpected response code: {code} ({message})"),
        other => other.to_string(),
    }
}

/// The first eight characters of an id, or all of it.
pub fn short(id: &str, full: bool) -> &str {
    if full { id } else { id.get(..8).unwrap_or(id) }
}

/// Bytes in the largest unit that leaves a number of at least one: `4.0 KiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let (mut size, mut unit) = (value as f64 / 1024.0, 0);
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if size >= 9.95 { format!("{size:.0} {}", UNITS[unit]) } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// `1 allocation`, `2 allocations`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("{number} {noun}") } else { format!("{number} {noun}s") }
}

/// `text` in lines of at most `width`, each after `indent` blanks.
pub fn wrap(text: &str, indent: usize, width: usize) -> String {
    let pad = " ".repeat(indent);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{pad}{word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (value, text) in
            [(0, "0 B"), (1023, "1023 B"), (4096, "4.0 KiB"), (33_554_432, "32 MiB"), (1_610_612_736, "1.5 GiB")]
        {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn long_words_are_wrapped() {
        assert_eq!(wrap("one two three four", 2, 9), "  one two\n  three\n  four");
    }
}
