//! The rules of a job that need nothing but the job. Call it on a canonicalised or admitted job.
//!
//! Findings come in the order of the tree, each with its path and the texts it nests under. What is allowed but probably
//! not meant is in [`warnings`].

mod group;
mod mounts;
mod names;
mod service;
mod size;
mod task;
mod warnings;

pub use warnings::text as warnings_text;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::cron::Cron;
use super::{Affinity, Constraint, Finding, Job, JobType, ParameterizedJobConfig, PeriodicConfig, Spread};

/// Gathers findings while the rules walk the tree.
#[derive(Default)]
pub(super) struct Rules {
    findings: Vec<Finding>,
    path: Vec<String>,
    context: Vec<String>,
}

impl Rules {
    /// Records a finding about `field` of the block that the walk is in; an empty `field` is the block itself.
    fn say(&mut self, field: &str, message: impl Into<String>) {
        let mut path = self.path.join(".");
        if !field.is_empty() {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(field);
        }
        self.findings.push(Finding { path, context: self.context.clone(), message: message.into() });
    }

    /// Walks into `path`; findings inside nest under `context`.
    fn inside(&mut self, path: impl Into<String>, context: &[&str], walk: impl FnOnce(&mut Rules)) {
        let path = path.into();
        let named = !path.is_empty();
        if named {
            self.path.push(path);
        }
        let depth = self.context.len();
        self.context.extend(context.iter().map(|c| (*c).to_owned()));
        walk(self);
        self.context.truncate(depth);
        if named {
            self.path.pop();
        }
    }
}

impl Job {
    /// Broken rules, in the order of the tree. Empty for a job that may be registered.
    pub fn validate(&self) -> Vec<Finding> {
        let mut rules = Rules::default();
        self.unavailable(&mut rules);
        self.head(&mut rules);
        self.size(&mut rules);
        self.placement(&mut rules);
        self.task_groups(&mut rules);
        self.launches(&mut rules);
        // How much it may be is the servers' to say, and comes last.
        if !(1..=100).contains(&self.priority()) {
            rules.say("Priority", "job priority must be between [1, 100]");
        }
        rules.findings
    }

