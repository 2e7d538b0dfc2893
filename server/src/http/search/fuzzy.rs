//! Names that contain a text, in any case, with the place where each belongs.

use std::collections::BTreeMap;

use tarpan_api::wire::FuzzyMatch;
use tarpan_control::places;
use tarpan_model::Job;
use tarpan_state::State;

use super::needs::needs;
use super::prefix;
use crate::http::caller::READ_JOB;
use crate::http::context::Context;

/// What only a fuzzy search knows.
pub const CONTEXTS: [&str; 6] = ["groups", "services", "tasks", "images", "commands", "classes"];

/// Most results of one context.
const LIMIT: usize = 20;

type Found = BTreeMap<String, Vec<FuzzyMatch>>;

/// Matches by context, best first, and which contexts had more.
pub fn search(state: &State, cx: &Context, contexts: &[&'static str], text: &str) -> (Found, BTreeMap<String, bool>) {
    let needle = text.to_lowercase();
    let mut hits = Hits { needle: &needle, found: BTreeMap::new() };
    for (_, job) in state.jobs().filter(|(key, _)| cx.sees_as(READ_JOB, key.namespace.as_str())) {
        of_job(&mut hits, job);
    }
    for node in state.nodes() {
        let id = node.id.to_string();
        hits.add("nodes", &node.name, &[&id]);
        if !node.node_class.is_empty() {
            hits.add("classes", &node.node_class, &[&id]);
        }
    }
    for row in state.allocs().filter(|r| cx.sees_as(READ_JOB, r.namespace.as_str())) {
        hits.add("allocs", &row.name, &[row.namespace.as_str(), &row.id.to_string()]);
    }
    for namespace in places::namespaces(state) {
        hits.add("namespaces", &namespace, &[]);
    }
    for pool in places::node_pools(state) {
        hits.add("node_pools", &pool, &[]);
    }
    for row in state.host_volumes().filter(|r| cx.sees_as(needs("host_volumes"), r.namespace.as_str())) {
        hits.add("host_volumes", &row.name, &[row.namespace.as_str(), &row.id.to_string()]);
    }
    // These have no names: their ids are searched from the start.
    for context in ["evals", "deployment"] {
        for id in prefix::search(state, cx, context, text).0 {
            let ranked = hits.found.entry(context).or_default();
            ranked.push((0, FuzzyMatch { id, scope: Vec::new() }));
        }
    }
    hits.ranked(contexts)
}

struct Hits<'a> {
    needle: &'a str,
    /// With the position of the text in the name.
    found: BTreeMap<&'static str, Vec<(usize, FuzzyMatch)>>,
}

impl Hits<'_> {
    fn add(&mut self, context: &'static str, name: &str, scope: &[&str]) {
        let Some(position) = name.to_lowercase().find(self.needle) else { return };
        let hit = FuzzyMatch { id: name.to_owned(), scope: scope.iter().map(|s| (*s).to_owned()).collect() };
        let hits = self.found.entry(context).or_default();
        if !hits.iter().any(|(_, h)| *h == hit) {
            hits.push((position, hit));
        }
    }

    /// Earliest position first, then shortest name, then by name.
    fn ranked(self, contexts: &[&'static str]) -> (Found, BTreeMap<String, bool>) {
        let (mut matches, mut truncations) = (BTreeMap::new(), BTreeMap::new());
        for (context, mut hits) in self.found {
            if !contexts.contains(&context) {
                continue;
            }
            hits.sort_by(|(p, a), (q, b)| (p, a.id.len(), &a.id, &a.scope).cmp(&(q, b.id.len(), &b.id, &b.scope)));
            truncations.insert(context.to_owned(), hits.len() > LIMIT);
            matches.insert(context.to_owned(), hits.into_iter().take(LIMIT).map(|(_, hit)| hit).collect());
        }
        (matches, truncations)
    }
}

fn of_job(hits: &mut Hits<'_>, job: &Job) {
    let (namespace, id) = (job.namespace(), job.id());
    hits.add("jobs", job.name.as_deref().unwrap_or(id), &[namespace, id]);
    for group in job.groups() {
        hits.add("groups", group.name(), &[namespace, id]);
        for service in group.services() {
            if let Some(name) = &service.name {
                hits.add("services", name, &[namespace, id, group.name()]);
            }
        }
        for task in group.tasks() {
            let scope = [namespace, id, group.name()];
            hits.add("tasks", task.name(), &scope);
            let inside = [namespace, id, group.name(), task.name()];
            for service in task.services() {
                if let Some(name) = &service.name {
                    hits.add("services", name, &inside);
                }
            }
            for (context, key) in [("images", "image"), ("commands", "command")] {
                if let Some(text) = task.config.as_ref().and_then(|c| c.0.get(key)).and_then(|v| v.as_str()) {
                    hits.add(context, text, &inside);
                }
            }
        }
    }
}
