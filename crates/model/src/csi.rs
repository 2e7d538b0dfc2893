//! Volumes of CSI plugins, the claims on them, and what a node's agent says of the plugins that run there.
//!
//! Source: `reference/semantics.md` §15.1. A claim is a lease that an allocation holds: it is on the volume's row from the moment
//! it is granted until the last thing that was done for it is undone, and says how far that is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{AllocId, Namespace, NodeId};
use crate::text_enum::text_enum;
use crate::time::UnixNanos;

text_enum!(
    /// How many may use a volume, and how.
    AccessMode {
        SingleReader = "single-node-reader-only",
        SingleWriter = "single-node-writer",
        MultiReader = "multi-node-reader-only",
        MultiOneWriter = "multi-node-single-writer",
        MultiWriter = "multi-node-multi-writer",
    }
);

text_enum!(
    /// What a task sees of a volume.
    AttachmentMode {
        FileSystem = "file-system",
        BlockDevice = "block-device",
    }
);

impl AccessMode {
    pub fn writes(self) -> bool {
        !matches!(self, AccessMode::SingleReader | AccessMode::MultiReader)
    }
}

/// One way in which a volume may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Capability {
    pub access: AccessMode,
    pub attachment: AttachmentMode,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOptions {
    pub fs_type: String,
    /// May hold secrets: never shown.
    pub flags: Vec<String>,
}

/// Names of a place (`zone`, `rack`) and their values.
pub type Topology = BTreeMap<String, String>;

/// Where a volume is wished to be reachable from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyRequest {
    pub required: Vec<Topology>,
    pub preferred: Vec<Topology>,
}

text_enum!(
    /// How far a claim is given back.
    ClaimState {
        /// Its allocation may use the volume.
        Taken = "taken",
        /// It is to be given back: the node has not unmounted it yet.
        Unpublishing = "unpublishing",
        /// The node has.
        NodeDetached = "node-detached",
        /// The controller has taken it off the node, too: nothing is left but to forget it.
        ControllerDetached = "controller-detached",
    }
);

/// An allocation's lease of a volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub node: NodeId,
    /// What the plugin calls the node; empty where it does not attach volumes to nodes.
    pub external_node: String,
    pub write: bool,
    pub how: Capability,
    pub state: ClaimState,
    /// Of `state`.
    pub since: UnixNanos,
    /// Why it is given back, or is not yet; a sentence, or empty.
    pub reason: String,
}

/// A volume of a CSI plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CsiVolume {
    pub namespace: Namespace,
    pub id: Arc<str>,
    pub name: String,
    /// What the plugin calls it; empty: as its id.
    pub external_id: String,
    pub plugin: Arc<str>,
    pub requested_topologies: Option<TopologyRequest>,
    pub topologies: Vec<Topology>,
    pub mount_options: Option<MountOptions>,
    /// For the plugin; never shown.
    pub secrets: BTreeMap<String, String>,
    pub parameters: BTreeMap<String, String>,
    pub context: BTreeMap<String, String>,
    /// Bytes; 0: not known.
    pub capacity: i64,
    pub requested_capacity_min: i64,
    pub requested_capacity_max: i64,
    pub capabilities: Vec<Capability>,
    pub clone_id: String,
    pub snapshot_id: String,
    /// Those that are taken, and those on their way back.
    pub claims: BTreeMap<AllocId, Claim>,
    /// The raft index at which a claim was last forgotten; 0: none ever was.
    #[serde(default)]
    pub freed_index: u64,
    pub create_index: u64,
    pub modify_index: u64,
    pub create_time: UnixNanos,
    pub modify_time: UnixNanos,
}

/// Why a volume is not given to an allocation now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclaimable {
    #[error("volume max claims reached")]
    Exhausted,
    #[error("cannot change attachment mode of claimed volume")]
    OtherAttachment,
    #[error("volume does not have the access mode and attachment mode that are asked for")]
    NotCapable,
}

