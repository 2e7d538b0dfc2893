//! What a jobspec spells differently from the tree: tasks straight under a job, vault and secrets that are handed down,
//! the default identity, ports by kind, constraint shortcuts, scaling labels.

use tarpan_model::Dur;
use tarpan_model::job::{Job, Port, ScalingPolicy, Secret, Task, TaskGroup, Vault, WorkloadIdentity};
use tarpan_model::schema::{Block, Schema, Slot, SlotMut};

use super::{Decoder, View};
use crate::eval::Scope;
use crate::syntax::{Attribute, Body, Item, Span};

/// Operators that may be written as the name of an argument.
const SHORTCUTS: [&str; 8] =
    ["regexp", "version", "semver", "set_contains", "set_contains_all", "set_contains_any", "is_set", "is_not_set"];

/// Names that a body takes besides those of its schema.
pub(super) fn extra_names(schema: &Schema) -> impl Iterator<Item = &'static str> + use<> {
    let names: &'static [&'static str] = match schema.name {
        "Job" => &["task", "vault", "secret"],
        "TaskGroup" => &["vault", "secret"],
        "Constraint" => &[
            "distinct_hosts",
            "distinct_property",
            "regexp",
            "version",
            "semver",
            "set_contains",
            "set_contains_all",
            "set_contains_any",
            "is_set",
            "is_not_set",
        ],
        "Affinity" => &["regexp", "version", "semver", "set_contains", "set_contains_all", "set_contains_any"],
        _ => &[],
    };
    names.iter().copied()
}

/// A value that reading a block sets before its arguments.
pub(crate) enum Preset {
    Str(&'static str),
    Bool(bool),
    Duration(Dur),
}

/// What reading a block of this type sets before its arguments, by wire name.
pub(crate) fn presets(schema: &Schema) -> &'static [(&'static str, Preset)] {
    const FIVE_SECONDS: Dur = Dur::from_secs(5);
    match schema.name {
        "Template" => &[
            ("ChangeMode", Preset::Str("restart")),
            ("Perms", Preset::Str("0644")),
            ("ErrMissingKey", Preset::Bool(false)),
            ("Splay", Preset::Duration(FIVE_SECONDS)),
        ],
        "Vault" => {
            &[("Env", Preset::Bool(true)), ("DisableFile", Preset::Bool(false)), ("ChangeMode", Preset::Str("restart"))]
        }
        "ScalingPolicy" => &[("Type", Preset::Str("horizontal"))],
        "Constraint" | "Affinity" => &[("Operand", Preset::Str("="))],
        "PeriodicConfig" => &[("SpecType", Preset::Str("cron"))],
        "ChangeScript" => &[("Timeout", Preset::Duration(FIVE_SECONDS))],
        _ => &[],
    }
}

/// Sets the [`presets`] of a block that has just been made.
pub(crate) fn preset(block: &mut dyn Block) {
    for (json, value) in presets(block.schema()) {
        match (place_of(block, json), value) {
            (Some(SlotMut::Str(place)), Preset::Str(text)) => *place = Some((*text).to_owned()),
            (Some(SlotMut::Bool(place)), Preset::Bool(on)) => *place = Some(*on),
            (Some(SlotMut::Duration(place)), Preset::Duration(time)) => *place = Some(*time),
            _ => {}
        }
    }
}

fn place_of<'b>(block: &'b mut dyn Block, json: &str) -> Option<SlotMut<'b>> {
    let (index, _) = block.schema().by_json(json)?;
    Some(block.slot_mut(index))
}

fn set_str(block: &mut dyn Block, json: &str, value: &str) {
    if let Some(SlotMut::Str(place)) = place_of(block, json) {
        *place = Some(value.to_owned());
    }
}

