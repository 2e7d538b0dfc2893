//! What is printed reads back as the same job, is read by the other parser too, and looks as a person would write it.

use proptest::prelude::*;
use serde_json::{Value, json};
use tarpan_model::Job;

use super::{kept, print};
use crate::{Input, parse, parse_json};

/// The job as JSON once it is taken in, without what is empty: that may be written or not. In a free block an object
/// is a list of it.
fn taken_in(job: &Job) -> Value {
    fn bare(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(bare),
            Value::Object(map) => {
                for (_, free) in map.iter_mut().filter(|(key, _)| matches!(key.as_str(), "Config" | "Policy")) {
                    for value in free.as_object_mut().into_iter().flat_map(|o| o.values_mut()).filter(|v| v.is_object())
                    {
                        *value = json!([value.take()]);
                    }
                }
                map.values_mut().for_each(bare);
                let empty = [json!(null), json!(""), json!([]), json!({}), json!(0), json!(false)];
                map.retain(|_, v| !empty.contains(v));
            }
            _ => {}
        }
    }
    let mut value = json!(kept::normal(job));
    bare(&mut value);
    value
}

/// Paths where two values differ.
fn differ(path: &str, wanted: &Value, got: &Value, out: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                differ(&format!("{path}.{key}"), &wanted[key], &got[key], out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().for_each(|(i, (a, b))| differ(&format!("{path}[{i}]"), a, b, out));
        }
        _ if wanted == got => {}
        _ => out.push(format!("{path}: wanted {wanted}, got {got}")),
    }
}

/// Prints, reads back and compares.
#[track_caller]
fn round(job: &Job) -> String {
    let text = print(job);
    let parsed = parse(&Input::new("printed", &text));
    let said: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    let back = parsed.job.unwrap_or_else(|| panic!("{}\n{text}", said.join("\n")));
    let (wanted, got) = (taken_in(job), taken_in(&back));
    let mut differences = Vec::new();
    differ("", &wanted, &got, &mut differences);
    assert!(differences.is_empty(), "{}\n{text}", differences.join("\n"));
    if let Err(error) = hcl::parse(&text) {
        panic!("the other parser: {error}\n{text}");
    }
    assert_eq!(crate::layout::format(&text), text, "laid out");
    text
}

fn read(text: &str) -> Job {
    let parsed = parse(&Input::new("x", text));
    let said: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    parsed.job.unwrap_or_else(|| panic!("{}", said.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_job_reads_back(job in tarpan_testkit::any::written_job()) {
        round(&job);
    }

    #[test]
    fn jobs_that_run_read_back(job in tarpan_testkit::any::job("web")) {
        round(&job);
    }

    /// Once as the user's, once as the server keeps it: nothing that the server adds is in the text.
    #[test]
    fn a_stored_job_prints_as_the_one_that_was_sent(job in tarpan_testkit::any::written_job()) {
        prop_assert_eq!(print(&kept::normal(&job)), print(&job));
    }
}

#[test]
fn what_a_jobspec_can_say_reads_back() {
    round(&read(include_str!("../../tests/whole.nomad.hcl")));
}

#[test]
fn a_stored_job_is_printed_as_a_person_would_write_it() {
    let mut job = parse_json(
        r#"{"Job": {
            "ID": "web", "Type": "service", "Datacenters": ["dc1"], "Priority": 50, "Meta": {"owner": "ops", "a.b/c": "x"},
            "Update": {"MaxParallel": 2, "Stagger": 30000000000},
            "TaskGroups": [{
                "Name": "front", "Count": 3,
                "Constraints": [{"LTarget": "${attr.kernel.name}", "RTarget": "linux", "Operand": "="}],
                "RestartPolicy": {"Attempts": 5, "Interval": 3600000000000, "Delay": 15000000000, "Mode": "fail"},
                "Networks": [{"Mode": "bridge", "DynamicPorts": [{"Label": "http", "To": 8080}],
                              "ReservedPorts": [{"Label": "admin", "Value": 9000}]}],
                "Services": [{"Name": "web", "Provider": "nomad", "PortLabel": "http",
                    "Checks": [{"Type": "http", "Path": "/", "Interval": 10000000000, "Timeout": 2000000000,
                                "Header": {"Accept": ["application/json"]}}]}],
                "Tasks": [{
                    "Name": "server", "Driver": "docker",
                    "Config": {
                        "image": "nginx:1.27", "ports": ["http"],
                        "args": ["-c", "set -e\nexec nginx -g 'daemon off;'\n"],
                        "labels": {"com.example/team": "web"},
                        "mount": [{"type": "bind", "source": "local", "target": "/data", "readonly": true}]
                    },
                    "Env": {"ADDR": "${NOMAD_ADDR_http}", "SHELL": "${HOME:-/}"},
                    "Templates": [{"EmbeddedTmpl": "listen {{ env \"NOMAD_PORT_http\" }};\nroot ${NOMAD_TASK_DIR}; # ${x y}\n",
                                   "DestPath": "local/nginx.conf", "ChangeMode": "signal", "ChangeSignal": "SIGHUP"}],
                    "Resources": {"CPU": 200, "MemoryMB": 128, "MemoryMaxMB": 0, "IOPS": 0}
                }]
            }]
        }}"#,
    )
    .unwrap();
    let sent = round(&job);
    job.admit(&tarpan_model::job::Admission::default());
    let text = round(&job);
    assert_eq!(sent, text);
    assert_eq!(text, include_str!("web.nomad.hcl"));
}

/// One task `t` in a group `g`, with this besides.
fn with_task(task: &str, group: &str) -> Job {
    let text = format!(
        r#"{{"ID": "j", "TaskGroups": [{{"Name": "g", {group} "Tasks": [{{"Name": "t", "Driver": "mock", {task} "User": ""}}]}}]}}"#
    );
    parse_json(&text).unwrap()
}

