//! Dynamic host volumes: which of a node's a group may have, as the plan leaves them.
//!
//! Source: `reference/semantics.md` §6.5. The nature of a node's volumes ([`crate::feasible`]) is looked at before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tarpan_model::ids::{AllocId, Namespace, VolumeId};
use tarpan_model::volume::{AccessMode, Capability, HostVolume, HostVolumeState};
use tarpan_model::{Allocation, Node};
use tarpan_state::State;

use crate::compile::{Compiled, Group, VolumeAsk};
use crate::pass::{Closed, Unfit};

/// The plan's view of dynamic host volumes.
pub struct Volumes<'a> {
    state: &'a State,
    namespace: Namespace,
    /// What the job's groups hold: by the group's place, each with the allocation that has it.
    claims: Vec<Vec<Claim>>,
    /// Allocations that the plan stops.
    stopped: BTreeSet<AllocId>,
    /// Writers that the plan adds.
    writers: BTreeMap<VolumeId, u32>,
}

struct Claim {
    volume: VolumeId,
    name: Arc<str>,
    alloc: AllocId,
    /// The plan places an allocation that takes it over.
    taken: bool,
}

impl<'a> Volumes<'a> {
    pub fn new(state: &'a State, job: &Compiled) -> Volumes<'a> {
        let mut claims: Vec<Vec<Claim>> = job.groups.iter().map(|_| Vec::new()).collect();
        if job.groups.iter().any(|group| group.host_volumes.iter().any(|ask| ask.sticky)) {
            for claim in state.host_volume_claims_by_job(&job.job.key()) {
                let Some(group) = job.group(&claim.task_group) else { continue };
                let (volume, name, alloc) = (claim.volume_id, claim.volume_name.clone(), claim.alloc_id);
                claims[group.index].push(Claim { volume, name, alloc, taken: false });
            }
        }
        let namespace = Namespace::new(job.job.namespace());
        Volumes { state, namespace, claims, stopped: BTreeSet::new(), writers: BTreeMap::new() }
    }

    /// The plan stops an allocation, or keeps it after all.
    pub fn change(&mut self, alloc: &Allocation, stops: bool) {
        if stops {
            self.stopped.insert(alloc.id);
        } else {
            self.stopped.remove(&alloc.id);
        }
    }

    /// Has the node a volume for everything that instance `index` of the group asks of dynamic ones?
    pub fn fit(&self, group: &Group, node: &Node, index: u32) -> Result<(), Unfit> {
        for ask in &group.host_volumes {
            let name = name_of(ask, index);
            let Some(volume) = self.dynamic(node, &name) else { continue };
            if let Err(reason) = volume.and_then(|volume| self.may_have(group, ask, volume)) {
                // With volumes of one's own, another instance may have more luck.
                return Err(match ask.per_alloc {
                    true => Unfit::NotThisOne,
                    false => Unfit::Closed(Closed::Filtered(reason)),
                });
            }
        }
        Ok(())
    }

    /// Instance `index` is placed there.
    pub fn take(&mut self, group: &Group, node: &Node, index: u32) {
        for ask in &group.host_volumes {
            let Some(Ok(volume)) = self.dynamic(node, &name_of(ask, index)) else { continue };
            let (id, writes) = (volume.id, !ask.read_only);
            if writes {
                *self.writers.entry(id).or_default() += 1;
            }
            if ask.sticky
                && let Some(at) = self.claims[group.index].iter().position(|c| c.volume == id && self.is_open(c))
            {
                self.claims[group.index][at].taken = true;
            }
        }
    }

    /// The dynamic volume of that name; `None`: the node has none, or one of its configuration. The error: state does not know it.
    fn dynamic(&self, node: &Node, name: &str) -> Option<Result<&'a Arc<HostVolume>, Arc<str>>> {
        let reported = node.host_volumes.get(name).filter(|volume| !volume.id.is_empty())?;
        let known = reported.id.parse().ok().and_then(|id| self.state.host_volume(id));
        let known = known.filter(|volume| volume.namespace == self.namespace && volume.node_id == node.id);
        Some(known.ok_or_else(|| Arc::from(format!("host volume {name:?} is not one of the job's namespace"))))
    }

    fn may_have(&self, group: &Group, ask: &VolumeAsk, volume: &HostVolume) -> Result<(), Arc<str>> {
        if volume.state != HostVolumeState::Ready || volume.deleting {
            return Err(Arc::from(format!("host volume {:?} is not ready", volume.name)));
        }
        let refused = || match ask.capability {
            Some(Capability { access_mode, attachment_mode }) => {
                let who = if ask.read_only { "read" } else { "written" };
                Err(Arc::from(format!(
                    "host volume {:?} may not be {who} as {access_mode}, {attachment_mode}",
                    volume.name
                )))
            }
            None => Err(Arc::from(format!("host volume {:?} is asked for in a way that there is not", volume.name))),
        };
        let Some(capability) = ask.capability.filter(|asked| volume.capabilities.contains(asked)) else {
            return refused();
        };
        match capability.access_mode {
            AccessMode::SingleNodeReaderOnly if !ask.read_only => return refused(),
            AccessMode::SingleNodeWriter if ask.read_only => return refused(),
            AccessMode::SingleNodeSingleWriter if !ask.read_only && self.is_written(volume) => {
                return Err(Arc::from(format!("host volume {:?} has a writer already", volume.name)));
            }
            _ => {}
        }
        if ask.sticky && !self.may_stick(group, ask, volume) {
            return Err(Arc::from(format!("host volume {:?} is not the one that the group holds", volume.name)));
        }
        Ok(())
    }

    /// An allocation that runs on, or that the plan places, writes to it.
    fn is_written(&self, volume: &HostVolume) -> bool {
        let writes = |alloc: &&Arc<Allocation>| {
            !alloc.terminal() && !self.stopped.contains(&alloc.id) && volume.written_by(alloc)
        };
        self.writers.contains_key(&volume.id) || self.state.users_of(volume).any(|alloc| writes(&alloc))
    }

    /// What the group holds and nobody has is taken up first.
    fn may_stick(&self, group: &Group, ask: &VolumeAsk, volume: &HostVolume) -> bool {
        let mut open = self.claims[group.index].iter().filter(|c| *c.name == *ask.source && self.is_open(c)).peekable();
        open.peek().is_none() || open.any(|claim| claim.volume == volume.id)
    }

    /// Nobody has it: its allocation ended, or the plan stops it.
    fn is_open(&self, claim: &Claim) -> bool {
        let lives = || self.state.alloc(claim.alloc).is_some_and(|alloc| !alloc.terminal());
        !claim.taken && (self.stopped.contains(&claim.alloc) || !lives())
    }
}

/// What is said of a node that has none that fits.
pub const MISSING: &str = "missing compatible host volumes";

fn name_of(ask: &VolumeAsk, index: u32) -> String {
    if ask.per_alloc { format!("{}[{index}]", ask.source) } else { ask.source.clone() }
}