impl CsiVolume {
    pub fn new(namespace: Namespace, id: &str, plugin: &str) -> CsiVolume {
        CsiVolume {
            namespace,
            id: Arc::from(id),
            name: id.to_owned(),
            external_id: String::new(),
            plugin: Arc::from(plugin),
            requested_topologies: None,
            topologies: Vec::new(),
            mount_options: None,
            secrets: BTreeMap::new(),
            parameters: BTreeMap::new(),
            context: BTreeMap::new(),
            capacity: 0,
            requested_capacity_min: 0,
            requested_capacity_max: 0,
            capabilities: Vec::new(),
            clone_id: String::new(),
            snapshot_id: String::new(),
            claims: BTreeMap::new(),
            freed_index: 0,
            create_index: 0,
            modify_index: 0,
            create_time: UnixNanos::ZERO,
            modify_time: UnixNanos::ZERO,
        }
    }

    pub fn key(&self) -> CsiVolumeKey {
        (self.namespace.clone(), self.id.clone())
    }

    /// What its plugin knows it by.
    pub fn remote_id(&self) -> &str {
        if self.external_id.is_empty() { &self.id } else { &self.external_id }
    }

    /// How it is used now; `None` while nobody claims it.
    pub fn in_use(&self) -> Option<Capability> {
        self.claims.values().next().map(|claim| claim.how)
    }

    pub fn readers(&self) -> usize {
        self.claims.values().filter(|claim| claim.state == ClaimState::Taken && !claim.write).count()
    }

    pub fn writers(&self) -> usize {
        self.claims.values().filter(|claim| claim.state == ClaimState::Taken && claim.write).count()
    }

    /// Any of its capabilities, or the one it is used with, lets somebody write.
    pub fn writable(&self) -> bool {
        match self.in_use() {
            Some(how) => how.access.writes(),
            None => self.capabilities.iter().any(|c| c.access.writes()),
        }
    }

    /// May one more reader have it? Claims on their way back count: it is still mounted somewhere.
    pub fn free_to_read(&self) -> bool {
        match self.in_use().map(|how| how.access) {
            Some(AccessMode::SingleReader) => self.claims.values().all(|claim| claim.write),
            Some(AccessMode::SingleWriter) => self.claims.is_empty(),
            _ => true,
        }
    }

    /// May one more writer have it?
    pub fn free_to_write(&self) -> bool {
        match self.in_use().map(|how| how.access) {
            Some(AccessMode::SingleWriter | AccessMode::MultiOneWriter) => {
                self.claims.values().all(|claim| !claim.write)
            }
            Some(AccessMode::SingleReader | AccessMode::MultiReader) => false,
            Some(AccessMode::MultiWriter) | None => true,
        }
    }

    /// Whether `alloc` may claim it so. One that holds it already may.
    pub fn admits(&self, alloc: AllocId, how: Capability, write: bool) -> Result<(), Unclaimable> {
        if self.claims.get(&alloc).is_some_and(|claim| claim.state == ClaimState::Taken) {
            return Ok(());
        }
        if !self.capabilities.contains(&how) {
            return Err(Unclaimable::NotCapable);
        }
        if self.in_use().is_some_and(|now| now.attachment != how.attachment) {
            return Err(Unclaimable::OtherAttachment);
        }
        // A volume that nobody uses is used as the first one asks.
        let free = match self.in_use() {
            None => !write || how.access.writes(),
            Some(_) if write => self.free_to_write(),
            Some(_) => self.free_to_read(),
        };
        if free { Ok(()) } else { Err(Unclaimable::Exhausted) }
    }

    /// Is it reachable from a node at `place`? One that says nothing of places is reachable from everywhere.
    pub fn reachable_from(&self, place: Option<&Topology>) -> bool {
        let Some(place) = place.filter(|_| !self.topologies.is_empty()) else { return self.topologies.is_empty() };
        self.topologies.iter().any(|at| at.iter().all(|(name, value)| place.get(name) == Some(value)))
    }
}

/// Namespace and id of a volume.
pub type CsiVolumeKey = (Namespace, Arc<str>);

/// What one task of a node says of the plugin that it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CsiInfo {
    pub alloc: AllocId,
    pub healthy: bool,
    pub health_description: String,
    pub update_time: UnixNanos,
    /// The name that the plugin gives itself, and its version.
    pub provider: String,
    pub version: String,
    pub requires_controller: bool,
    pub requires_topologies: bool,
    #[serde(default)]
    pub controller: Option<ControllerInfo>,
    #[serde(default)]
    pub node: Option<NodeInfo>,
}

/// What a controller plugin can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControllerInfo {
    pub create_delete: bool,
    pub attach_detach: bool,
    pub list_volumes: bool,
    pub capacity: bool,
    pub snapshots: bool,
    pub list_snapshots: bool,
    pub clone: bool,
    pub read_only_attach: bool,
    pub expand: bool,
    pub list_attached_nodes: bool,
    pub condition: bool,
    pub get: bool,
}

