//! Small or large, no text costs more than its budget: it is refused with a place and a sentence, in little time, and
//! what people write stays far below.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tarpan_jobspec::{Input, Limits, Parsed, check};

/// Generous: builds for tests are slow, and so are busy machines. Without bounds these texts take minutes or all memory.
const PATIENCE: Duration = Duration::from_secs(60);

fn job(args: &str) -> String {
    format!(
        "job \"j\" {{\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"docker\"\n      config {{\n        image = \"x\"\n        args  = {args}\n      }}\n    }}\n  }}\n}}\n"
    )
}

fn with_locals(locals: &str) -> String {
    format!("locals {{\n{locals}\n}}\n{}", job("[]"))
}

fn read(text: &str) -> Parsed {
    let start = Instant::now();
    let parsed = check(&Input::new("x", text));
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    parsed
}

/// `text` is refused for its cost, the finding naming the bound and standing somewhere in the text.
#[track_caller]
fn refused(text: &str, summary: &str) {
    let parsed = read(text);
    let found = parsed.diagnostics.iter().find(|d| d.summary == summary);
    let found = found.unwrap_or_else(|| panic!("no {summary:?} in {:?}", parsed.diagnostics.first()));
    assert!(found.detail.bytes().any(|b| b.is_ascii_digit()), "names the bound: {}", found.detail);
    let range = found.range.as_ref().expect("a place");
    assert!(range.start.byte as usize <= text.len() && range.start.line >= 1);
    assert!(parsed.job.is_none());
}

#[track_caller]
fn too_large(text: &str) {
    refused(text, "Too much memory");
}

#[track_caller]
fn too_slow(text: &str) {
    refused(text, "Too much work");
}

/// `a0` to `a<n>`, each made of the one before.
fn chain(n: usize, first: &str, next: impl Fn(&str) -> String) -> String {
    let rest: String = (1..=n).map(|i| format!("  a{i} = {}\n", next(&format!("local.a{}", i - 1)))).collect();
    format!("locals {{\n  a0 = {first}\n{rest}}}\n")
}

#[test]
fn values_that_share_their_insides_are_not_written_out() {
    let doubled = chain(29, "[\"lol\", \"lol\"]", |before| format!("[{before}, {before}]"));
    assert!(doubled.len() < 1000);
    too_large(&format!("{doubled}{}", job("local.a29")));
    too_large(&chain(59, "{ a = \"lol\" }", |before| format!("{{ a = {before}, b = {before} }}")));
    let yaml: String = (1..60).map(|i| format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}]\n", i - 1)).collect();
    let text = with_locals(&format!("  y = yamldecode(<<E\na0: &a0 [x, x]\n{yaml}E\n)\n  j = jsonencode(local.y)"));
    let parsed = read(&text);
    assert!(parsed.diagnostics[0].detail.contains("repeat too much"), "{:?}", parsed.diagnostics);
}

#[test]
fn texts_that_double_are_refused() {
    too_large(&chain(59, "\"0123456789\"", |before| format!("\"${{{before}}}${{{before}}}\"")));
    too_large(&chain(59, "\"0123456789\"", |before| format!("join({before}, [{before}, {before}])")));
    too_large(&chain(59, "\"0123456789\"", |before| format!("replace({before}, \"0\", {before})")));
    too_large(&chain(59, "\"<>\"", |before| format!("jsonencode({before})")));
    too_large(&chain(59, "\"0123456789\"", |before| format!("format(\"%[1]s%[1]s\", {before})")));
    too_slow(&chain(59, "\"xx\"", |before| format!("regex_replace({before}, \"(.)\", \"$1$1$1\")")));
    too_large(&chain(59, "\"0123456789\"", |before| format!("base64encode({before})")));
}

#[test]
fn functions_pay_before_they_make() {
    let long = |what: &str| format!("  s = \"{}\"\n  f = {what}", "x".repeat(1_000_000));
    too_large(&with_locals(&long(&format!("format(\"{}\", local.s)", "%[1]s".repeat(1000)))));
    too_large(&with_locals(&long("[for i in range(4) : split(\"\", local.s)]")));
    too_large(&with_locals(&format!("  s = <<E\n{}E\n  f = indent(1000, local.s)", "\n".repeat(200_000))));
    too_large(&with_locals(&format!("  f = jsondecode(\"[{}0]\")", "0,".repeat(1_000_000))));
    too_large(&with_locals(&format!("  f = csvdecode(<<E\n{},b\n{}E\n)", "h".repeat(10_000), ",\n".repeat(20_000))));
    too_large(&with_locals("  f = setproduct(range(1000), range(1000), range(1000), [])"));
    too_slow(&with_locals(
        "  l = [for a in range(1000) : \"x${a}\"]\n  f = [for a in range(1000) : distinct(local.l)]",
    ));
    too_slow(&with_locals("  f = [for a in range(1000) : bcrypt(\"x\", 12)]"));
    too_slow(&with_locals("  f = [for a in range(1000) : regex_replace(\"a\", \"(\\\\w{1,20}){1,9}${a}\", \"\")]"));
    too_slow(&with_locals(&format!(
        "  s = \"{}\"\n  f = [for a in range(1000) : regex_replace(local.s, \"(.*[^A-Z]|[A-Z])x?\", \"$1\")]",
        "A".repeat(20_000)
    )));
}

