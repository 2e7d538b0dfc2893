//! Service registrations: made and removed by nodes, and removed with the allocation they belong to.

use std::sync::Arc;

use tarpan_model::Allocation;
use tarpan_model::ids::{AllocId, NodeId};
use tarpan_model::service::ServiceRegistration;

use super::txn::Txn;
use crate::command::Reply;
use crate::tables::{ServiceKey, table};

/// Registrations of allocations that are gone or ended are dropped: nobody would remove them again. So is what does not say
/// the truth about its allocation, or takes the name of another one's registration.
pub(crate) fn upsert(txn: &mut Txn<'_>, services: &[ServiceRegistration]) -> Reply {
    for service in services {
        let row = txn.state.alloc(service.alloc_id);
        if row.is_some_and(|a| !a.client_terminal() && truthful(service, a)) && !taken(txn, service) {
            put(txn, service);
        }
    }
    txn.done()
}

fn truthful(service: &ServiceRegistration, alloc: &Allocation) -> bool {
    service.node_id == alloc.node_id && service.namespace == alloc.namespace && service.job_id == alloc.job_id
}

fn taken(txn: &Txn<'_>, service: &ServiceRegistration) -> bool {
    let key = (service.namespace.clone(), service.service_name.clone(), service.id.clone());
    txn.state.tables.services.get(&key).is_some_and(|row| row.alloc_id != service.alloc_id)
}

fn put(txn: &mut Txn<'_>, service: &ServiceRegistration) {
    let name = txn.state.text(&service.service_name);
    let key = (service.namespace.clone(), name.clone(), service.id.clone());
    let old = txn.state.tables.services.get(&key);
    let unchanged = old.is_some_and(|old| {
        ServiceRegistration { create_index: old.create_index, modify_index: old.modify_index, ..service.clone() }
            == **old
    });
    if unchanged {
        return;
    }
    let row = Arc::new(ServiceRegistration {
        service_name: name,
        create_index: old.map_or(txn.index, |old| old.create_index),
        modify_index: txn.index,
        ..service.clone()
    });
    txn.put(table::Services, key, row);
}

/// By id; unknown ids are no error, and neither are those of other nodes than `node`: they stay.
pub(crate) fn delete(txn: &mut Txn<'_>, ids: &[Arc<str>], node: Option<NodeId>) -> Reply {
    for id in ids {
        if let Some(key) = find(txn, id, node) {
            txn.take(table::Services, &key);
        }
    }
    txn.done()
}

/// An id names its allocation: `_nomad-task-<alloc id>-…`. Other ids are looked for everywhere.
fn find(txn: &Txn<'_>, id: &Arc<str>, node: Option<NodeId>) -> Option<ServiceKey> {
    let alloc: Option<AllocId> =
        id.strip_prefix("_nomad-task-").and_then(|rest| rest.get(..36)).and_then(|text| text.parse().ok());
    let matches = |row: &&Arc<ServiceRegistration>| row.id == *id && node.is_none_or(|node| row.node_id == node);
    let row = match alloc {
        Some(alloc) => txn.state.services_by_alloc(alloc).find(matches),
        None => txn.state.services().find(matches),
    }?;
    Some((row.namespace.clone(), row.service_name.clone(), row.id.clone()))
}

impl Txn<'_> {
    pub(crate) fn remove_services_of(&mut self, alloc: AllocId) {
        if self.state.tables.services_by_alloc.is_empty() {
            return;
        }
        let rows: Vec<ServiceKey> = self
            .state
            .services_by_alloc(alloc)
            .map(|row| (row.namespace.clone(), row.service_name.clone(), row.id.clone()))
            .collect();
        for key in rows {
            self.take(table::Services, &key);
        }
    }
}
