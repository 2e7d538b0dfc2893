//! The jobspec's parser, rules and reference as a module of its own, run in a web worker: typing never waits for it, and a panic in it
//! ends the worker, not the page.
//!
//! Each export takes a text and gives JSON. Offsets in the answers are UTF-16 units, as JavaScript counts.

pub mod help;

use serde_json::{Value, json};
use tarpan_jobspec::{Input, Variables, check as check_job};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Checks a jobspec. Takes `{"text", "name", "variables": {name: value}}`; gives
/// `{"job": Job or null, "problems": […], "variables": […]}`.
#[wasm_bindgen]
pub fn check(request: &str) -> String {
    answer(request).unwrap_or_else(|e| json!({ "job": null, "problems": [], "error": e })).to_string()
}

/// What may be written at an offset: `{"text", "offset"}` gives `[{"label", "type", "detail", "info", "apply"}]`.
#[wasm_bindgen]
pub fn complete(request: &str) -> String {
    let (text, offset) = place(request);
    Value::from(help::complete(&text, offset)).to_string()
}

/// What the word at an offset means: `{"text", "offset"}` gives `{"from", "to", "title", "text"}` or `null`.
#[wasm_bindgen]
pub fn hover(request: &str) -> String {
    let (text, offset) = place(request);
    help::hover(&text, offset).unwrap_or(Value::Null).to_string()
}

fn place(request: &str) -> (String, usize) {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let text = request["text"].as_str().unwrap_or_default().to_owned();
    let offset = help::byte_of(&text, request["offset"].as_u64().unwrap_or(0) as usize);
    (text, offset)
}

fn answer(request: &str) -> Result<Value, String> {
    let request: Value = serde_json::from_str(request).map_err(|e| e.to_string())?;
    let text = request["text"].as_str().unwrap_or_default();
    let name = request["name"].as_str().filter(|n| !n.is_empty()).unwrap_or("job.nomad.hcl");
    let given: Vec<_> = request["variables"].as_object().into_iter().flatten().collect();
    // Values stay while their declaration is being written: those of nothing declared are left out.
    let declared = if given.is_empty() { Vec::new() } else { tarpan_jobspec::parse(&Input::new(name, text)).variables };
    let given = given.into_iter().filter(|(k, _)| declared.iter().any(|d| d.name == **k));
    let args = given.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
    let variables = Variables { args, ..Variables::default() };
    let parsed = check_job(&Input { variables: &variables, ..Input::new(name, text) });
    let problems: Vec<Value> = parsed.diagnostics.iter().map(|d| problem(text, d)).collect();
    let job = if parsed.has_errors() { None } else { parsed.job };
    let variables: Vec<Value> = parsed.variables.iter().map(variable).collect();
    Ok(json!({ "job": job, "problems": problems, "variables": variables }))
}

fn variable(one: &tarpan_jobspec::DeclaredVariable) -> Value {
    json!({
        "name": one.name, "kind": one.kind, "default": one.default, "description": one.description, "sensitive": one.sensitive,
    })
}

fn problem(text: &str, found: &tarpan_jobspec::Diagnostic) -> Value {
    let range = found.range.as_ref();
    // Only a single word can be changed into another.
    let blamed = range.and_then(|r| text.get(r.start.byte as usize..r.end.byte as usize)).unwrap_or_default();
    let is_word = !blamed.is_empty() && blamed.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
    let at = |byte: u32| help::utf16_of(text, byte as usize);
    json!({
        "severity": if found.is_error() { "error" } else { "warning" },
        "summary": found.summary, "detail": found.detail,
        "fix": found.suggestion().filter(|_| is_word).unwrap_or_default(),
        "line": range.map_or(0, |r| r.start.line), "column": range.map_or(0, |r| r.start.column),
        "from": range.map_or(0, |r| at(r.start.byte)), "to": range.map_or(0, |r| at(r.end.byte)),
    })
}
