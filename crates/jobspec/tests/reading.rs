//! What reading a jobspec gives: values, jobs, findings with their places.

use tarpan_jobspec::{Input, Parsed, VarFile, Variables, check, parse};

/// The value of a meta entry computed by `expression`, or the first finding.
fn eval(expression: &str) -> String {
    let text = format!("job \"j\" {{\n  meta {{\n    v = {expression}\n  }}\n}}\n");
    let parsed = parse(&Input::new("x.hcl", &text));
    match parsed.job {
        Some(job) => job.meta.unwrap_or_default().remove("v").unwrap_or_default(),
        None => format!("! {}", parsed.diagnostics[0].summary),
    }
}

#[test]
fn expressions() {
    for (expression, wanted) in [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3 - 10 / 4", "6.5"),
        ("0.1 + 0.2", "0.3"),
        ("-5 % 3", "-2"),
        ("true ? \"a\" : nope()", "a"),
        ("!false && 1 < 2", "true"),
        ("\"1\" + 2", "3"),
        ("join(\",\", [for i, x in [\"a\", \"b\"] : \"${i}${x}\" if x != \"b\"])", "0a"),
        ("jsonencode({ for k, v in { a = 1, b = 1 } : v => k... })", "{\"1\":[\"a\",\"b\"]}"),
        ("join(\"-\", [{ n = 1 }, { n = 2 }][*].n)", "1-2"),
        ("\"%{ for x in [1, 2] }<${x}>%{ endfor }\"", "<1><2>"),
        ("\"%{ if false }a%{ else }b%{ endif }\"", "b"),
        ("\"$${x} %%{y} ${attr.cpu.arch}\"", "${x} %{y} ${attr.cpu.arch}"),
        ("node.class", "${node.class}"),
        ("env[\"HOME\"]", "${env[\"HOME\"]}"),
        ("{ a = [10, 20] }.a[1]", "20"),
        ("[1, 2].1", "2"),
        ("try(local.nope, 1 / 0, \"c\")", "c"),
        ("can(1 / 0)", "false"),
        ("jsonencode(convert([\"1\"], list(number)))", "[1]"),
        ("1 / 0", "! Division by zero"),
        ("nope()", "! Call to unknown function"),
        ("upper(\"a\", \"b\")", "! Too many function arguments"),
        ("upper()", "! Not enough function arguments"),
        ("[1][5]", "! Invalid index"),
        ("\"a\".b", "! Unsupported attribute"),
        ("[for x in 5 : x]", "! Iteration over non-iterable value"),
        ("var.x", "! Unsupported attribute"),
        ("\"a${null}\"", "! Invalid template interpolation value"),
        ("[1, 2]", "! Unsuitable value type"),
    ] {
        assert_eq!(eval(expression), wanted, "{expression}");
    }
}

