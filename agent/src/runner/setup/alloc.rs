//! What an allocation needs before its first task: its directory, its network, the names under which its group answers, and
//! what it takes over from the allocation before it, and its volumes.

mod volumes;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tarpan_model::alloc::NetworkStatus;
use tarpan_model::job::Task;
use tarpan_model::{AllocId, Allocation};

use self::volumes::Volumes;
use super::{Beside, Hook, Making, Notes, Scope, Until};
use crate::alloc_dir::AllocDir;
use crate::context::Context;
use crate::cores;
use crate::disk;
use crate::ground::Dir;
use crate::neighbours::Neighbour;
use crate::network;
use crate::runner::event;
use crate::runner::inbox::{Inbox, Message};
use crate::services;

/// The hooks of an allocation, in order. What the one before it holds (addresses, ports of the node, names) is free when its own are made.
pub(super) fn hooks() -> Vec<Box<dyn Hook<AllocScope>>> {
    vec![
        Box::new(Directory),
        Box::new(Previous),
        Box::new(Cores),
        Box::new(Network),
        Box::new(Services),
        Box::new(Volumes),
    ]
}

/// What they work on.
#[derive(Clone)]
pub(crate) struct AllocScope {
    pub(crate) context: Arc<Context>,
    pub(crate) alloc: Arc<Allocation>,
    pub(crate) dir: AllocDir,
    pub(crate) inbox: Inbox,
    pub(crate) beside: Beside,
}

impl Scope for AllocScope {
    /// A sentence.
    type Failure = String;

    fn made(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.inbox.tell(Message::Made))
    }
}

struct Directory;

impl Hook<AllocScope> for Directory {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn until(&self) -> Until {
        Until::Removed
    }

    fn make<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> Making<'a, AllocScope> {
        Box::pin(async move {
            let dir = scope.dir.clone();
            let made = scope.beside.run(move || dir.create().map_err(|e| crate::chain(&e))).await;
            made.map_err(|text| format!("failed to setup alloc: {text}"))?;
            crate::crash::point("alloc-directory-made");
            Ok(())
        })
    }

    fn undo<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> BoxFuture<'a, ()> {
        Box::pin(scope.context.remove_files(scope.alloc.id))
    }
}

/// Cores that tasks of the group have for themselves: nobody else runs on them until nothing of it runs any more.
struct Cores;

impl Cores {
    async fn divide(scope: &AllocScope) {
        let context = scope.context.clone();
        crate::blocking(move || context.cores.divide()).await;
        let shared = scope.context.cores.shared();
        for driver in scope.context.drivers.values() {
            driver.share_cores(&shared).await;
        }
    }
}

impl Hook<AllocScope> for Cores {
    fn name(&self) -> &'static str {
        "cores"
    }

    fn wanted(&self, scope: &AllocScope) -> bool {
        cores::has_own(&scope.alloc)
    }

    fn make<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> Making<'a, AllocScope> {
        Box::pin(async move {
            scope.context.cores.take(&scope.alloc);
            Cores::divide(scope).await;
            Ok(())
        })
    }

    fn undo<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            scope.context.cores.give_back(scope.alloc.id);
            Cores::divide(scope).await;
        })
    }
}

/// The network namespace that the group's tasks share. What makes it has it named after the allocation; the addresses that it
/// had are in the row, and given again where that is possible.
struct Network;

/// A bridge or a program may be busy, or be changed by others, just now.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

