use std::sync::Arc;

use tarpan_model::csi::{
    AccessMode, AttachmentMode, Capability, ClaimState, ControllerInfo, CsiInfo, CsiVolume, NodeInfo,
};
use tarpan_model::ids::{CountingIds, IdSource};
use tarpan_model::job::VolumeRequest;
use tarpan_model::plan::PlanResult;
use tarpan_model::{Allocation, ClientStatus, EvalId, Namespace, NodeId, NodeStatus, Plan};
use tarpan_state::command::{ApplyPlan, RegisterJob};
use tarpan_state::{Command, CommandId, Envelope, Reply, State};
use tarpan_testkit::{allocs, at, jobs, nodes};

use super::claim::{ClaimError, claim};
use super::release::{Progress, Step, advance, due};
use super::{CsiError, register, unused_plugins};

struct World(State, CountingIds);

impl World {
    fn apply(&mut self, command: Command) -> Reply {
        let id = CommandId(self.1.next_uuid().as_u128());
        self.0.apply(self.0.index() + 1, &[Envelope { id, command }]).remove(0)
    }

    /// Two nodes with the plugin `disk`, the first with its controller, too.
    fn new() -> World {
        let mut world = World(State::default(), CountingIds::default());
        for number in [1, 2] {
            world.node(number, number == 1);
        }
        world
    }

    fn node(&mut self, number: u32, controller: bool) {
        let mut node = nodes::ready(number);
        let info = CsiInfo { healthy: true, requires_controller: true, ..CsiInfo::default() };
        let attaches = ControllerInfo { attach_detach: true, create_delete: true, ..ControllerInfo::default() };
        if controller {
            node.csi_controllers.insert(Arc::from("disk"), CsiInfo { controller: Some(attaches), ..info.clone() });
        }
        let own = NodeInfo { id: format!("node-{number}"), ..NodeInfo::default() };
        node.csi_nodes.insert(Arc::from("disk"), CsiInfo { node: Some(own), ..info });
        self.apply(Command::UpsertNode { node: Box::new(node), now: at(0), evals: Vec::new() });
    }

    fn volume(&mut self, id: &str, access: AccessMode) {
        let volume = register::wished(&self.0, wish(id, access)).expect("taken");
        let command = register::register(&self.0, volume, at(1));
        assert!(matches!(self.apply(command), Reply::Done { .. }));
    }

    /// An allocation on a node, of a job that asks for the volume `data`.
    fn place(&mut self, name: &str, node: u32) -> Arc<Allocation> {
        let mut job = jobs::service(name, 1);
        let request = VolumeRequest {
            name: Some("v".to_owned()),
            type_: Some("csi".to_owned()),
            source: Some("data".to_owned()),
            access_mode: Some("single-node-writer".to_owned()),
            attachment_mode: Some("file-system".to_owned()),
            ..VolumeRequest::default()
        };
        job.task_groups.as_mut().expect("groups")[0].volumes = Some([("v".to_owned(), request)].into());
        let key = job.key();
        self.apply(Command::RegisterJob(Box::new(RegisterJob::of(job, None, at(1)))));
        let job = self.0.job(&key).expect("registered").clone();
        let node = self.0.node(nodes::id(node)).expect("there").clone();
        let eval = EvalId(self.1.next_uuid());
        let alloc = allocs::place(&job, &node, eval, 0, &mut self.1);
        let mut plan = Plan::new(eval, key, 50, self.0.index());
        plan.placements.insert(node.id, vec![alloc.clone()]);
        let apply = ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now: at(1) };
        self.apply(Command::ApplyPlan(Box::new(apply)));
        self.0.alloc(alloc.id).expect("placed").clone()
    }

    fn claim(&mut self, alloc: &Allocation) -> Result<(), ClaimError> {
        if let Some(command) = claim(&self.0, alloc, "v", at(2))?.command {
            assert!(matches!(self.apply(command), Reply::Done { .. }));
        }
        Ok(())
    }

    fn end(&mut self, alloc: &Allocation) {
        let updates = vec![allocs::report(alloc, ClientStatus::Complete, at(3))];
        self.apply(Command::UpdateAllocs { updates, evals: Vec::new(), now: at(3) });
    }

    fn status(&mut self, node: u32, status: NodeStatus) {
        let node = nodes::id(node);
        self.apply(Command::UpdateNodeStatus { node, status, event: None, now: at(3), evals: Vec::new() });
    }

    /// Does what is due as if everything worked; what machines were asked for.
    fn release(&mut self) -> Vec<Step> {
        let mut asked = Vec::new();
        while let Some(next) = due(&self.0).into_iter().next() {
            let progress = match next.step.clone() {
                Step::Write(progress) => progress,
                Step::NodeDetach(_) => Progress::To(ClaimState::NodeDetached, String::new()),
                Step::ControllerDetach => Progress::To(ClaimState::ControllerDetached, String::new()),
            };
            if !matches!(next.step, Step::Write(_)) {
                asked.push(next.step);
            }
            let command = advance(&self.0, &next.volume, next.alloc, &progress, at(4)).expect("it is new");
            assert!(matches!(self.apply(command), Reply::Done { .. }));
        }
        asked
    }

    fn data(&self) -> &CsiVolume {
        self.0.csi_volume(&Namespace::new("default"), "data").expect("registered")
    }
}