#[test]
fn what_a_default_would_say_otherwise_is_said() {
    let restart = r#""RestartPolicy": {"Attempts": 2},"#;
    let group = r#""RestartPolicy": {"Attempts": 5},"#;
    let text = round(&with_task(restart, group));
    assert!(text.contains("attempts = 5") && text.contains("attempts = 2"), "{text}");
    let text = round(&with_task(r#""RestartPolicy": {"Attempts": 5},"#, group));
    assert_eq!(text.matches("restart {").count(), 1, "{text}");
    let text =
        round(&with_task(r#""Templates": [{"DestPath": "x", "Uid": 0, "Splay": 0, "ErrMissingKey": true}],"#, ""));
    assert!(text.contains("uid                  = 0") && text.contains("splay                = \"0s\""), "{text}");
    let text = round(&with_task(r#""LogConfig": {"Enabled": false},"#, r#""Count": 0,"#));
    assert!(text.contains("enabled = false") && text.contains("count = 0"), "{text}");
    let text = round(&with_task(r#""Vault": {"Env": false, "ChangeMode": "noop"},"#, ""));
    assert!(text.contains("env         = false"), "{text}");
}

#[test]
fn blocks_that_a_jobspec_spells_otherwise_are_spelled_so() {
    let text = round(&with_task(
        r#""Identity": {"Env": true}, "Identities": [{"Name": "vault", "Audience": ["vault.io"], "TTL": 3600000000000}],
           "ScalingPolicies": [{"Type": "vertical_mem", "Max": 512, "Policy": {"cooldown": "1m"}}],
           "Lifecycle": {"Sidecar": true},"#,
        r#""Scaling": {"Min": 1, "Max": 3}, "Volumes": {"data": {"Type": "host", "Source": "disk"}},"#,
    ));
    for part in
        ["identity {\n        env = true", "ttl  = \"1h\"", "scaling \"mem\"", "volume \"data\"", "hook    = \"\""]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("vertical_mem"), "{text}");
}

#[test]
fn no_text_gets_out_of_its_quotes() {
    for hostile in [
        "\"\n}\njob \"other\" {}\n",
        "${file(\"/etc/passwd\")}",
        "a $${x} %%{y} %{ if true }z",
        "$$${x}",
        "\u{202e}txt.exe",
        "line\nEOF\nEOT\nEOF1\n}\n",
        "line\r\nline",
        "nul \0 and escape \u{1b}[2J\nsecond",
        "trailing $",
        "\\${x}\\",
        "${var.secret} and ${attr.cpu.arch}",
        "a\nb",
        "\n",
        "\n\n",
    ] {
        let json = serde_json::to_string(hostile).unwrap();
        let job = with_task(
            &format!(
                r#""Env": {{"A": {json}, {json}: "b"}}, "Meta": {{"A": {json}}}, "Config": {{"a": {json}, "b": [{json}, {{{json}: {json}}}]}},"#
            ),
            &format!(
                r#""Services": [{{"Name": {json}, "Tags": [{json}]}}], "Volumes": {{{json}: {{"Source": {json}}}}},"#
            ),
        );
        let text = round(&job);
        assert!(!text.chars().any(|c| c == '\u{202e}' || (c.is_control() && c != '\n')), "{text:?}");
    }
}

/// Wherever it stands: JSON may have a numbered one among the dynamic ports.
#[test]
fn a_port_with_a_number_is_a_reserved_one() {
    let resources = json!({"Networks": [{"DynamicPorts": [{"Label": "a", "Value": 3}, {"Label": "b"}]}]});
    let services = json!([{"Name": "s", "Connect": {"SidecarTask": {"Resources": resources}}}]);
    let task = json!({"Name": "t", "Driver": "docker", "Resources": resources, "Services": services});
    let group = json!({"Name": "g", "Tasks": [task], "Networks": resources["Networks"], "Services": services});
    let job = json!({"ID": "x", "Name": "x", "TaskGroups": [group]});
    let text = round(&serde_json::from_value(job).expect("a job"));
    assert_eq!(text.matches("static = 3").count(), 4, "{text}");
}

#[test]
fn what_cannot_be_written_is_named() {
    let mut job = with_task(r#""Config": {"a b": 1, "c": {"d": {"e": 2}}, "n": 2.0},"#, "");
    job.vault_namespace = Some("team".into());
    let text = print(&job);
    let head: Vec<&str> = text.lines().take(3).collect();
    assert_eq!(head[0], "# A jobspec has no word for VaultNamespace.");
    assert_eq!(head[1], "# A jobspec has no word for TaskGroups.Tasks.Config[\"a b\"].");
    assert!(head[2].starts_with("job"), "{text}");
    let back = read(&text);
    let config = back.groups()[0].tasks()[0].config.as_ref().unwrap();
    assert_eq!(json!(config), json!({"c": [{"d": {"e": 2}}], "n": 2}));
}

/// Ten thousand tasks are printed in a moment, and a text as deep as JSON may be does not end the process.
#[test]
fn large_and_deep_jobs_are_printed() {
    let deep = format!("{}1{}", "{\"a\": [".repeat(25), "]}".repeat(25));
    round(&with_task(&format!(r#""Config": {{"a": {deep}}},"#), ""));
    let mut job = with_task("", "");
    let task = job.groups()[0].tasks()[0].clone();
    job.task_groups.as_mut().unwrap()[0].tasks = Some(vec![task; 10_000]);
    let text = print(&job);
    assert_eq!(text.matches("task \"t\"").count(), 10_000);
}