impl Hook<AllocScope> for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn wanted(&self, scope: &AllocScope) -> bool {
        network::mode(&scope.alloc).is_some()
    }

    fn make<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> Making<'a, AllocScope> {
        Box::pin(async move {
            let made = match unable(scope) {
                Some(text) => Err(text),
                None => match wanted(scope) {
                    Ok(wanted) => connect(scope, wanted).await,
                    Err(text) => Err(text),
                },
            };
            let status =
                made.map_err(|text| format!("failed to setup alloc: pre-run hook \"network\" failed: {text}"))?;
            crate::crash::point("network-made");
            scope.inbox.tell(Message::Network(status)).await;
            Ok(())
        })
    }

    fn undo<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for again in 1..=TRIES {
                match scope.context.remove_network(scope.alloc.id).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(alloc_id = %scope.alloc.id, "removing the network of an allocation: {error}");
                    }
                }
                tokio::time::sleep(PAUSE * again).await;
            }
        })
    }
}

/// A task whose driver can't have it in the group's network.
fn unable(scope: &AllocScope) -> Option<String> {
    let group = scope.alloc.group()?;
    let unable = |task: &&Task| scope.context.drivers.get(task.driver()).is_some_and(|d| !d.joins_networks());
    let task = group.tasks().iter().find(unable)?;
    Some(format!("task {} does not support {:?} networking mode", task.name(), &*scope.alloc.resources.network_mode))
}

fn wanted(scope: &AllocScope) -> Result<network::Wanted, String> {
    let (alloc, context) = (&scope.alloc, &scope.context);
    let env = services::group_env(context, alloc);
    let block = alloc.group().and_then(|g| g.networks.as_deref()?.first()?.cni.clone()).unwrap_or_default();
    let own = block.args.unwrap_or_default().iter().map(|(k, v)| (env.text(k), env.text(v))).collect();
    let (id, job) = (alloc.id.to_string(), alloc.job_id.to_string());
    let facts = [
        ("NOMAD_REGION", &*context.options.region),
        ("NOMAD_NAMESPACE", alloc.namespace.as_ref()),
        ("NOMAD_JOB_ID", &job),
        ("NOMAD_GROUP_NAME", &alloc.task_group),
        ("NOMAD_ALLOC_ID", &id),
    ];
    Ok(network::Wanted {
        id: alloc.id,
        mode: network::mode(alloc).unwrap_or(network::Mode::None),
        args: network::args(&facts, &own)?,
        ports: alloc.resources.ports.clone(),
        before: alloc.network_status.as_deref().cloned(),
    })
}

async fn connect(scope: &AllocScope, wanted: network::Wanted) -> Result<NetworkStatus, String> {
    let mut tries = 1;
    loop {
        let (networks, wanted) = (scope.context.networks.clone(), wanted.clone());
        match scope.beside.run(move || networks.make(&wanted)).await {
            Err(text) if tries < TRIES => {
                tracing::warn!(alloc_id = %scope.alloc.id, "making the network of an allocation: {text}");
            }
            made => return made,
        }
        tokio::time::sleep(PAUSE * tries).await;
        tries += 1;
    }
}

/// The group's services answer from before the first task runs. The actor keeps them, as newer versions change them.
struct Services;

impl Hook<AllocScope> for Services {
    fn name(&self) -> &'static str {
        "services"
    }

    fn make<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> Making<'a, AllocScope> {
        Box::pin(async move {
            scope.inbox.tell(Message::RegisterGroup).await;
            Ok(())
        })
    }

    fn undo<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> BoxFuture<'a, ()> {
        Box::pin(scope.inbox.tell(Message::WithdrawGroup))
    }
}

/// Waits for the allocations that this one replaces on this node, and takes over the data of a sticky disk.
struct Previous;

