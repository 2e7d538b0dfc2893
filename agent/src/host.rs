//! What the servers are told of this node, and how what they order is begun.

use std::sync::Arc;

use tarpan_model::{AllocId, Allocation, Job, Node};
use tarpan_rpc::agent::{Astray, Epoch};

use crate::allocs::Allocs;
use crate::session::{Host, Orders, Seen};

/// What the session knows of this node.
pub(crate) struct NodeHost {
    allocs: Arc<Allocs>,
    router: axum::Router,
}

impl NodeHost {
    pub(crate) fn new(allocs: Arc<Allocs>) -> NodeHost {
        NodeHost { router: crate::http::for_servers(allocs.clone()), allocs }
    }
}

impl Host for NodeHost {
    fn node(&self) -> Arc<Node> {
        self.allocs.context.node()
    }

    fn have(&self) -> Vec<(AllocId, u64)> {
        let (runners, found) = (self.allocs.all(), self.allocs.found());
        // Index 0: what was found without a record is older than any row, so the servers send theirs or say "forget".
        let found = found.into_iter().map(|id| (id, 0));
        runners.iter().map(|r| (r.id, r.alloc().alloc_modify_index)).chain(found).collect()
    }

    fn seen(&self) -> Seen {
        let seen = self.allocs.history.seen();
        let row = |(id, since): (&AllocId, &u64)| {
            let alloc = self.allocs.get(*id)?.alloc();
            let (namespace, job_id) = (alloc.namespace.to_string(), alloc.job_id.to_string());
            Some((*id, Astray { since: *since, create_index: alloc.create_index, namespace, job_id }))
        };
        let epoch = |(id, start): &(u128, u64)| Epoch { id: id.to_be_bytes().to_vec().into(), start: *start };
        Seen {
            index: seen.index,
            astray: seen.astray.iter().filter_map(row).collect(),
            epochs: seen.epochs.iter().map(epoch).collect(),
        }
    }

    fn told(&self, index: u64, epochs: &[Epoch], forked_at: Option<u64>) {
        let astray = self.allocs.history.welcomed(index, epochs, forked_at, self.have().into_iter());
        self.allocs.context.outbox.hold_back(astray.iter().copied());
        if forked_at.is_none() {
            return;
        }
        let names: Vec<String> = astray.iter().map(ToString::to_string).collect();
        tracing::warn!(
            allocs = names.join(" "),
            "the servers' state is another than this node was told of, as after an older copy of it \
            was put back: these allocations are kept until it knows them or something is decided about their jobs"
        );
        // The servers acknowledged earlier reports into a history that is gone.
        self.allocs.all().iter().for_each(|runner| runner.report_again());
    }

    fn orders(&self, orders: Orders) {
        self.allocs.history.told(&orders.epochs);
        for alloc in orders.allocs {
            let found = self.allocs.history.found(alloc.id);
            match self.allocs.get(alloc.id) {
                Some(runner) if found || runner.alloc().alloc_modify_index < alloc.alloc_modify_index => {
                    // The servers believe something else, as after a restore of an older state.
                    let mistaken = runner.report().is_some_and(|report| report.status != alloc.client_status);
                    runner.update(alloc);
                    if mistaken {
                        runner.report_again();
                    }
                    if found {
                        self.allocs.context.outbox.release(runner.id);
                    }
                }
                Some(_) => {}
                None => {
                    let id = alloc.id;
                    tracing::debug!(alloc_id = %id, job_id = %alloc.job_id, "a new allocation");
                    match self.allocs.take_found(id) {
                        None => self.allocs.start(alloc),
                        Some(traces) => self.allocs.restore(crate::found::record(&self.allocs.context, alloc, traces)),
                    };
                }
            }
        }
        for id in orders.forget {
            tokio::spawn(crate::gc::forget(self.allocs.clone(), id));
        }
        if orders.complete {
            self.allocs.context.contacted.send_replace(true);
        }
    }

    fn router(&self) -> Option<axum::Router> {
        Some(self.router.clone())
    }

    fn known_job(&self, alloc: &Allocation) -> Option<Arc<Job>> {
        let same = |a: &Allocation| {
            a.job_id == alloc.job_id
                && a.namespace == alloc.namespace
                && a.job_version == alloc.job_version
                && a.job_create_index == alloc.job_create_index
        };
        self.allocs.all().iter().map(|r| r.alloc()).find(|a| same(a)).map(|a| a.job.clone())
    }
}