    /// Sentences about what is allowed but probably not meant.
    pub fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }

    /// Sentences about tasks whose `memory_max` does nothing where a cluster has no oversubscription.
    pub fn memory_warnings(&self) -> Vec<String> {
        warnings::memory(self)
    }

    /// What the job asks for and no server here gives.
    fn unavailable(&self, rules: &mut Rules) {
        if self.multiregion.is_some() {
            rules.say("Multiregion", "Multiregion jobs are unlicensed.");
        }
        for (g, group) in self.groups().iter().enumerate() {
            for (s, service) in group.services().iter().enumerate() {
                service.mesh(rules, group, &format!("TaskGroups[{g}].Services[{s}]"));
            }
        }
        let mut said = (false, false, false);
        for (g, group) in self.groups().iter().enumerate() {
            for (t, task) in group.tasks().iter().enumerate() {
                let path = format!("TaskGroups[{g}].Tasks[{t}]");
                if let Some(vault) = task.vault.as_ref().filter(|_| !said.0) {
                    said.0 = true;
                    let cluster = vault.cluster.as_deref().unwrap_or("default");
                    rules.say(&format!("{path}.Vault"), format!("Vault {cluster:?} not enabled but used in the job"));
                }
                let numa = task.resources.as_ref().and_then(|r| r.numa.as_ref()).and_then(|n| n.affinity.as_deref());
                if matches!(numa, Some("prefer" | "require")) && !said.1 {
                    said.1 = true;
                    rules.say(&format!("{path}.Resources.NUMA"), "numa scheduling requires Nomad Enterprise");
                }
                if task.schedule.is_some() && !said.2 {
                    said.2 = true;
                    rules.say(&format!("{path}.Schedule"), "task schedules requires Nomad Enterprise");
                }
            }
        }
    }

    fn head(&self, rules: &mut Rules) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        if text(&self.region).is_empty() {
            rules.say("Region", "Missing job region");
        }
        match text(&self.id) {
            id if id.is_empty() => rules.say("ID", "Missing job ID"),
            id if id.contains(' ') => rules.say("ID", "Job ID contains a space"),
            id if id.contains('\0') => rules.say("ID", "Job ID contains a null character"),
            _ => {}
        }
        match text(&self.name) {
            name if name.is_empty() => rules.say("Name", "Missing job name"),
            name if name.contains('\0') => rules.say("Name", "Job Name contains a null character"),
            _ => {}
        }
        self.names(rules);
        if text(&self.namespace).is_empty() {
            rules.say("Namespace", "Job must be in a namespace");
        }
        let kind = text(&self.type_);
        match kind.as_str() {
            "" => rules.say("Type", "Missing job type"),
            "_core" => rules.say("Type", "job type cannot be core"),
            kind if JobType::parse(kind).is_none() => rules.say("Type", format!("Invalid job type: {kind:?}")),
            _ => {}
        }
        for (i, _) in self.datacenters.iter().flatten().enumerate().filter(|(_, dc)| dc.is_empty()) {
            rules.say(&format!("Datacenters[{i}]"), "Missing job datacenters: a datacenter must not be an empty text");
        }
        if self.ui.as_ref().and_then(|ui| ui.description.as_ref()).is_some_and(|d| d.chars().count() > 1000) {
            rules.say("UI.Description", "UI description must be under 1000 characters");
        }
    }

    fn placement(&self, rules: &mut Rules) {
        constraints(rules, self.constraints.as_deref(), Level::Wide);
        let system = self.job_type() == JobType::System;
        affinities(rules, self.affinities.as_deref(), system);
        spreads(rules, self.spreads.as_deref(), system);
    }

    fn task_groups(&self, rules: &mut Rules) {
        if self.groups().is_empty() {
            rules.say("TaskGroups", "Missing job task groups");
        }
        let mut names = Firsts::default();
        for (index, group) in self.groups().iter().enumerate() {
            let path = format!("TaskGroups[{index}]");
            let number = index + 1;
            let first = names.of(group.name(), index);
            if group.name().is_empty() {
                rules.say(&path, format!("Job task group {number} missing name"));
            } else if let Some(first) = first {
                let message = format!("Job task group {number} redefines '{}' from group {}", group.name(), first + 1);
                rules.say(&path, message);
            }
            if matches!(self.job_type(), JobType::System | JobType::SysBatch) && group.count() > 1 {
                let message = format!(
                    "Job task group {} has count {}. Count cannot exceed 1 with system scheduler",
                    group.name(),
                    group.count()
                );
                rules.say(&format!("{path}.Count"), message);
            }
        }
        for (index, group) in self.groups().iter().enumerate() {
            let context = format!("Task group {} validation failed", shown(group.name()));
            rules.inside(format!("TaskGroups[{index}]"), &[&context], |rules| group.validate(rules, self));
        }
    }

    fn launches(&self, rules: &mut Rules) {
        let batch = matches!(self.job_type(), JobType::Batch | JobType::SysBatch);
        if let Some(periodic) = &self.periodic {
            if !batch {
                rules.say("Periodic", "Periodic can only be used with \"batch\" or \"sysbatch\" scheduler");
            }
            rules.inside("Periodic", &[""], |rules| periodic.validate(rules));
        }
        if let Some(parameterized) = &self.parameterized_job {
            if !batch {
                rules.say(
                    "ParameterizedJob",
                    "Parameterized job can only be used with \"batch\" or \"sysbatch\" scheduler",
                );
            }
            rules.inside("ParameterizedJob", &[""], |rules| parameterized.validate(rules));
        }
        if self.payload.as_deref().is_some_and(|p| !p.is_empty()) && self.dispatched != Some(true) {
            rules.say("Payload", "job can't be submitted with a payload, only dispatched");
        }
    }
}

impl PeriodicConfig {
    fn validate(&self, rules: &mut Rules) {
        let single = self.spec.as_deref().unwrap_or_default();
        let many = self.specs.as_deref().unwrap_or_default();
        match (single.is_empty(), many.is_empty()) {
            (true, true) => rules.say("", "Must specify a spec"),
            (false, false) => rules.say("", "Only cron or crons may be used, not both"),
            _ => {}
        }
        if let Some(zone) = self.time_zone.as_deref().filter(|z| !matches!(*z, "" | "Local"))
            && zone.parse::<chrono_tz::Tz>().is_err()
        {
            rules.say("TimeZone", format!("Invalid time zone {zone:?}: unknown time zone {zone}"));
        }
        let specs = many.iter().enumerate().map(|(i, s)| (format!("Specs[{i}]"), s.as_str()));
        let specs = specs.chain((!single.is_empty()).then(|| ("Spec".to_owned(), single)));
        for (field, spec) in specs {
            if let Err(reason) = Cron::parse(spec) {
                rules.say(&field, format!("Invalid cron spec {spec:?}: {reason}"));
            }
        }
    }
}