fn wish(id: &str, access: AccessMode) -> CsiVolume {
    let mut volume = CsiVolume::new(Namespace::new("default"), id, "disk");
    volume.capabilities = vec![Capability { access, attachment: AttachmentMode::FileSystem }];
    volume
}

#[test]
fn a_claim_is_held_by_one_until_everything_is_undone() {
    let mut world = World::new();
    world.volume("data", AccessMode::SingleWriter);
    let (first, second) = (world.place("a", 1), world.place("b", 2));
    world.claim(&first).expect("free");
    world.claim(&first).expect("it has it");
    let refused = world.claim(&second).expect_err("taken");
    assert_eq!(refused, ClaimError::NotNow("volume max claims reached".to_owned()));
    assert_eq!(due(&world.0), []);
    world.end(&first);
    assert_eq!(world.release(), [Step::NodeDetach(nodes::id(1)), Step::ControllerDetach]);
    assert!(world.data().claims.is_empty() && world.data().freed_index == world.data().modify_index);
    world.claim(&second).expect("free again");
    assert_eq!(world.data().claims[&second.id].external_node, "node-2");
}

#[test]
fn a_node_that_is_lost_is_not_asked() {
    let mut world = World::new();
    world.volume("data", AccessMode::SingleWriter);
    let alloc = world.place("a", 2);
    world.claim(&alloc).expect("free");
    world.status(2, NodeStatus::Down);
    assert_eq!(due(&world.0), [], "the allocation may come back until it is given up for lost");
    world.end(&alloc);
    assert_eq!(world.release(), [Step::ControllerDetach]);
    assert!(world.data().claims.is_empty());
}

#[test]
fn a_volume_is_usable_only_while_its_plugin_is_well() {
    let mut world = World::new();
    world.volume("data", AccessMode::SingleWriter);
    let alloc = world.place("a", 2);
    world.status(1, NodeStatus::Down);
    let refused = world.claim(&alloc).expect_err("its controller is on node 1");
    assert_eq!(refused, ClaimError::NotNow("volume is currently unschedulable".to_owned()));
    world.status(1, NodeStatus::Ready);
    world.claim(&alloc).expect("well again");
}

#[test]
fn a_volume_in_use_stays_and_keeps_what_it_is() {
    let mut world = World::new();
    let none = CsiVolume::new(Namespace::new("default"), "", "");
    assert_eq!(
        register::wished(&world.0, none),
        Err(CsiError::Refused(
            "validation: missing volume id, missing plugin id, must include at least one capability block".to_owned()
        ))
    );
    let other = CsiVolume { plugin: Arc::from("nope"), ..wish("data", AccessMode::SingleWriter) };
    assert_eq!(register::wished(&world.0, other), Err(CsiError::NoPlugin("nope".to_owned())));
    world.volume("data", AccessMode::SingleWriter);
    let alloc = world.place("a", 1);
    world.claim(&alloc).expect("free");
    let default = Namespace::new("default");
    let refused = register::deregister(&world.0, &default, "data", true).expect_err("its allocation runs");
    assert_eq!(refused.to_string(), "volume in use: data");
    let other = register::wished(&world.0, wish("data", AccessMode::MultiReader)).expect_err("in use otherwise");
    assert!(other.to_string().contains("\"single-node-writer\""), "{other}");
    let renamed = CsiVolume { name: "other".to_owned(), ..wish("data", AccessMode::SingleWriter) };
    let renamed = register::wished(&world.0, renamed).expect_err("it has a name");
    assert_eq!(renamed.to_string(), "volume name can't be changed: it is \"data\"");
    world.end(&alloc);
    assert!(register::deregister(&world.0, &default, "data", false).is_err(), "it is still mounted");
    let command = register::deregister(&world.0, &default, "data", true).expect("forced");
    assert!(matches!(world.apply(command), Reply::Done { .. }));
}

#[test]
fn plugins_come_with_nodes_and_go_when_nothing_asks_for_them() {
    let mut world = World::new();
    let plugin = world.0.csi_plugin("disk").expect("told of").clone();
    assert_eq!((plugin.nodes.len(), plugin.controllers.len()), (2, 1));
    assert_eq!(world.0.csi_health(&plugin).nodes_healthy, 2);
    for number in [1, 2] {
        let node: NodeId = nodes::id(number);
        world.apply(Command::DeregisterNode { node, now: at(5), evals: Vec::new() });
    }
    assert_eq!(unused_plugins(&world.0, at(4)), None, "not so soon");
    let command = unused_plugins(&world.0, at(5)).expect("nothing is left of it");
    world.apply(command);
    assert!(world.0.csi_plugin("disk").is_none());
}