#[test]
fn functions() {
    for (expression, wanted) in [
        ("abs(-1.5)", "1.5"),
        ("parseint(\"-1011\", 2)", "-11"),
        ("log(8, 2)", "3"),
        ("pow(2, 10)", "1024"),
        ("pow(2, 0.5)", "1.4142135623730951"),
        ("pow(10, -7)", "0.0000001"),
        ("log(5, 10)", "0.6989700043360187"),
        ("pow(-8, 0.5)", "! Error in function call"),
        ("title(\"two words\")", "Two Words"),
        ("substr(\"hello\", -3, 2)", "ll"),
        ("regex_replace(\"a1b22\", \"[0-9]+\", \"<$0>\")", "a<1>b<22>"),
        ("jsonencode(split(\",\", \"a,,b\"))", "[\"a\",\"\",\"b\"]"),
        ("jsonencode(chunklist([1, 2, 3], 2))", "[[1,2],[3]]"),
        ("jsonencode(setproduct([\"a\"], [1, 2]))", "[[\"a\",1],[\"a\",2]]"),
        ("jsonencode(range(3))", "[0,1,2]"),
        ("jsonencode(range(3, 0))", "[3,2,1]"),
        ("jsonencode(merge({ a = 1 }, { b = 2 }, { a = 3 }))", "{\"a\":3,\"b\":2}"),
        ("lookup({ a = 1 }, \"b\", \"none\")", "none"),
        ("element([\"a\", \"b\"], 3)", "b"),
        ("format(\"%03d|%-4s|%.1f|%x|%q|%v\", 7, \"ab\", 2.25, 255, \"q\", [1])", "007|ab  |2.2|ff|\"q\"|[1]"),
        ("jsonencode(formatlist(\"%s-%d\", [\"a\", \"b\"], 1))", "[\"a-1\",\"b-1\"]"),
        ("base64decode(base64encode(\"h\u{e9}\"))", "h\u{e9}"),
        ("jsondecode(\"{\\\"a\\\": [1, {\\\"b\\\": null}]}\").a[0]", "1"),
        ("yamldecode(\"a: [1, yes]\\nb: 'yes'\").a[1]", "true"),
        ("yamlencode({ a = [\"x\", { b = 1 }], c = {} })", "\"a\":\n- \"x\"\n- \"b\": 1\n\"c\": {}\n"),
        ("csvdecode(\"a,b\\n1,2\\n\")[0].b", "2"),
        ("urlencode(\"a b/c\")", "a+b%2Fc"),
        ("sha256(\"\")", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("uuidv5(\"dns\", \"example.org\")", "aad03681-8b63-5304-89e0-8ca8f49461b5"),
        ("strlen(uuidv4())", "36"),
        ("cidrhost(\"10.0.0.0/8\", 256)", "10.0.1.0"),
        ("cidrnetmask(\"10.0.0.0/20\")", "255.255.240.0"),
        ("cidrsubnet(\"fd00::/48\", 16, 2)", "fd00:0:0:2::/64"),
        ("jsonencode(cidrsubnets(\"10.0.0.0/24\", 1, 2))", "[\"10.0.0.0/25\",\"10.0.0.128/26\"]"),
        ("formatdate(\"YYYY-MM-DD 'at' HH:mm aa\", \"2024-02-29T15:04:05Z\")", "2024-02-29 at 03:04 pm"),
        ("timeadd(\"2024-02-28T23:00:00Z\", \"90m\")", "2024-02-29T00:30:00Z"),
        ("file(\"x\")", "! Error in function call"),
        ("cidrhost(\"10.0.0.0/30\", 9)", "! Invalid function argument"),
        ("element([], 0)", "! Invalid function argument"),
    ] {
        assert_eq!(eval(expression), wanted, "{expression}");
    }
}

fn places(parsed: &Parsed) -> Vec<(u32, String)> {
    let line = |d: &tarpan_jobspec::Diagnostic| d.range.as_ref().map_or(0, |r| r.start.line);
    parsed.diagnostics.iter().filter(|d| d.is_error()).map(|d| (line(d), d.summary.clone())).collect()
}

#[test]
fn five_mistakes_have_five_findings() {
    let text = r#"job "shop" {
  type     = "servise"
  priority = "high"
  group "web" {
    cuont = 2
    task "serve" {
      driver = "docker"
      leader = "maybe"
      resources {
        memory = 2
      }
    }
  }
}
"#;
    let parsed = check(&Input::new("shop.hcl", text));
    let summaries = [
        (2, "Invalid job"),
        (3, "Unsuitable value type"),
        (5, "Unsupported argument"),
        (8, "Unsuitable value type"),
        (10, "Invalid job"),
    ];
    assert_eq!(places(&parsed), summaries.map(|(line, text)| (line, text.to_owned())));
    assert!(parsed.job.is_none() && parsed.partial.is_some());
    assert!(parsed.diagnostics[2].detail.contains("Did you mean \"count\"?"), "{}", parsed.diagnostics[2]);
}

#[test]
fn rules_point_at_what_they_are_about() {
    let text = "job \"a b\" {\n  group \"g\" {\n    task \"t\" {\n      driver = \"exec\"\n      constraint {\n        attribute = \"x\"\n        operator = \"resembles\"\n      }\n    }\n    task \"u\" {\n    }\n  }\n}\n";
    let parsed = check(&Input::new("x.hcl", text));
    let found: Vec<(u32, &str)> =
        parsed.diagnostics.iter().map(|d| (d.range.as_ref().unwrap().start.line, d.detail.as_str())).collect();
    assert_eq!(
        found,
        [(1, "Job ID contains a space"), (7, "Unknown constraint type \"resembles\""), (10, "Missing task driver"),]
    );
}

