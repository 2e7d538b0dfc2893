//! Whatever the text, reading it ends, within bounds, with findings in place of panics.

use proptest::prelude::*;
use tarpan_jobspec::{Input, check, complete, hover};

/// Pieces of jobspecs, so that random texts get further than the first character.
const PIECES: [&str; 44] = [
    "job",
    "group",
    "task",
    "variable",
    "locals",
    "dynamic",
    "content",
    "config",
    "constraint",
    "network",
    "port",
    "service",
    "\"x\"",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "=",
    "==",
    ":",
    "?",
    ",",
    "...",
    ".",
    "*",
    "-",
    "!",
    "&&",
    "1",
    "0.5",
    "1e400",
    "\"${",
    "%{ if true }",
    "%{ endif }",
    "<<-EOT\n",
    "\nEOT\n",
    "for x in",
    "=>",
    "var.x",
    "try(",
    "\n",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_any_text(text in ".{0,200}", offset in 0_usize..220) {
        look(&text, offset);
    }

    #[test]
    fn on_pieces_of_jobspecs(pieces in prop::collection::vec(0..PIECES.len(), 0..60), offset in 0_usize..400) {
        let text: String = pieces.iter().map(|i| PIECES[*i]).collect::<Vec<_>>().join(" ");
        look(&text, offset);
    }

    #[test]
    fn on_a_damaged_jobspec(cut in 0_usize..800, length in 0_usize..40, piece in 0..PIECES.len()) {
        let text = include_str!("whole.nomad.hcl");
        let edge = |mut at: usize| { at = at.min(text.len()); while !text.is_char_boundary(at) { at -= 1; } at };
        let (from, to) = (edge(cut), edge(cut + length));
        look(&format!("{}{}{}", &text[..from], PIECES[piece], &text[to..]), from);
    }

    #[test]
    fn every_expression_has_an_end(op in "[-+*/%<>!&|?:]{1,2}", a in "[a-z0-9.\"\\[\\]{}$]{1,12}", b in "[a-z0-9.\"()]{1,12}") {
        look(&format!("job \"j\" {{\n  priority = {a} {op} {b}\n}}\n"), 20);
    }
}

fn look(text: &str, offset: usize) {
    let parsed = check(&Input::new("x.nomad.hcl", text));
    for diagnostic in &parsed.diagnostics {
        if let Some(range) = &diagnostic.range {
            assert!(range.end.byte as usize <= text.len() && range.start <= range.end, "{diagnostic:?}");
        }
        assert!(!diagnostic.summary.is_empty());
    }
    assert_eq!(parsed.job.is_none(), parsed.has_errors());
    complete(text, offset);
    hover("x.nomad.hcl", text, offset);
}

#[test]
fn deep_and_long_texts_are_refused_not_suffered() {
    for text in [
        "[".repeat(100_000),
        format!("job \"j\" {{ priority = {} }}", "(".repeat(50_000)),
        format!("job \"j\" {{\n priority = {}1\n}}", "1+".repeat(50_000)),
        format!("job \"j\" {{\n priority = {}1\n}}", "-".repeat(50_000)),
        format!("job \"j\" {{\n name = x{}\n}}", ".a".repeat(50_000)),
        "a {\n".repeat(50_000),
        format!("locals {{\n a = \"{}\"\n}}", "%{ if true }".repeat(10_000)),
        format!("job \"j\" {{\n name = {}x\n}}", "a ? b : ".repeat(20_000)),
    ] {
        assert!(check(&Input::new("x", &text)).has_errors());
    }
}
