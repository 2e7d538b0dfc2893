//! What a text has to say of a job: what no default, no inheritance and no rule of the server would say anyway.
//!
//! Begins with an empty job and adds, outermost first, what differs from the job that is wanted once the defaults are in,
//! until nothing differs. So no default is spelled here: [`Job::admit`] is asked.

use tarpan_model::Job;
use tarpan_model::job::{Admission, Constraint, NetworkResource, Resources, Service, Task, TaskGroup};
use tarpan_model::schema::{Block, Field, Schema, Slot, SlotMut};

use super::free;
use crate::decode::special;

/// Blocks are no deeper inside one another than this.
const DEPTH: usize = 12;
/// How often one depth is looked at: a block, what its presets change, what follows from that.
const ROUNDS: usize = 8;

/// The smallest job that becomes `job` when it is taken in, its blocks as reading a jobspec makes them.
pub(super) fn kept(job: &Job) -> Job {
    let wanted = normal(job);
    let mut kept = Job { id: job.id.clone(), ..Job::default() };
    let mut now = admitted(&kept);
    // What is said further in may change a default further out: so twice.
    for depth in (0..DEPTH).chain(0..DEPTH) {
        for _ in 0..ROUNDS {
            if !add(&wanted, &now, &mut kept, depth) {
                break;
            }
            now = admitted(&kept);
        }
    }
    drop_implied(&mut kept, &wanted);
    kept
}

/// The job as it is once a server has taken it in.
fn admitted(job: &Job) -> Job {
    let mut job = job.clone();
    job.admit(&Admission::default());
    job
}

/// The same, in the one of several equal forms that a jobspec gives.
pub(super) fn normal(job: &Job) -> Job {
    let mut job = job.clone();
    for group in job.task_groups.iter_mut().flatten() {
        for network in group.networks.iter_mut().flatten() {
            sort_ports(network);
        }
        for (label, volume) in group.volumes.iter_mut().flatten() {
            volume.name = Some(label.clone());
        }
        group.tasks.iter_mut().flatten().for_each(sort_task);
        group.services.iter_mut().flatten().for_each(sort_service);
    }
    job.admit(&Admission::default());
    job
}

/// A port with a number is a reserved one.
fn sort_ports(network: &mut NetworkResource) {
    let ports: Vec<_> =
        network.reserved_ports.take().into_iter().chain(network.dynamic_ports.take()).flatten().collect();
    let (reserved, dynamic) = ports.into_iter().partition(|p| p.value.unwrap_or(0) > 0);
    (network.reserved_ports, network.dynamic_ports) = (Some(reserved), Some(dynamic));
}

/// Addresses are known by their labels; an old name is the new one.
fn sort_service(service: &mut Service) {
    let Some(connect) = &mut service.connect else { return };
    if let Some(proxy) = connect.sidecar_service.as_mut().and_then(|s| s.proxy.as_mut()) {
        let old = proxy.expose_config.take();
        proxy.expose = proxy.expose.take().or(old);
    }
    let proxy = connect.gateway.as_mut().and_then(|g| g.proxy.as_mut());
    for (label, address) in proxy.into_iter().flat_map(|p| p.envoy_gateway_bind_addresses.iter_mut().flatten()) {
        address.name = Some(label.clone());
    }
    connect.sidecar_task.iter_mut().flat_map(|task| &mut task.resources).for_each(sort_resources);
}

/// The default identity is apart from the others.
fn sort_task(task: &mut Task) {
    let all: Vec<_> = task.identity.take().into_iter().chain(task.identities.take().into_iter().flatten()).collect();
    let is_default = |name: Option<&str>| matches!(name, None | Some("" | "default"));
    let (own, others) = all.into_iter().partition::<Vec<_>, _>(|i| is_default(i.name.as_deref()));
    task.identity = own.into_iter().next_back();
    task.identities = Some(others);
    task.services.iter_mut().flatten().for_each(sort_service);
    task.resources.iter_mut().for_each(sort_resources);
}

fn sort_resources(resources: &mut Resources) {
    resources.networks.iter_mut().flatten().for_each(sort_ports);
}

/// Whether a jobspec can say a field.
pub(super) fn is_said(schema: &Schema, field: &Field) -> bool {
    field.hcl.is_some() || field.label || (schema.name, field.json) == ("Task", "Identity")
}