impl Decoder<'_> {
    /// Constraint shortcuts: `version = ">= 2"` sets the operator and the right side.
    pub(super) fn special_attribute(
        &mut self,
        attribute: &Attribute,
        target: &mut dyn Block,
        scope: &Scope<'_>,
        path: &str,
    ) -> bool {
        let schema = target.schema().name;
        if schema != "Constraint" && schema != "Affinity" {
            return false;
        }
        let name = attribute.name.text.as_str();
        let side = match name {
            "distinct_property" => "LTarget",
            "distinct_hosts" => "RTarget",
            _ if SHORTCUTS.contains(&name) => "RTarget",
            _ => return false,
        };
        let span = attribute.expr.span;
        let value = self.eval.eval(&attribute.expr, scope);
        self.place(path, side, span);
        self.place(path, "Operand", attribute.name.span);
        match (name, value.to_bool()) {
            ("distinct_hosts" | "is_set" | "is_not_set", None) if value.is_known() => {
                self.eval.error(span, "Unsuitable value type", "Unsuitable value: a bool is required");
                return true;
            }
            ("is_set" | "is_not_set", on) => {
                if on == Some(true) {
                    set_str(target, "Operand", name);
                }
                return true;
            }
            ("distinct_hosts", Some(on)) => set_str(target, "RTarget", if on { "true" } else { "false" }),
            _ => {
                if let Some(slot) = place_of(target, side) {
                    self.store(slot, value, span);
                }
            }
        }
        set_str(target, "Operand", name);
        true
    }

    /// Blocks that the schema doesn't have where a jobspec takes them.
    pub(super) fn special_block(
        &mut self,
        view: &View<'_>,
        target: &mut dyn Block,
        scope: &Scope<'_>,
        path: &str,
    ) -> bool {
        match (target.schema().name, view.kind.text.as_str()) {
            // Read by `job` and `hand_down` in their own turn.
            ("Job" | "TaskGroup", "vault" | "secret") | ("Job", "task" | "group") => true,
            ("NetworkResource", "port") => {
                self.port(view, target, scope, path);
                true
            }
            ("NetworkResource", "reserved_ports") => {
                let detail = "Static ports are written as port blocks with an argument \"static\".";
                self.eval.error(view.kind.span, "Unsupported block type", detail);
                true
            }
            ("Task" | "SidecarTask", "identity") => {
                self.identity(view, target, scope, path);
                true
            }
            ("Task", "scaling") => {
                self.task_scaling(view, target, scope, path);
                true
            }
            _ => false,
        }
    }

    /// What holds for a whole body once its arguments are read.
    pub(super) fn finish(&mut self, body: &Body, target: &mut dyn Block) {
        if target.schema().name == "TaskLifecycle"
            && !body.items.iter().any(|i| matches!(i, Item::Attribute(a) if a.name.text == "hook"))
        {
            let open = Span { start: body.span.start, end: body.span.start + 1 };
            let detail = "The argument \"hook\" is required, but no definition was found.";
            self.eval.error(open, "Missing required argument", detail);
        }
    }

    /// The whole job block: groups made of bare tasks first, then the groups; then what is handed down.
    pub fn job(&mut self, view: &View<'_>, scope: &Scope<'_>) -> Job {
        let mut job = Job::default();
        let name = view.labels.first().map(|l| l.text.clone());
        if let Some(label) = view.labels.first() {
            self.place("", "ID", label.span);
            self.place("", "Name", label.span);
        }
        (job.id, job.name) = (name.clone(), name);
        self.body(view.body, &mut job, scope, "");
        let mut groups = Vec::new();
        self.each_block(view.body, scope, &mut |d, inner, scope| {
            if inner.kind.text == "task" {
                d.bare_task(inner, &mut groups, scope);
            }
        });
        self.each_block(view.body, scope, &mut |d, inner, scope| {
            if inner.kind.text == "group" {
                d.group(inner, &mut groups, scope);
            }
        });
        let (vault, secrets) = self.handed_down(view.body, scope);
        for group in &mut groups {
            self.hand_down(group, vault.as_ref(), &secrets, view.header());
        }
        if !groups.is_empty() {
            job.task_groups = Some(groups);
        }
        job
    }

    fn bare_task(&mut self, view: &View<'_>, groups: &mut Vec<TaskGroup>, scope: &Scope<'_>) {
        let Some(Some(label)) = self.labels(view, Some("name")) else {
            return;
        };
        let group_path = format!("TaskGroups[{}]", groups.len());
        let path = format!("{group_path}.Tasks[0]");
        self.at(group_path, view.header());
        self.at(path.clone(), view.header());
        let mut task = Task::default();
        self.child(view, Some(&label), &mut task, scope, &format!("{path}."));
        groups.push(TaskGroup { name: Some(label.text), tasks: Some(vec![task]), ..TaskGroup::default() });
    }

    fn group(&mut self, view: &View<'_>, groups: &mut Vec<TaskGroup>, scope: &Scope<'_>) {
        let Some(Some(label)) = self.labels(view, Some("name")) else {
            return;
        };
        let path = format!("TaskGroups[{}]", groups.len());
        self.at(path.clone(), view.header());
        let mut group = TaskGroup::default();
        self.child(view, Some(&label), &mut group, scope, &format!("{path}."));
        let (vault, secrets) = self.handed_down(view.body, scope);
        self.hand_down(&mut group, vault.as_ref(), &secrets, view.header());
        groups.push(group);
    }

    /// The vault and secret blocks of a job or group.
    fn handed_down(&mut self, body: &Body, scope: &Scope<'_>) -> (Option<Vault>, Vec<Secret>) {
        let mut vault = None;
        let mut secrets = Vec::new();
        self.each_block(body, scope, &mut |d, view, scope| match view.kind.text.as_str() {
            "vault" if d.labels(view, None).is_some() => {
                let mut block = Vault::default();
                d.child(view, None, &mut block, scope, "(vault).");
                if vault.replace(block).is_some() {
                    d.eval.error(view.header(), "Duplicate vault block", "Only one vault block is allowed here.");
                }
            }
            "secret" => {
                if let Some(Some(label)) = d.labels(view, Some("name")) {
                    let mut block = Secret::default();
                    d.child(view, Some(&label), &mut block, scope, "(secret).");
                    secrets.push(block);
                }
            }
            _ => {}
        });
        (vault, secrets)
    }

    /// Gives tasks the vault of their group or job when they have none, and its secrets besides their own.
    fn hand_down(&mut self, group: &mut TaskGroup, vault: Option<&Vault>, secrets: &[Secret], span: Span) {
        let all = secrets.iter().map(|s| weight(s)).sum::<u64>() + vault.map_or(0, |v| weight(v));
        for task in group.tasks.iter_mut().flatten() {
            if !self.eval.hold(all, span) {
                return;
            }
            if task.vault.is_none() {
                task.vault = vault.cloned();
            }
            if !secrets.is_empty() {
                task.secrets.get_or_insert_default().extend(secrets.iter().cloned());
            }
        }
    }

    fn port(&mut self, view: &View<'_>, target: &mut dyn Block, scope: &Scope<'_>, path: &str) {
        let Some(Some(label)) = self.labels(view, Some("name")) else {
            return;
        };
        let mut port = Port::default();
        // Which list it belongs to is known only when it has been read.
        self.child(view, Some(&label), &mut port, scope, "(port).");
        let list = if port.value.unwrap_or(0) > 0 { "ReservedPorts" } else { "DynamicPorts" };
        let Some((index, _)) = target.schema().by_json(list) else { return };
        let count = match target.slot(index) {
            Slot::Blocks(Some(list)) => list.len(),
            _ => 0,
        };
        let own = format!("{path}{list}[{count}]");
        let moved: Vec<(String, Span)> = ["Label", "Value", "To", "HostNetwork", "IgnoreCollision"]
            .iter()
            .filter_map(|name| Some((format!("{own}.{name}"), self.places.remove(&format!("(port).{name}"))?)))
            .collect();
        self.places.extend(moved);
        self.at(own, view.header());
        if let SlotMut::Blocks(list) = target.slot_mut(index) {
            copy(&port, list.push());
        }
    }

    fn identity(&mut self, view: &View<'_>, target: &mut dyn Block, scope: &Scope<'_>, path: &str) {
        if self.labels(view, None).is_none() {
            return;
        }
        let mut identity = WorkloadIdentity::default();
        self.child(view, None, &mut identity, scope, "(identity).");
        let is_default = matches!(identity.name.as_deref(), None | Some("" | "default"));
        let Some((list_index, _)) = target.schema().by_json("Identities") else { return };
        let single = target.schema().by_json("Identity").map(|(i, _)| i);
        if let SlotMut::Blocks(list) = target.slot_mut(list_index) {
            list.touch();
        }
        let (own, place) = match single {
            Some(index) if is_default => (format!("{path}Identity"), target.slot_mut(index)),
            _ => {
                let count = match target.slot(list_index) {
                    Slot::Blocks(Some(list)) => list.len(),
                    _ => 0,
                };
                (format!("{path}Identities[{count}]"), target.slot_mut(list_index))
            }
        };
        match place {
            SlotMut::Block(slot) => copy(&identity, slot.get_or_insert()),
            SlotMut::Blocks(list) => copy(&identity, list.push()),
            _ => {}
        }
        for field in identity.schema().fields {
            if let Some(span) = self.places.remove(&format!("(identity).{}", field.json)) {
                self.places.insert(format!("{own}.{}", field.json), span);
            }
        }
        self.at(own, view.header());
    }

    fn task_scaling(&mut self, view: &View<'_>, target: &mut dyn Block, scope: &Scope<'_>, path: &str) {
        let Some(Some(label)) = self.labels(view, Some("name")) else {
            return;
        };
        let kind = match label.text.as_str() {
            "cpu" => "vertical_cpu",
            "mem" => "vertical_mem",
            _ => {
                let detail = "scaling policy name must be \"cpu\" or \"mem\"";
                self.eval.error(label.span, "Invalid scaling policy name", detail);
                return;
            }
        };
        let Some((index, _)) = target.schema().by_json("ScalingPolicies") else { return };
        let count = match target.slot(index) {
            Slot::Blocks(Some(list)) => list.len(),
            _ => 0,
        };
        let own = format!("{path}ScalingPolicies[{count}]");
        self.at(own.clone(), view.header());
        let mut policy = ScalingPolicy::default();
        self.child(view, None, &mut policy, scope, &format!("{own}."));
        let written = |body: &Body| body.items.iter().any(|i| matches!(i, Item::Attribute(a) if a.name.text == "type"));
        if !written(view.body) {
            policy.type_ = Some(kind.to_owned());
        }
        if let SlotMut::Blocks(list) = target.slot_mut(index) {
            copy(&policy, list.push());
        }
    }
}