impl Hook<AllocScope> for Previous {
    fn name(&self) -> &'static str {
        "previous"
    }

    fn wanted(&self, scope: &AllocScope) -> bool {
        replaced(&scope.alloc).next().is_some()
    }

    fn once(&self) -> bool {
        true
    }

    fn make<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> Making<'a, AllocScope> {
        Box::pin(async move {
            let alloc = &scope.alloc;
            let mut local: Vec<Neighbour> = replaced(alloc).filter_map(|id| scope.context.neighbours.get(id)).collect();
            for neighbour in &mut local {
                neighbour.ended().await;
            }
            if let Some(old) = local.iter().find(|n| sticky(alloc) && Some(n.id) == alloc.previous) {
                let (old, new, alloc) = (old.dir.clone(), scope.dir.clone(), alloc.clone());
                let take_over = move || {
                    move_data(&old, &new, &alloc);
                    Ok(())
                };
                scope.beside.run(take_over).await?;
            } else if disk::migrates(alloc) && alloc.previous.is_some_and(|id| local.iter().all(|n| n.id != id)) {
                let beside = scope.beside.clone();
                let hold = move || beside.hold();
                if let Err(why) = disk::take_over(&scope.context, alloc, &scope.dir, &hold).await {
                    self.tell(scope, &format!("The disk of the previous allocation was not moved here: {why}"));
                }
            }
            Ok(())
        })
    }
}

impl Previous {
    /// A lost disk ends no allocation: its tasks start with an empty one, and are told.
    fn tell(&self, scope: &AllocScope, text: &str) {
        tracing::warn!(alloc_id = %scope.alloc.id, "{text}");
        let tasks = scope.alloc.group().map_or(0, |g| g.tasks().len());
        (0..tasks).for_each(|index| scope.inbox.notice(index, event::hook_message(text)));
    }
}

fn replaced(alloc: &Allocation) -> impl Iterator<Item = AllocId> {
    alloc.previous.into_iter().chain(alloc.preempted.iter().copied())
}

fn sticky(alloc: &Allocation) -> bool {
    let disk = alloc.group().and_then(|g| g.ephemeral_disk.as_ref());
    disk.is_some_and(|d| d.sticky == Some(true) || d.migrate == Some(true))
}

/// Moves what a sticky disk keeps from an ended allocation of this node. A failure only leaves the new one empty.
fn move_data(old: &AllocDir, new: &AllocDir, alloc: &Allocation) {
    for (parent, name) in disk::kept(alloc) {
        let dirs = Dir::trusted(&old.root).and_then(|old| Ok((old, Dir::trusted(&new.root)?)));
        if let Err(error) = dirs.and_then(|(old, new)| disk::move_one(&old, &new, &parent, name)) {
            let text = crate::chain(&error);
            tracing::warn!(alloc_id = %alloc.id, "moving {}/{name} of the previous allocation: {text}", parent.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports and addresses of the node are free again when the next one asks for them.
    #[test]
    fn the_allocation_before_has_ended_when_a_network_is_made() {
        let names: Vec<&str> = hooks().iter().map(|hook| hook.name()).collect();
        let at = |name: &str| names.iter().position(|n| *n == name).expect("a hook");
        assert!(at("previous") < at("network") && at("network") < at("services"), "{names:?}");
    }

    #[test]
    fn what_a_sticky_disk_keeps_moves_and_links_do_not() {
        let (base, host) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        std::fs::write(host.path().join("kept"), "x").expect("written");
        let dirs = ["old", "new"].map(|name| AllocDir { root: base.path().join(name) });
        for dir in &dirs {
            dir.create().expect("made");
        }
        let [old, new] = dirs;
        old.create_task("web").expect("made");
        std::fs::write(old.shared().join("data/f"), "data").expect("written");
        std::fs::remove_dir(old.task("web").local).expect("removed");
        std::os::unix::fs::symlink(host.path(), old.task("web").local).expect("linked");
        let task = crate::test_support::task("web", "raw_exec", serde_json::json!({}));
        let job = Arc::new(crate::test_support::job("j", "service", vec![task]));
        move_data(&old, &new, &crate::test_support::place(&job, 0));
        assert_eq!(std::fs::read_to_string(new.shared().join("data/f")).expect("moved"), "data");
        assert!(new.task("web").local.symlink_metadata().is_err(), "the link stays where it is");
        assert!(new.create_task("web").expect("made").local.is_dir());
        assert!(host.path().join("kept").exists());
    }
}