/// Puts into `kept` what `wanted` has and `now` lacks, in blocks `depth` levels down. False when there is nothing.
fn add(wanted: &dyn Block, now: &dyn Block, kept: &mut dyn Block, depth: usize) -> bool {
    let schema = wanted.schema();
    let mut added = false;
    for (index, field) in schema.fields.iter().enumerate().filter(|(_, f)| is_said(schema, f)) {
        let pair = (wanted.slot(index), now.slot(index));
        added |= match depth {
            0 => add_field(field, &pair.0, &pair.1, kept.slot_mut(index)),
            _ => add_inside(pair, kept.slot_mut(index), depth - 1),
        };
    }
    added
}

/// A value, or the mere presence of blocks.
fn add_field(field: &Field, wanted: &Slot<'_>, now: &Slot<'_>, kept: SlotMut<'_>) -> bool {
    match (wanted, now, kept) {
        (Slot::Block(Some(_)), Slot::Block(None), SlotMut::Block(kept)) => {
            let new = !kept.is_some();
            if new {
                special::preset(kept.get_or_insert());
            }
            new
        }
        (Slot::Blocks(Some(wanted)), Slot::Blocks(now), SlotMut::Blocks(kept)) => {
            let there = now.map_or(0, |list| list.len());
            let missing = wanted.len().saturating_sub(there);
            for _ in 0..missing {
                special::preset(kept.push());
            }
            missing > 0
        }
        (Slot::Named(Some(wanted)), Slot::Named(_), SlotMut::Named(kept)) => {
            let mut added = false;
            for (label, _) in wanted.entries() {
                if !kept.contains(label) {
                    special::preset(kept.entry(label));
                    added = true;
                }
            }
            added
        }
        (Slot::Block(_) | Slot::Blocks(_) | Slot::Named(_), ..) => false,
        (wanted, now, kept) => !same_value(field, wanted, now) && set(wanted, kept),
    }
}

/// The same, inside the blocks of a field.
fn add_inside((wanted, now): (Slot<'_>, Slot<'_>), kept: SlotMut<'_>, depth: usize) -> bool {
    match (wanted, now, kept) {
        (Slot::Block(Some(wanted)), Slot::Block(Some(now)), SlotMut::Block(kept)) => {
            // Defaults may have made the block; it is written only when something in it differs.
            if !kept.is_some() {
                if !differ(wanted, now, depth) {
                    return false;
                }
                special::preset(kept.get_or_insert());
            }
            add(wanted, now, kept.get_or_insert(), depth)
        }
        (Slot::Blocks(Some(wanted)), Slot::Blocks(Some(now)), SlotMut::Blocks(kept)) => {
            let mut added = false;
            for index in 0..wanted.len().min(now.len()) {
                if let Some(kept) = kept.get_mut(index) {
                    added |= add(wanted.get(index), now.get(index), kept, depth);
                }
            }
            added
        }
        (Slot::Named(Some(wanted)), Slot::Named(Some(now)), SlotMut::Named(kept)) => {
            let now = now.entries();
            let mut added = false;
            for (label, wanted) in wanted.entries() {
                if let Some((_, now)) = now.iter().find(|(l, _)| *l == label) {
                    added |= add(wanted, *now, kept.entry(label), depth);
                }
            }
            added
        }
        _ => false,
    }
}

/// Whether anything differs in blocks `depth` levels down.
fn differ(wanted: &dyn Block, now: &dyn Block, depth: usize) -> bool {
    let schema = wanted.schema();
    let fields = schema.fields.iter().enumerate().filter(|(_, f)| is_said(schema, f));
    fields.into_iter().any(|(index, field)| match (depth, wanted.slot(index), now.slot(index)) {
        (0, Slot::Block(wanted), Slot::Block(now)) => wanted.is_some() && now.is_none(),
        (0, Slot::Blocks(wanted), Slot::Blocks(now)) => wanted.map_or(0, |l| l.len()) > now.map_or(0, |l| l.len()),
        (0, Slot::Named(wanted), Slot::Named(now)) => {
            wanted.map_or(0, |m| m.entries().len()) > now.map_or(0, |m| m.entries().len())
        }
        (0, wanted, now) => !same_value(field, &wanted, &now),
        (_, Slot::Block(Some(wanted)), Slot::Block(Some(now))) => differ(wanted, now, depth - 1),
        (_, Slot::Blocks(Some(wanted)), Slot::Blocks(Some(now))) => {
            (0..wanted.len().min(now.len())).any(|i| differ(wanted.get(i), now.get(i), depth - 1))
        }
        _ => false,
    })
}

