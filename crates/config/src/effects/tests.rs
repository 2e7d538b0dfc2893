use super::*;
use crate::agent::AgentConfig;
use crate::hcl1;
use crate::schema::{AGENT, OWN_PLUGIN};

fn of(text: &str) -> String {
    let notes = notes(&hcl1::parse(text).expect("it parses"), &AGENT);
    let line = |n: &Note| format!("{} {}: {}\n", if n.refused { "refused" } else { "warned" }, n.at, n.message);
    notes.values().flatten().map(line).collect()
}

#[test]
fn what_would_protect_is_refused_and_the_rest_is_warned_of() {
    insta::assert_snapshot!(of(r#"
        acl { enabled = true }
        tls {
          http = true
          ca_file = "/etc/ca.pem"
        }
        server { raft_protocol = 3 raft_multiplier = 5 }
        client { options = { "driver.denylist" = "docker" "user.denylist" = "root" "made.up" = "1" } }
        plugin "docker" { config { infra_image = "pause:1" gc { image = false } allow_privileged = true } }
        plugin "podman" { args = ["-v"] config { socket = "x" } }
        consul { address = "127.0.0.1:8500" }
        audit { enabled = true }
        client { fingerprint "env_aws" { retry_attempts = 3 } }
    "#), @r#"
    refused 2:15: "acl.enabled" would let in only who has a token; this version can't do that. Take it out if the agent may run without such protection
    refused 12:9: "audit" would write who did what to an audit log; this version can't do that. Take it out if the agent may run without such protection
    warned 13:18: "client.fingerprint.env_aws" has no effect: no fingerprint "env_aws" of this version can fail
    warned 8:84: "client.options.made.up" has no effect in this version
    warned 11:9: "consul" has no effect in this version
    warned 9:36: "plugin.docker.config.infra_image" has no effect in this version
    warned 7:36: "server.raft_multiplier" has no effect in this version
    "#);
}

#[test]
fn what_is_off_or_so_in_any_case_is_not_spoken_of() {
    let text = r#"
        acl { enabled = false }
        tls { http = true rpc = false tls_prefer_server_cipher_suites = true }
        audit { enabled = false }
        limits { log_rotate_bytes = 10 https_handshake_timeout = "5000ms" }
        server { encrypt = "" enable_event_broker = true }
        telemetry { prometheus_metrics = true }
        disable_update_check = true
        plugin "raw_exec" { config { enabled = true denied_envvars = ["AWS_*"] } }
        plugin "docker" { config {
          allowed_modes { pid = ["host"] ipc = ["host"] }
          tls { cert = "/c" key = "/k" ca = "/a" }
          allow_devices = ["/dev/fuse"]
          allow_security_opts = ["seccomp=unconfined"]
        } }
    "#;
    assert_eq!(of(text), "");
    let json = r#"{"acl": {"enabled": true}, "audit": [{"enabled": true}]}"#;
    assert_eq!(of(json).lines().filter(|line| line.starts_with("refused")).count(), 2);
}

/// A value that is not the default, as HCL.
fn unusual(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true",
        Kind::Int => "3217",
        Kind::Float => "41.5",
        Kind::Duration => "\"77s\"",
        Kind::Size => "\"7MB\"",
        Kind::Str => "\"unusual\"",
        Kind::List | Kind::Appended => "[\"unusual\"]",
        Kind::Map => "{ unusual = \"unusual\" }",
        Kind::Free => "{ unusual = true }",
        Kind::Options(_) | Kind::Labelled(_) | Kind::Block(_) => unreachable!("has keys of its own"),
    }
}

/// Every key below `schema`, as a file that sets it alone, twice: switches are tried both ways.
fn files(schema: &'static Block, wrap: &dyn Fn(String) -> String, each: &mut dyn FnMut(&str, Effect, [String; 2])) {
    for (kind, effect, keys) in schema.0 {
        for key in keys.split_whitespace() {
            let quoted = format!("{key:?}");
            match (*kind, *effect) {
                (Kind::Block(inner), Effect::Read) => files(inner, &|text| wrap(format!("{key} {{ {text} }}")), each),
                (Kind::Options(inner), _) => files(inner, &|text| wrap(format!("{key} {{ {text} }}")), each),
                (Kind::Labelled(inner), Effect::Read) if key == "plugin" => {
                    for (name, config) in ["docker", "raw_exec", "exec", "java", "qemu", "nvidia-gpu"]
                        .map(|name| (name, plugin_config(name)))
                    {
                        let within = |text| wrap(format!("plugin \"{name}\" {{ config {{ {text} }} }}"));
                        files(config.expect("a known driver"), &within, each);
                    }
                    for (name, inner) in [("docker", &OWN_PLUGIN), ("unusual", inner)] {
                        let within = |text| wrap(format!("plugin \"{name}\" {{ {text} }}"));
                        // What the `config` of our own may hold was tried key by key.
                        files(inner, &within, &mut |key, effect, texts| match (name, key) {
                            ("docker", "config") => {}
                            _ => each(key, effect, texts),
                        });
                    }
                }
                (Kind::Labelled(inner), Effect::Read) => {
                    let label = if key == "fingerprint" { "network" } else { "unusual" };
                    files(inner, &|text| wrap(format!("{key} {label:?} {{ {text} }}")), each);
                }
                (Kind::Block(inner) | Kind::Labelled(inner), effect) => {
                    let label = if matches!(kind, Kind::Labelled(_)) { "\"unusual\" " } else { "" };
                    let (kind, _, first) = inner.0[0];
                    let first = first.split_whitespace().next().expect("a key");
                    let value = if matches!(kind, Kind::Block(_)) { "{ unusual = 1 }" } else { unusual(kind) };
                    let text = wrap(format!("{key} {label}{{ {first} = {value} }}"));
                    each(key, effect, [text.clone(), text]);
                }
                (Kind::Bool, effect) => {
                    each(key, effect, ["true", "false"].map(|value| wrap(format!("{quoted} = {value}"))));
                }
                (kind, effect) => {
                    let text = wrap(format!("{quoted} = {}", unusual(kind)));
                    each(key, effect, [text.clone(), text]);
                }
            }
        }
    }
}

fn typed(text: &str) -> String {
    let (tree, mistakes) = crate::tree::check(&hcl1::parse(text).expect("it parses"), &AGENT);
    assert_eq!(mistakes, [], "{text}");
    let config: AgentConfig = serde_json::from_value(tree).unwrap_or_else(|e| panic!("{text}: {e}"));
    format!("{config:?}")
}

/// The promise: whatever key is set, it has an effect, is refused, or is warned of.
#[test]
fn every_key_has_an_effect_a_refusal_or_a_warning() {
    let mut tried = 0;
    files(&AGENT, &|text| text, &mut |key, effect, texts| {
        tried += 1;
        let notes: Vec<String> = texts.iter().map(|text| of(text)).collect();
        match effect {
            Effect::Read => {
                assert!(notes.iter().all(String::is_empty), "{texts:?}: {notes:?}");
                assert!(texts.iter().any(|text| typed(text) != typed("")), "{key}: {texts:?} changes nothing");
            }
            Effect::Guard { .. } => assert!(notes.iter().any(|n| n.starts_with("refused")), "{texts:?}"),
            // A switch without any effect is warned of in the position that asks for something.
            Effect::Idle { given } if given.len() < 2 => {
                assert!(notes.iter().any(|n| n.starts_with("warned")), "{texts:?}");
            }
            Effect::Idle { .. } => {}
        }
    });
    assert!(tried > 250, "{tried} keys");
}
