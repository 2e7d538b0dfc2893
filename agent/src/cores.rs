//! Whose the node's cores are: some are one task's alone, tasks without any run on the rest.
//!
//! What allocations were given stands in their rows; the kernel is told by control groups ([`crate::cgroup::divide`]). Drivers whose
//! tasks are in groups of somebody else's are told what is shared.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tarpan_model::{AllocId, Allocation};

use crate::cgroup;
use crate::env::core_ranges;

pub(crate) struct Cores {
    parent: String,
    /// Those that tasks may run on, and whether that is all of them.
    usable: Vec<u16>,
    all: bool,
    taken: Mutex<BTreeMap<AllocId, Vec<u16>>>,
}

/// Those of an allocation's tasks.
fn of(alloc: &Allocation) -> Vec<u16> {
    alloc.resources.tasks.values().flat_map(|task| task.cores.iter().copied()).collect()
}

/// Whether a task of the allocation has cores of its own.
pub(crate) fn has_own(alloc: &Allocation) -> bool {
    alloc.resources.tasks.values().any(|task| !task.cores.is_empty())
}

impl Cores {
    /// `all`: the node's; `reserved`: those that are for the node itself.
    pub fn new(parent: &str, all: Vec<u16>, reserved: &[u16]) -> Cores {
        let usable: Vec<u16> = all.iter().filter(|core| !reserved.contains(core)).copied().collect();
        Cores { parent: parent.to_owned(), all: usable == all, usable, taken: Mutex::default() }
    }

    /// Those of an allocation are its own from now on.
    pub fn take(&self, alloc: &Allocation) {
        let own = of(alloc);
        let mut taken = self.taken.lock().expect("no panic while held");
        let twice = |cores: &Vec<u16>| cores.iter().find(|core| own.contains(core)).copied();
        let others = taken.iter().filter(|(id, _)| **id != alloc.id);
        if let Some((other, core)) = others.filter_map(|(id, cores)| Some((*id, twice(cores)?))).next() {
            tracing::warn!(alloc_id = %alloc.id, %other, core, "a core is given to two allocations");
        }
        if !own.is_empty() {
            taken.insert(alloc.id, own);
        }
    }

    pub fn give_back(&self, id: AllocId) {
        self.taken.lock().expect("no panic while held").remove(&id);
    }

    /// What tasks without cores of their own run on, such as `0-1,3`. If nothing is left for them, all.
    pub fn shared(&self) -> String {
        let taken = self.taken.lock().expect("no panic while held");
        let free = |core: &&u16| !taken.values().any(|cores| cores.contains(core));
        let shared: Vec<u16> = self.usable.iter().filter(free).copied().collect();
        core_ranges(if shared.is_empty() { &self.usable } else { &shared })
    }

    /// The same for who starts a task elsewhere; empty while nothing is kept from anybody: then there is nothing to be told.
    pub fn told(&self) -> String {
        let taken = self.taken.lock().expect("no panic while held").is_empty();
        if taken && self.all { String::new() } else { self.shared() }
    }

    /// Tells the kernel.
    pub fn divide(&self) {
        let reserved: Vec<u16> = {
            let taken = self.taken.lock().expect("no panic while held");
            taken.values().flatten().copied().collect()
        };
        cgroup::divide(&self.parent, &self.shared(), &core_ranges(&reserved));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn with(cores: &[u16]) -> Allocation {
        let mut alloc = crate::test_support::alloc("t");
        let mut resources = (*alloc.resources).clone();
        Arc::make_mut(&mut resources.tasks).get_mut("t").expect("a task").cores = cores.to_vec();
        alloc.resources = Arc::new(resources);
        alloc
    }

    #[test]
    fn what_is_nobodys_is_shared() {
        let cores = Cores::new("x", vec![0, 1, 2, 3, 5], &[0]);
        assert_eq!(cores.told(), "1-3,5");
        assert_eq!(Cores::new("x", vec![0, 1], &[]).told(), "", "nothing is kept from anybody");
        assert_eq!(cores.shared(), "1-3,5");
        let (two, rest) = (with(&[1, 2]), with(&[3, 5]));
        cores.take(&two);
        assert_eq!(cores.shared(), "3,5");
        cores.take(&with(&[]));
        cores.take(&rest);
        assert_eq!(cores.shared(), "1-3,5", "those who have none must run somewhere");
        cores.give_back(two.id);
        assert_eq!(cores.shared(), "1-2");
        cores.give_back(rest.id);
        assert_eq!(cores.shared(), "1-3,5");
    }
}