/// Whether two values mean the same: nothing and empty do, and zero where the field says that it is the default.
fn same_value(field: &Field, a: &Slot<'_>, b: &Slot<'_>) -> bool {
    let zero = field.zero || field.default.starts_with('0') || field.default.starts_with("false");
    fn number<T: PartialEq + Default + Copy>(a: Option<T>, b: Option<T>, zero: bool) -> bool {
        a == b || (zero && a.unwrap_or_default() == b.unwrap_or_default())
    }
    fn whole<T: PartialEq + Default>(a: Option<&T>, b: Option<&T>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a == b,
            (Some(one), None) | (None, Some(one)) => *one == T::default(),
            (None, None) => true,
        }
    }
    match (a, b) {
        (Slot::Str(a), Slot::Str(b)) => a.unwrap_or_default() == b.unwrap_or_default(),
        (Slot::Int(a), Slot::Int(b)) => number(*a, *b, zero),
        (Slot::Uint(a), Slot::Uint(b)) => number(*a, *b, zero),
        (Slot::Bool(a), Slot::Bool(b)) => number(*a, *b, zero),
        (Slot::Duration(a), Slot::Duration(b)) => number(*a, *b, zero),
        (Slot::Strs(a), Slot::Strs(b)) => a.unwrap_or_default() == b.unwrap_or_default(),
        (Slot::Ints(a), Slot::Ints(b)) => a.unwrap_or_default() == b.unwrap_or_default(),
        (Slot::Map(a), Slot::Map(b)) => whole(*a, *b),
        (Slot::Lists(a), Slot::Lists(b)) => whole(*a, *b),
        (Slot::Free(a), Slot::Free(b)) => free::same(*a, *b),
        _ => true,
    }
}

/// Sets a value, its zero for one that is wanted unset. False when that is what was there.
fn set(wanted: &Slot<'_>, kept: SlotMut<'_>) -> bool {
    fn put<T: PartialEq + Default>(place: &mut Option<T>, value: Option<T>) -> bool {
        let value = Some(value.unwrap_or_default());
        let new = *place != value;
        *place = value;
        new
    }
    match (wanted, kept) {
        (Slot::Str(v), SlotMut::Str(place)) => put(place, v.map(str::to_owned)),
        (Slot::Int(v), SlotMut::Int(place)) => put(place, *v),
        (Slot::Uint(v), SlotMut::Uint(place)) => put(place, *v),
        (Slot::Bool(v), SlotMut::Bool(place)) => put(place, *v),
        (Slot::Duration(v), SlotMut::Duration(place)) => put(place, *v),
        (Slot::Strs(v), SlotMut::Strs(place)) => put(place, v.map(<[String]>::to_vec)),
        (Slot::Ints(v), SlotMut::Ints(place)) => put(place, v.map(<[i64]>::to_vec)),
        (Slot::Map(v), SlotMut::Map(place)) => put(place, v.cloned()),
        (Slot::Lists(v), SlotMut::Lists(place)) => put(place, v.cloned()),
        (Slot::Free(v), SlotMut::Free(place)) => put(place, v.cloned()),
        _ => false,
    }
}

/// Takes out the constraints that other blocks imply: whoever takes the job in adds them again.
fn drop_implied(kept: &mut Job, wanted: &Job) {
    let mut bare = kept.clone();
    each_list(&mut bare, &mut |constraints| *constraints = None);
    let mut implied = lists(&admitted(&bare)).into_iter();
    let before = kept.clone();
    each_list(kept, &mut |constraints| {
        let implied = implied.next().unwrap_or_default();
        if let Some(list) = constraints {
            list.retain(|c| !implied.contains(&said(c)));
        }
    });
    if lists(&admitted(kept)) != lists(wanted) {
        *kept = before;
    }
}

/// The constraints of each group and of each of its tasks.
fn each_list(job: &mut Job, visit: &mut dyn FnMut(&mut Option<Vec<Constraint>>)) {
    for TaskGroup { constraints, tasks, .. } in job.task_groups.iter_mut().flatten() {
        visit(constraints);
        for task in tasks.iter_mut().flatten() {
            visit(&mut task.constraints);
        }
    }
}

fn lists(job: &Job) -> Vec<Vec<[String; 3]>> {
    let mut all = Vec::new();
    each_list(&mut job.clone(), &mut |list| all.push(list.iter().flatten().map(said).collect()));
    all
}

/// Left side, operator, right side.
fn said(constraint: &Constraint) -> [String; 3] {
    [&constraint.l_target, &constraint.operand, &constraint.r_target].map(|side| side.clone().unwrap_or_default())
}