impl ParameterizedJobConfig {
    fn validate(&self, rules: &mut Rules) {
        if !matches!(self.payload.as_deref(), None | Some("optional" | "required" | "forbidden")) {
            rules.say(
                "Payload",
                format!("Unknown payload requirement: {:?}", self.payload.as_deref().unwrap_or_default()),
            );
        }
        let (required, optional) =
            (self.meta_required.as_deref().unwrap_or_default(), self.meta_optional.as_deref().unwrap_or_default());
        let both: Vec<&str> = required.iter().filter(|k| optional.contains(k)).map(String::as_str).collect();
        if !both.is_empty() {
            let message = format!(
                "Required and optional meta keys should be disjoint. Following keys exist in both: {}",
                both.join(", ")
            );
            rules.say("MetaOptional", message);
        }
    }
}

/// A name as it stands in a heading: as it is, unless a terminal or a log should not be shown it.
fn shown(name: &str) -> std::borrow::Cow<'_, str> {
    if crate::name::text(name, crate::name::MAX_PART).is_ok() { name.into() } else { crate::name::quoted(name).into() }
}

/// Where a constraint stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// In a job or group.
    Wide,
    Task,
}

fn constraints(rules: &mut Rules, list: Option<&[Constraint]>, level: Level) {
    for (index, constraint) in list.unwrap_or_default().iter().enumerate() {
        let operand = constraint.operand.as_deref().unwrap_or("=");
        if level == Level::Task && matches!(operand, "distinct_hosts" | "distinct_property") {
            let message = format!("Constraint {} has disallowed Operand at task level: {operand}", index + 1);
            rules.say(&format!("Constraints[{index}]"), message);
            continue;
        }
        let context = format!("Constraint {} validation failed", index + 1);
        rules.inside(format!("Constraints[{index}]"), &[&context], |rules| {
            let known = operands(rules, operand, constraint.l_target.as_deref(), constraint.r_target.as_deref());
            let special = match operand {
                "distinct_hosts" | "is_set" | "is_not_set" => true,
                "distinct_property" => {
                    let count = constraint.r_target.as_deref().unwrap_or_default();
                    if !count.is_empty() && !count.parse::<u64>().is_ok_and(|n| n > 0) {
                        rules.say("RTarget", "Distinct Property must have an allowed count of 1 or greater");
                    }
                    true
                }
                _ => false,
            };
            if !known && !special {
                rules.say("Operand", format!("Unknown constraint type {operand:?}"));
            }
        });
    }
}

/// Checks the right side of operators that read it; false for an operator that is none of the usual ones.
fn operands(rules: &mut Rules, operand: &str, left: Option<&str>, right: Option<&str>) -> bool {
    let right = right.unwrap_or_default();
    let reason = match operand {
        "regexp" => regex_check(right).err().map(|e| format!("Regular expression failed to compile: {e}")),
        "version" => version_constraint(right, true).err().map(|e| format!("Version constraint is invalid: {e}")),
        "semver" => version_constraint(right, false).err().map(|e| format!("Semver constraint is invalid: {e}")),
        "set_contains" | "set_contains_all" | "set_contains_any" if right.is_empty() => {
            Some("Set contains constraint requires an RTarget".to_owned())
        }
        "=" | "==" | "is" | "!=" | "not" | "<" | "<=" | ">" | ">=" => {
            right.is_empty().then(|| format!("Operator {operand:?} requires an RTarget"))
        }
        "set_contains" | "set_contains_all" | "set_contains_any" => None,
        _ => return false,
    };
    if let Some(reason) = reason {
        rules.say("RTarget", reason);
    }
    if left.unwrap_or_default().is_empty() {
        rules.say("LTarget", "No LTarget provided but is required by constraint");
    }
    true
}

/// Brackets and escapes of a regular expression; whoever runs it compiles it.
fn regex_check(pattern: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => return Err(format!("trailing backslash in {pattern:?}")),
            '\\' => {}
            '[' if !in_class => in_class = true,
            ']' if in_class => in_class = false,
            '(' if !in_class => open.push(c),
            ')' if !in_class && open.pop().is_none() => return Err(format!("unexpected ) in {pattern:?}")),
            _ => {}
        }
    }
    match (in_class, open.is_empty()) {
        (true, _) => Err(format!("missing closing ] in {pattern:?}")),
        (_, false) => Err(format!("missing closing ) in {pattern:?}")),
        _ if pattern.starts_with(['*', '+', '?']) => {
            Err(format!("missing argument to repetition operator in {pattern:?}"))
        }
        _ => Ok(()),
    }
}