#[test]
fn mistakes_of_syntax_have_line_and_column() {
    for (text, wanted) in [
        ("job \"x\" {\n  a: 1\n}\n", "x.hcl:2,3-4: Argument or block definition required"),
        ("job \"x\" {\n  name = \"abc\n}\n", "x.hcl:2,10-14: Invalid multi-line string"),
        ("job \"x\" {\n", "x.hcl:1,9-10: Unclosed configuration block"),
        ("job \"x\" {\n}\n}\n", "x.hcl:3,1-2: Argument or block definition required"),
        ("job \"x\" {\n  datacenters = [\"a\" \"b\"]\n}\n", "x.hcl:2,22-23: Missing item separator"),
        ("job \"x\" {\n  meta { a = 1 b = 2 }\n}\n", "x.hcl:2,16-17: Invalid single-argument block definition"),
        ("job \"x\" {\n  \"name\" = 1\n}\n", "x.hcl:2,3-4: Invalid argument name"),
        ("", "<nil>: Missing job block"),
    ] {
        let parsed = parse(&Input::new("x.hcl", text));
        let said = parsed.diagnostics[0].to_string();
        assert!(said.starts_with(wanted), "{said}");
    }
    let two = parse(&Input::new("x.hcl", "job \"x\" {\n  a: 1\n  name = \"n\"\n  b: 2\n}\n"));
    assert_eq!(two.diagnostics.len(), 2, "{:?}", two.diagnostics);
}

#[test]
fn declared_variables_are_told() {
    let text = "variable \"tag\" {\n  description = \"Of the image.\"\n  sensitive = true\n}\nvariable \"hosts\" {\n  type = list(string)\n  default = [\"a\"]\n}\nvariables {\n  n = 3\n  s = \"x\"\n}\njob \"j\" {}\n";
    let told = parse(&Input::new("x.hcl", text)).variables;
    let told: Vec<_> = told.iter().map(|v| (v.name.as_str(), v.kind.as_str(), v.default.as_deref())).collect();
    let wanted = [
        ("hosts", "list of string", Some("[\"a\"]")),
        ("n", "number", Some("3")),
        ("s", "string", Some("x")),
        ("tag", "string", None),
    ];
    assert_eq!(told, wanted);
    let tag = parse(&Input::new("x.hcl", text)).variables.pop().expect("four variables");
    assert_eq!((tag.description.as_str(), tag.sensitive), ("Of the image.", true));
}

#[test]
fn what_was_meant_is_suggested() {
    let suggested = |line: &str| {
        let text = format!("job \"j\" {{\n  {line}\n}}\n");
        check(&Input::new("x.hcl", &text)).diagnostics.iter().find_map(|d| d.suggestion().map(str::to_owned))
    };
    assert_eq!(suggested("datacentres = [\"a\"]").as_deref(), Some("datacenters"));
    assert_eq!(suggested("grup \"g\" {}").as_deref(), Some("group"));
    assert_eq!(suggested("nothing_like_it = 1"), None);
}