/// About how many bytes a copy of a block without blocks in it takes.
fn weight(block: &dyn Block) -> u64 {
    let text = |t: &String| t.len() as u64 + size_of::<String>() as u64;
    let held: u64 = (0..block.schema().fields.len())
        .map(|index| match block.slot(index) {
            Slot::Str(v) => v.map_or(0, |t| t.len() as u64),
            Slot::Strs(v) => v.into_iter().flatten().map(text).sum(),
            Slot::Map(v) => v.into_iter().flatten().map(|(k, v)| text(k) + text(v)).sum(),
            Slot::Free(v) => v.map_or(0, |free| free.0.iter().map(|(k, v)| text(k) + json_weight(v)).sum()),
            _ => 0,
        })
        .sum();
    size_of_val(block) as u64 + held
}

fn json_weight(json: &serde_json::Value) -> u64 {
    let inside: u64 = match json {
        serde_json::Value::String(text) => text.len() as u64,
        serde_json::Value::Array(items) => items.iter().map(json_weight).sum(),
        serde_json::Value::Object(map) => map.iter().map(|(k, v)| 64 + k.len() as u64 + json_weight(v)).sum(),
        _ => 0,
    };
    size_of::<serde_json::Value>() as u64 + inside
}

/// Copies every field between two blocks of one type.
fn copy(from: &dyn Block, to: &mut dyn Block) {
    for index in 0..from.schema().fields.len() {
        match (from.slot(index), to.slot_mut(index)) {
            (Slot::Str(v), SlotMut::Str(place)) => *place = v.map(str::to_owned),
            (Slot::Int(v), SlotMut::Int(place)) => *place = v,
            (Slot::Uint(v), SlotMut::Uint(place)) => *place = v,
            (Slot::Bool(v), SlotMut::Bool(place)) => *place = v,
            (Slot::Duration(v), SlotMut::Duration(place)) => *place = v,
            (Slot::Strs(v), SlotMut::Strs(place)) => *place = v.map(<[String]>::to_vec),
            (Slot::Ints(v), SlotMut::Ints(place)) => *place = v.map(<[i64]>::to_vec),
            (Slot::Map(v), SlotMut::Map(place)) => *place = v.cloned(),
            (Slot::Lists(v), SlotMut::Lists(place)) => *place = v.cloned(),
            (Slot::Free(v), SlotMut::Free(place)) => *place = v.cloned(),
            _ => {}
        }
    }
}