/// A comma list of `>= 1.2` and the like; `~>` only where pessimistic constraints are known.
fn version_constraint(text: &str, pessimistic: bool) -> Result<(), String> {
    for part in text.split(',') {
        let part = part.trim();
        let version = part.trim_start_matches(['=', '!', '>', '<', '~']);
        let operator = &part[..part.len() - version.len()];
        let known = matches!(operator, "" | "=" | "!=" | ">" | "<" | ">=" | "<=") || pessimistic && operator == "~>";
        let version = version.trim();
        let version = if pessimistic { version.strip_prefix('v').unwrap_or(version) } else { version };
        let core = version.split(['-', '+']).next().unwrap_or_default();
        let numeric =
            !core.is_empty() && core.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let plain = version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'~'));
        if !known || !numeric || !plain {
            return Err(format!("malformed constraint: {part}"));
        }
    }
    Ok(())
}

fn affinities(rules: &mut Rules, list: Option<&[Affinity]>, system: bool) {
    let list = list.unwrap_or_default();
    if system && !list.is_empty() {
        return rules.say("Affinities", "System jobs may not have an affinity block");
    }
    for (index, affinity) in list.iter().enumerate() {
        let context = format!("Affinity {} validation failed", index + 1);
        rules.inside(format!("Affinities[{index}]"), &[&context], |rules| {
            let operand = affinity.operand.as_deref().unwrap_or("=");
            if !operands(rules, operand, affinity.l_target.as_deref(), affinity.r_target.as_deref()) {
                rules.say("Operand", format!("Unknown affinity operator {operand:?}"));
            }
            match affinity.weight.unwrap_or(50) {
                0 => rules.say("Weight", "Affinity weight cannot be zero"),
                -100..=100 => {}
                _ => rules.say("Weight", "Affinity weight must be within the range [-100,100]"),
            }
        });
    }
}

fn spreads(rules: &mut Rules, list: Option<&[Spread]>, system: bool) {
    let list = list.unwrap_or_default();
    if system && !list.is_empty() {
        return rules.say("Spreads", "System jobs may not have a spread block");
    }
    for (index, spread) in list.iter().enumerate() {
        let context = format!("Spread {} validation failed", index + 1);
        rules.inside(format!("Spreads[{index}]"), &[&context], |rules| {
            if spread.attribute.as_deref().unwrap_or_default().is_empty() {
                rules.say("Attribute", "Missing spread attribute");
            }
            if !(1..=100).contains(&spread.weight.unwrap_or(50)) {
                rules.say("Weight", "Spread block must have a positive weight from 0 to 100");
            }
            let targets = spread.spread_target.as_deref().unwrap_or_default();
            let mut sum = 0;
            let mut values = Firsts::default();
            for (t, target) in targets.iter().enumerate() {
                let (value, percent) = (target.value.as_deref().unwrap_or_default(), target.percent.unwrap_or(0));
                if values.of(&target.value, t).is_some() {
                    rules.say(&format!("SpreadTarget[{t}]"), format!("Spread target value {value:?} already defined"));
                }
                if !(0..=100).contains(&percent) {
                    let message = format!("Spread target percentage for value {value:?} must be between 0 and 100");
                    rules.say(&format!("SpreadTarget[{t}].Percent"), message);
                }
                sum += percent;
            }
            if sum > 100 {
                rules.say(
                    "SpreadTarget",
                    format!("Sum of spread target percentages must not be greater than 100%; got {sum}%"),
                );
            }
        });
    }
}

/// Where each of many keys stood first. A job may hold tens of thousands of anything, so nothing compares all with all.
struct Firsts<K>(HashMap<K, usize>);

impl<K> Default for Firsts<K> {
    fn default() -> Self {
        Firsts(HashMap::new())
    }
}

impl<K: Hash + Eq> Firsts<K> {
    /// The index at which `key` was met before; else it is met now, at `index`.
    fn of(&mut self, key: K, index: usize) -> Option<usize> {
        match self.0.entry(key) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(place) => {
                place.insert(index);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