#[test]
fn variables_take_the_last_source() {
    let text = "variable \"n\" {\n  type = number\n  default = 1\n  validation {\n    condition = var.n < 10\n    error_message = \"Too many.\"\n  }\n}\nvariable \"l\" {\n  type = list(string)\n  default = []\n}\njob \"j\" {\n  meta {\n    n = var.n\n    l = join(\",\", var.l)\n  }\n}\n";
    let read = |variables: &Variables| {
        let parsed = parse(&Input { variables, ..Input::new("x.hcl", text) });
        match parsed.job {
            Some(job) => format!("{:?}", job.meta.unwrap_or_default().into_values().collect::<Vec<_>>()),
            None => parsed.diagnostics.iter().map(|d| d.summary.clone()).collect::<Vec<_>>().join("; "),
        }
    };
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let mut variables = Variables::default();
    assert_eq!(read(&variables), r#"["", "1"]"#);
    variables.env = [pair("n", "2"), pair("unknown", "x")].into();
    assert_eq!(read(&variables), r#"["", "2"]"#);
    variables.files = vec![VarFile { name: "a.vars".into(), text: "n = 3\nl = [\"x\", \"y\"]\n".into() }];
    assert_eq!(read(&variables), r#"["x,y", "3"]"#);
    variables.args = vec![pair("n", "4"), pair("l", "[\"z\"]")];
    assert_eq!(read(&variables), r#"["z", "4"]"#);
    variables.args = vec![pair("n", "40")];
    assert_eq!(read(&variables), "Invalid value for variable");
    variables.args = vec![pair("n", "x")];
    assert_eq!(read(&variables), "Invalid argument value for -var variable");
    variables.args = vec![pair("l", "plain")];
    assert_eq!(read(&variables), "Variables not allowed");
    variables.args = vec![pair("m", "1")];
    assert_eq!(read(&variables), "Undefined -var variable");
}

#[test]
fn locals_may_come_in_any_order_but_not_in_circles() {
    let text =
        "locals {\n  a = \"${local.b}!\"\n  b = upper(local.c)\n  c = \"x\"\n}\njob \"j\" {\n  name = local.a\n}\n";
    assert_eq!(parse(&Input::new("x", text)).job.and_then(|j| j.name).as_deref(), Some("X!"));
    let circle = "locals {\n  a = local.b\n  b = local.a\n}\njob \"j\" {\n  name = local.a\n}\n";
    assert_eq!(parse(&Input::new("x", circle)).diagnostics[0].summary, "Circular local values");
}

#[test]
fn the_json_form_reads_like_the_native_one() {
    let native = "job \"j\" {\n  datacenters = [\"a\"]\n  meta = { k = \"v\" }\n  group \"g\" {\n    count = 2\n    network {\n      port \"p\" {\n        static = 80\n      }\n    }\n    task \"t\" {\n      driver = \"exec\"\n      config {\n        command = \"x\"\n      }\n    }\n  }\n}\n";
    let json = r#"{"job": {"j": {"datacenters": ["a"], "meta": {"k": "v"}, "group": [{"g": {"count": 2,
        "network": {"port": {"p": {"static": 80}}}, "task": {"t": {"driver": "exec", "config": {"command": "x"}}}}}]}}}"#;
    let read = |text: &str| {
        let parsed = parse(&Input::new("x", text));
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        parsed.job
    };
    assert_eq!(read(native), read(json));
}

#[test]
fn the_whole_sample_reads_and_keeps_every_rule() {
    let parsed = check(&Input::new("whole.nomad.hcl", include_str!("whole.nomad.hcl")));
    let errors: Vec<String> = parsed.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let job = parsed.job.expect("no errors");
    let names: Vec<(&str, u64)> = job.groups().iter().map(|g| (g.name(), g.count())).collect();
    assert_eq!(names, [("web-north", 1), ("web-south", 2)]);
    let template = job.groups()[0].tasks()[0].templates.as_ref().unwrap()[0].embedded_tmpl.as_deref();
    assert!(template.is_some_and(|t| t.contains("region = north\n")), "{template:?}");
}

#[test]
fn every_text_that_the_other_parser_reads_is_read() {
    for text in [
        include_str!("whole.nomad.hcl"),
        "a = 1\nb \"c\" d {\n  e = [1, 2, # x\n  3]\n}\n",
        "x = <<EOT\n a ${b} c\n EOT\ny = { \"k\" : 1, (z) = 2 }\n",
        "s = a.b.0.c[*].d\nt = a.*.b\nu = f(x...)\n",
    ] {
        assert!(hcl::parse(text).is_ok(), "{text}");
        let (_, errors) = tarpan_jobspec::syntax::parse(text);
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn a_job_of_five_hundred_lines_is_read_at_once() {
    let group = |i: usize| {
        format!(
            "  group \"g{i}\" {{\n    count = {i} + 1\n    task \"t\" {{\n      driver = \"exec\"\n      config {{\n        command = \"x\"\n        args = [\"-a\", \"${{NOMAD_ALLOC_ID}}\"]\n      }}\n      resources {{\n        cpu = 100\n        memory = 64\n      }}\n    }}\n  }}\n"
        )
    };
    let text = format!("job \"j\" {{\n{}}}\n", (0..33).map(group).collect::<String>());
    assert!(text.lines().count() >= 450);
    let before = std::time::Instant::now();
    let parsed = check(&Input::new("x", &text));
    let took = before.elapsed();
    assert!(!parsed.has_errors());
    println!("read and checked {} lines in {took:?}", text.lines().count());
}