/// What a node plugin can do, and what it calls its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeInfo {
    pub id: String,
    /// 0: as many as one likes.
    pub max_volumes: i64,
    pub topology: Option<Topology>,
    pub stages: bool,
    pub stats: bool,
    pub expand: bool,
    pub condition: bool,
}

/// A plugin as it is known of: where its tasks are is on the nodes, and what is expected in the jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CsiPlugin {
    pub id: Arc<str>,
    pub provider: String,
    pub version: String,
    pub controller_required: bool,
    /// Nodes that told of a controller, and of a node plugin.
    pub controllers: BTreeSet<NodeId>,
    pub nodes: BTreeSet<NodeId>,
    pub create_index: u64,
    pub modify_index: u64,
    pub create_time: UnixNanos,
    pub modify_time: UnixNanos,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(access: AccessMode, claims: &[bool]) -> CsiVolume {
        let how = Capability { access, attachment: AttachmentMode::FileSystem };
        let mut volume = CsiVolume::new(Namespace::new("default"), "v", "p");
        volume.capabilities = vec![how];
        for (number, write) in claims.iter().enumerate() {
            let claim = Claim {
                node: NodeId::NIL,
                external_node: String::new(),
                write: *write,
                how,
                state: ClaimState::Taken,
                since: UnixNanos::ZERO,
                reason: String::new(),
            };
            volume.claims.insert(AllocId(uuid::Uuid::from_u128(number as u128 + 1)), claim);
        }
        volume
    }

    #[test]
    fn who_may_have_a_volume_follows_from_its_mode_and_who_has_it() {
        use AccessMode::*;
        let new = AllocId(uuid::Uuid::from_u128(99));
        // Mode, who has it (true: writes), and whether one more reader, one more writer may.
        for (access, claims, read, write) in [
            (SingleReader, &[] as &[bool], true, false),
            (SingleReader, &[false], false, false),
            (SingleWriter, &[], true, true),
            (SingleWriter, &[true], false, false),
            (SingleWriter, &[false], false, true),
            (MultiReader, &[false, false], true, false),
            (MultiOneWriter, &[false], true, true),
            (MultiOneWriter, &[true], true, false),
            (MultiWriter, &[true, true], true, true),
        ] {
            let volume = volume(access, claims);
            let how = volume.capabilities[0];
            let may = (volume.admits(new, how, false).is_ok(), volume.admits(new, how, true).is_ok());
            assert_eq!(may, (read, write), "{access} {claims:?}");
        }
    }

    #[test]
    fn a_claim_that_is_held_is_granted_again_and_one_on_its_way_back_counts() {
        let mut volume = volume(AccessMode::SingleWriter, &[true]);
        let (holder, how) = (AllocId(uuid::Uuid::from_u128(1)), volume.capabilities[0]);
        assert_eq!(volume.admits(holder, how, true), Ok(()));
        volume.claims.get_mut(&holder).expect("held").state = ClaimState::Unpublishing;
        assert_eq!(volume.admits(AllocId::NIL, how, true), Err(Unclaimable::Exhausted));
        let block = Capability { attachment: AttachmentMode::BlockDevice, ..how };
        assert_eq!(volume.admits(AllocId::NIL, block, true), Err(Unclaimable::NotCapable));
        volume.capabilities.push(block);
        assert_eq!(volume.admits(AllocId::NIL, block, true), Err(Unclaimable::OtherAttachment));
    }

    #[test]
    fn places_have_to_agree_in_all_that_the_volume_says() {
        let place = |pairs: &[(&str, &str)]| -> Topology {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let mut volume = volume(AccessMode::SingleWriter, &[]);
        assert!(volume.reachable_from(None));
        volume.topologies = vec![place(&[("zone", "a")]), place(&[("zone", "b"), ("rack", "1")])];
        for (at, reachable) in [
            (Some(place(&[("zone", "a"), ("rack", "9")])), true),
            (Some(place(&[("zone", "b")])), false),
            (Some(place(&[("zone", "b"), ("rack", "1")])), true),
            (None, false),
        ] {
            assert_eq!(volume.reachable_from(at.as_ref()), reachable, "{at:?}");
        }
    }
}
