//! What a person may do with host volumes, as questions.

use leptos::prelude::*;
use tarpan_api::wire::{HostVolume, HostVolumeRequest, VolumeCapability};
use tarpan_api::{Client, calls};

use crate::format::short;
use crate::lang::storage::s;
use crate::lang::{counted, fill, t};
use crate::pages::in_namespace;
use crate::parts::dialog::{Ask, Done, doing};

/// Deletes a volume; says what breaks.
pub fn delete(namespace: String, id: String, name: String, users: usize, holders: &[String]) -> Ask {
    let own = s();
    let mut text = own.delete_volume_text.to_owned();
    if users > 0 {
        text.push(' ');
        text.push_str(&counted(own.one_mounts_it, own.n_mount_it, users as u64));
    }
    if !holders.is_empty() {
        text.push(' ');
        text.push_str(&fill(own.holders_start_empty, &[&holders.join(", ")]));
    }
    Ask {
        title: fill(own.delete_x, &[&name]),
        text,
        command: Signal::stored(format!("tarpan volume delete -type host{} {}", flag(&namespace), short(&id))),
        verb: fill(own.delete_verb, &[&name]),
        icon: "x",
        danger: true,
        act: Callback::new(move |client: Client| -> Done {
            let (call, said) =
                (calls::delete_host_volume(&in_namespace(&namespace), &id, false), fill(own.deleted_x, &[&name]));
            doing(async move { client.call(&call).await.map(|_| said) })
        }),
    }
}

/// Lets a group go to another volume.
pub fn let_go(namespace: String, id: String, job: &str, group: &str) -> Ask {
    let texts = t();
    let own = s();
    let what = format!("{job}/{group}");
    Ask {
        title: fill(own.let_go_x, &[&what]),
        text: own.let_go_text.to_owned(),
        command: Signal::stored(format!("tarpan volume claim delete{} {}", flag(&namespace), short(&id))),
        verb: own.let_go_verb.to_owned(),
        icon: "unlink",
        danger: true,
        act: Callback::new(move |client: Client| -> Done {
            let call = calls::delete_host_volume_claim(&in_namespace(&namespace), &id);
            doing(async move { client.call(&call).await.map(|_| texts.done.to_owned()) })
        }),
    }
}

fn flag(namespace: &str) -> String {
    if namespace.is_empty() || namespace == "default" { String::new() } else { format!(" -namespace {namespace}") }
}

/// What a new volume is to be, as the dialog's fields have it.
#[derive(Clone, Copy)]
pub struct Form {
    pub name: RwSignal<String>,
    pub plugin: RwSignal<String>,
    pub pool: RwSignal<String>,
    pub access: RwSignal<String>,
    /// `key = value` lines.
    pub parameters: RwSignal<String>,
}

impl Form {
    pub fn new() -> Form {
        Form {
            name: RwSignal::new(String::new()),
            plugin: RwSignal::new("mkdir".to_owned()),
            pool: RwSignal::new("default".to_owned()),
            access: RwSignal::new("single-node-writer".to_owned()),
            parameters: RwSignal::new(String::new()),
        }
    }

    fn wanted(self) -> HostVolume {
        HostVolume {
            name: self.name.get().trim().to_owned(),
            plugin_id: self.plugin.get().trim().to_owned(),
            node_pool: self.pool.get().trim().to_owned(),
            capabilities: vec![VolumeCapability {
                access_mode: self.access.get(),
                attachment_mode: "file-system".to_owned(),
            }],
            parameters: pairs(&self.parameters.get()),
            ..HostVolume::default()
        }
    }
}

/// Names and values of `key = value` lines; others are left out.
fn pairs(text: &str) -> std::collections::BTreeMap<String, String> {
    let pair =
        |line: &str| line.split_once('=').map(|(k, v)| (k.trim().to_owned(), v.trim().trim_matches('"').to_owned()));
    text.lines().filter_map(pair).filter(|(key, _)| !key.is_empty()).collect()
}

/// The specification that says the same, for `volume create -`.
fn specification(v: &HostVolume) -> String {
    let mut text =
        format!("name = {:?}\ntype = \"host\"\nplugin_id = {:?}\nnode_pool = {:?}\n", v.name, v.plugin_id, v.node_pool);
    for c in &v.capabilities {
        text.push_str(&format!(
            "capability {{\n  access_mode = {:?}\n  attachment_mode = {:?}\n}}\n",
            c.access_mode, c.attachment_mode
        ));
    }
    if !v.parameters.is_empty() {
        let lines: String = v.parameters.iter().map(|(k, v)| format!("  {k} = {v:?}\n")).collect();
        text.push_str(&format!("parameters {{\n{lines}}}\n"));
    }
    text
}

/// Has a plugin make a volume.
pub fn create(form: Form) -> Ask {
    let own = s();
    let command =
        Signal::derive(move || format!("tarpan volume create - <<'END'\n{}END", specification(&form.wanted())));
    Ask {
        title: own.new_volume.to_owned(),
        text: own.new_volume_text.to_owned(),
        command,
        verb: own.create_volume.to_owned(),
        icon: "plus",
        danger: false,
        act: Callback::new(move |client: Client| -> Done {
            let volume = untrack(|| form.wanted());
            let said = fill(own.created_x, &[&volume.name]);
            let request = HostVolumeRequest { volume: Some(volume), policy_override: false };
            let call = calls::create_host_volume(&in_namespace(""), &request);
            doing(async move { client.call(&call).await.map(|_| said) })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_parameters() {
        let found = pairs("mode = \"0755\"\n\nuid=7\nnonsense\n = x\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("mode".into(), "0755".into()), ("uid".into(), "7".into())]);
    }

    #[test]
    fn the_command_says_the_same() {
        let volume = HostVolume {
            name: "a\"b".to_owned(),
            plugin_id: "mkdir".to_owned(),
            node_pool: "default".to_owned(),
            parameters: [("mode".to_owned(), "0755".to_owned())].into(),
            ..HostVolume::default()
        };
        let text = specification(&volume);
        assert!(
            text.starts_with("name = \"a\\\"b\"\ntype = \"host\"\n")
                && text.ends_with("parameters {\n  mode = \"0755\"\n}\n"),
            "{text}"
        );
    }
}
