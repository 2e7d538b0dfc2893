//! Jobspecs from anybody: whatever the text, reading it ends, and what is said of it points into it.

use std::time::Duration;

use tarpan_jobspec::{Input, check, complete, hover, parse_json};
use tarpan_testkit::fuzz::Fuzz;

const WORDS: [&str; 60] = [
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
    " = ",
    "==",
    ":",
    "?",
    ",",
    "...",
    ".*",
    "-",
    "!",
    "&&",
    "0.5",
    "1e400",
    "\"${",
    "%{ if true }",
    "%{ endif }",
    "%{ for x in y ~}",
    "<<-EOT\n",
    "\nEOT\n",
    "for x in ",
    " => ",
    "var.x",
    "local.a",
    "try(",
    "yamldecode(",
    "jsondecode(",
    "csvdecode(",
    "format(",
    "\"%09999d\"",
    "regexall(",
    "\"(a*)*b\"",
    "cidrsubnet(",
    "range(",
    "setproduct(",
    "timeadd(",
    "templatefile(",
    "\"10.0.0.0/8\"",
    "&a [*a]",
    "\n",
    " ",
    "\u{feff}",
    "/*",
];

fn wrapped(expression: &str) -> String {
    format!(
        "locals {{\n  a = [1, \"b\"]\n}}\njob \"j\" {{\n  meta {{\n    x = {expression}\n  }}\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"d\"\n    }}\n  }}\n}}\n"
    )
}

fn look(text: &str) -> String {
    let parsed = check(&Input::new("x.nomad.hcl", text));
    assert_eq!(parsed.job.is_none(), parsed.has_errors());
    for diagnostic in &parsed.diagnostics {
        assert!(!diagnostic.summary.is_empty());
        if let Some(range) = &diagnostic.range {
            let (start, end) = (range.start.byte as usize, range.end.byte as usize);
            assert!(start <= end && end <= text.len(), "{diagnostic:?}");
            assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "{diagnostic:?}");
        }
    }
    parsed.diagnostics.first().map(|d| d.summary.clone()).unwrap_or_default()
}

#[test]
fn jobspecs() {
    let seeds = [
        include_str!("whole.nomad.hcl"),
        "job \"j\" {\n  group \"g\" {\n    task \"t\" {\n      driver = \"d\"\n    }\n  }\n}\n",
    ];
    let fuzz = Fuzz::new(env!("CARGO_MANIFEST_DIR"), "jobspecs").words(&WORDS).seeds(seeds).longest(8_000);
    fuzz.limit(Duration::from_secs(5)).texts(|text| {
        // Anywhere, in the middle of a character and behind the end too.
        for at in [0, text.len() / 3, text.len() / 2, text.len(), text.len() + 7] {
            complete(text, at);
            hover("x.nomad.hcl", text, at);
        }
        look(text)
    });
}

#[test]
fn expressions() {
    let seeds = [
        "[for x in range(9) : format(\"%03d\", x) if x != 2]",
        "{ for k, v in { a = 1 } : k => v... }",
        "yamldecode(\"a: &x [1]\\nb: *x\")",
        "jsonencode(jsondecode(\"{\\\"a\\\":[1e5]}\"))",
        "csvdecode(\"a,b\\n1,2\")[0].a",
        "try(cidrsubnet(\"10.0.0.0/8\", 8, 2), timeadd(\"2026-01-01T00:00:00Z\", \"1h\"))",
        "regexall(\"(a)(b)?\", \"abab\")",
        "\"%{ for x in local.a ~} ${x} %{ endfor }\"",
        "setproduct([1, 2], [\"a\"], local.a)",
        "formatdate(\"YYYY-MM-DD'T'hh:mm\", \"2026-01-01T00:00:00Z\")",
        "local.a[*].b == null ? -1 : !true",
    ];
    let fuzz = Fuzz::new(env!("CARGO_MANIFEST_DIR"), "expressions").words(&WORDS).seeds(seeds).longest(1_500);
    fuzz.limit(Duration::from_secs(5)).texts(|text| look(&wrapped(text)));
}

/// The same job as JSON, which `job run` and `/v1/jobs/parse` take too.
#[test]
fn json() {
    let seeds = [
        r#"{"Job": {"ID": "j", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "d"}]}]}}"#,
        r#"{"job": {"j": {"group": {"g": {"task": {"t": {"driver": "d", "config": {"command": "${var.x}"}}}}}}}}"#,
    ];
    let words = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "\"job\"",
        "\"group\"",
        "\"Job\"",
        "null",
        "\"${",
        "1e400",
        "\"Count\"",
        "\"30s\"",
    ];
    let fuzz = Fuzz::new(env!("CARGO_MANIFEST_DIR"), "json").words(&words).seeds(seeds).longest(4_000);
    fuzz.texts(|text| match parse_json(text) {
        Ok(job) => {
            let written = serde_json::json!({ "Job": job }).to_string();
            let again = parse_json(&written).expect("what is written is read");
            assert_eq!(serde_json::json!({ "Job": again }).to_string(), written);
            job.task_groups.is_some().to_string()
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            error.to_string()
        }
    });
}
