//! Scaling policies: the `scaling` blocks of groups, seen as things of their own.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tarpan_api::wire::{ScalingPolicy, ScalingPolicyListStub};
use tarpan_model::{Job, Namespace, TaskGroup};
use tarpan_state::State;

/// Ids of the policies in the namespaces that `sees` lets through.
pub fn ids(state: &State, sees: impl Fn(&str) -> bool) -> Vec<String> {
    let here = policies(state).filter(|policy| sees(&policy.stub.target["Namespace"]));
    here.map(|policy| policy.stub.id).collect()
}

/// The namespace of the policy with this id.
pub fn namespace_of(state: &State, id: &str) -> Option<Namespace> {
    let job = state.jobs().find(|(_, job)| job.groups().iter().any(|g| g.scaling.is_some() && id_of(job, g) == id));
    job.map(|(key, _)| key.namespace.clone())
}

pub fn policies(state: &State) -> impl Iterator<Item = ScalingPolicy> + '_ {
    state.jobs().flat_map(|(_, job)| job.groups().iter().filter_map(|group| policy(job, group)))
}

fn policy(job: &Job, group: &TaskGroup) -> Option<ScalingPolicy> {
    let block = group.scaling.as_ref()?;
    let target = [("Namespace", job.namespace()), ("Job", job.id()), ("Group", group.name())];
    Some(ScalingPolicy {
        stub: ScalingPolicyListStub {
            id: id_of(job, group),
            enabled: block.enabled.unwrap_or(true) && !job.stopped(),
            type_: block.type_.clone().filter(|t| !t.is_empty()).unwrap_or_else(|| "horizontal".to_owned()),
            target: target.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            create_index: job.create_index.unwrap_or(0),
            modify_index: job.job_modify_index.unwrap_or(0),
        },
        policy: block.policy.as_ref().map(|p| p.0.clone().into_iter().collect::<BTreeMap<_, _>>()),
        min: block.min.unwrap_or(0),
        max: block.max.unwrap_or(0),
    })
}

/// The same for every version of the job: an id made of the names.
fn id_of(job: &Job, group: &TaskGroup) -> String {
    let mut hash = Sha256::new();
    for part in [job.namespace(), job.id(), group.name()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