#[test]
fn loops_are_paid_for() {
    too_large(&with_locals("  f = [for a in range(1000) : [for b in range(1000) : [for c in range(1000) : a]]]"));
    too_slow(&with_locals(
        "  f = [for a in range(1000) : [for b in range(1000) : [for c in range(1000) : c if a == b && b < c]]]",
    ));
    let findings = read(&with_locals("  f = [for a in range(300) : [for b in range(300) : null.x]]")).diagnostics.len();
    assert!(findings < 500, "{findings}");
    let dynamic = "job \"j\" {\n group \"g\" {\n  dynamic \"task\" {\n   for_each = range(1000)\n   labels = [\"t${task.key}\"]\n   content {\n    driver = \"docker\"\n    dynamic \"template\" {\n     for_each = range(1000)\n     content {\n      data = \"x\"\n      destination = \"local/x\"\n     }\n    }\n   }\n  }\n }\n}\n";
    too_large(dynamic);
}

#[test]
fn large_texts_make_no_larger_trees_than_allowed() {
    too_large(&job(&format!("[{}]", "1,".repeat(1_900_000))));
    too_large(&format!("job \"j\" {{\n meta {{\n  x = <<E\n{}E\n }}\n}}\n", "\n".repeat(3_900_000)));
    too_large(&format!("{{\"job\": {{\"j\": {{\"meta\": {{\"x\": [{}1]}}}}}}}}", "1,".repeat(1_900_000)));
    too_large(&format!("job \"j\" {{\n{}}}\n", "group \"g\" {\n}\n".repeat(250_000)));
    let block = |kind: &str, n: usize| (0..n).map(|i| format!("{kind} \"x{i}\" {{\n}}\n")).collect::<String>();
    too_large(&format!("job \"j\" {{\n{} group \"g\" {{\n{}}}\n}}\n", block("secret", 20_000), block("task", 20_000)));
}

#[test]
fn nothing_is_too_deep_for_the_stack() {
    for text in [
        chain(20_000, "[]", |before| format!("[{before}]")),
        chain(20_000, "{}", |before| format!("{{ a = {before} }}")),
        with_locals(&format!("  a = {}1{}", "(".repeat(90), format!("{})", "+1".repeat(199)).repeat(90))),
        with_locals(&format!("  a = {}x{}", "(".repeat(90), format!("{})", ".a".repeat(199)).repeat(90))),
        with_locals(&format!("  a = jsondecode(\"{}\")", "[".repeat(100_000))),
        with_locals(&format!("  a = yamldecode(\"{}\")", "[".repeat(100_000))),
        with_locals(&format!("  a = yamldecode(\"{}\")", "- ".repeat(100_000))),
    ] {
        // The smallest stack that reads jobspecs is a browser's.
        let reader = std::thread::Builder::new().stack_size(1 << 20).spawn(move || read(&text).has_errors());
        assert!(reader.expect("a thread").join().expect("no overflow"));
    }
}

#[test]
fn many_of_anything_are_looked_at_in_little_time() {
    let many = |kind: &str, n: usize, body: &str| {
        (0..n).map(|i| format!("{kind} \"x{i}\" {{\n{body}}}\n")).collect::<String>()
    };
    let services: String = (0..15_000).map(|i| format!("service {{\n name = \"s{i}\"\n}}\n")).collect();
    let start = Instant::now();
    read(&format!("job \"j\" {{\n group \"g\" {{\n{services}}}\n}}\n"));
    read(&format!("job \"j\" {{\n{}}}\n", many("group", 15_000, "")));
    read(&format!("job \"j\" {{\n group \"g\" {{\n{}}}\n}}\n", many("task", 15_000, "")));
    read(&format!("job \"j\" {{\n group \"g\" {{\n network {{\n{}}}\n}}\n}}\n", many("port", 30_000, "")));
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
}

#[test]
fn a_large_honest_job_is_read() {
    let group = |i: usize| {
        format!(
            r#"  group "web-{i}" {{
    count = 3
    network {{
      port "http" {{
        to = 8080
      }}
    }}
    service {{
      name = "web-{i}"
      port = "http"
      provider = "nomad"
      check {{
        type     = "http"
        path     = "/health"
        interval = "10s"
        timeout  = "2s"
      }}
    }}
    task "server" {{
      driver = "docker"
      config {{
        image = "registry.example.com/team/web:${{var.version}}"
        ports = ["http"]
      }}
      env {{
        NAME = "web-{i}"
        MORE = jsonencode({{ site = local.sites[{i} % 100], all = length(local.sites) }})
      }}
      resources {{
        cpu    = 200
        memory = 256
      }}
    }}
  }}
"#
        )
    };
    let head = "variable \"version\" {\n  default = \"1.2.3\"\n}\nlocals {\n  sites = [for i in range(100) : { name = \"site-${i}\", region = i % 2 == 0 ? \"eu\" : \"us\" }]\n}\njob \"big\" {\n";
    let text = format!("{head}{}}}\n", (0..2000).map(group).collect::<String>());
    assert!(text.len() > 1 << 20);
    let parsed = read(&text);
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics.iter().find(|d| d.is_error()));
    assert_eq!(parsed.job.expect("a job").groups().len(), 2000);
}

#[test]
fn reading_stops_when_nobody_waits() {
    let stop = Arc::new(AtomicBool::new(true));
    let text = job("[for i in range(10) : i]");
    let parsed = check(&Input { stop: Some(&stop), ..Input::new("x", &text) });
    assert!(parsed.diagnostics.iter().any(|d| d.summary == "Reading was stopped"), "{:?}", parsed.diagnostics);
    assert!(parsed.job.is_none());
}

#[test]
fn a_spent_budget_is_said_even_where_mistakes_are_caught() {
    let text = job("try([for a in range(1000) : a], [])");
    let limits = Limits { steps: 500, ..Limits::DEFAULT };
    let parsed = check(&Input { limits, ..Input::new("x", &text) });
    assert!(parsed.diagnostics.iter().any(|d| d.summary == "Too much work"), "{:?}", parsed.diagnostics);
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
