//! Routes of services that the servers keep themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tarpan_api::wire::{NamespaceServices, ServiceStub};
use tarpan_model::service::ServiceRegistration;
use tarpan_state::{Command, Table};

use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::filter::fields_of;
use super::page::{List, Place, Shape, value_of};
use super::reply::Outcome;
use crate::watch::Watch;

bind! { Services {
    List => list,
    Delete => delete,
    Instances => instances,
}}

/// `GET /v1/services`: names by namespace, with the tags of all instances.
async fn list(cx: Context) -> Outcome {
    let read = cx.read(&[Watch::Table(Table::Services)], |s| s.table_index(Table::Services)).await?;
    let mut found: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for row in read.state.services().filter(|row| cx.sees(row.namespace.as_str())) {
        let tags = found.entry(row.namespace.as_str()).or_default().entry(&row.service_name).or_default();
        tags.extend(row.tags.iter().map(String::as_str));
    }
    let services = |names: BTreeMap<&str, BTreeSet<&str>>| {
        let stub = |(name, tags): (&str, BTreeSet<&str>)| ServiceStub {
            service_name: name.to_owned(),
            tags: tags.into_iter().map(str::to_owned).collect(),
        };
        names.into_iter().map(stub).collect()
    };
    let list: Vec<NamespaceServices> = found
        .into_iter()
        .map(|(namespace, names)| NamespaceServices { namespace: namespace.to_owned(), services: services(names) })
        .collect();
    read.json(&list)
}

/// `GET /v1/service/:name`: its instances; `choose=N|key` picks N of them, always the same for a key.
async fn instances(cx: Context) -> Outcome {
    let (namespace, name) = (cx.namespace(), Arc::<str>::from(cx.path.get("service")));
    let choose = cx.query.get("choose").filter(|c| !c.is_empty()).map(parse_choose).transpose()?;
    let watch = [Watch::Service((namespace.clone(), name.clone()))];
    let read = cx.read(&watch, |s| s.table_index(Table::Services)).await?;
    let state = read.state.clone();
    let mut rows: Vec<&ServiceRegistration> = state.service(&namespace, &name).map(|row| &**row).collect();
    if let Some((count, key)) = choose {
        rows.sort_by_cached_key(|row| weight(row, &key));
        rows.truncate(count);
    }
    let list = List {
        shape: Shape::Id,
        place: &|row: &&ServiceRegistration| Place::id(&row.id),
        value: &|row| value_of(row),
        fields: fields_of::<ServiceRegistration>(),
    };
    let (page, token) = list.page(&cx.std, rows.into_iter())?;
    read.page(&page, token)
}

fn parse_choose(text: &str) -> Result<(usize, String), ApiError> {
    let refusal = || ApiError::bad_request("Parameter for choose must be in form '<number>|<key>'");
    let (count, key) = text.split_once('|').ok_or_else(refusal)?;
    Ok((count.parse().map_err(|_| refusal())?, key.to_owned()))
}

/// Rendezvous hashing: the instance with the lowest hash of itself and the key goes first.
fn weight(row: &ServiceRegistration, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(u64::from(row.port).to_be_bytes());
    let alloc_id = row.alloc_id.to_string();
    let head = [&*alloc_id, &row.id, row.namespace.as_str(), &row.address, &row.service_name];
    for text in head.into_iter().chain(row.tags.iter().map(String::as_str)).chain([key]) {
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

/// `DELETE /v1/service/:name/:id`
async fn delete(cx: Context) -> Outcome {
    let (namespace, name, id) = (cx.namespace(), cx.path.get("service"), cx.path.get("id"));
    if !cx.server.state().service(&namespace, name).any(|row| *row.id == *id) {
        return Err(ApiError::not_found("service registration not found"));
    }
    let (index, _) = cx.propose(Command::DeleteServices { ids: vec![id.into()], node: None }).await?;
    cx.written_empty(index)
}

#[cfg(test)]
mod tests {
    use super::parse_choose;

    #[test]
    fn fuzz_a_choice_is_read_as_it_is_written_or_refused() {
        let words = ["|", "1", "key", "%7C", "-", "+", " "];
        let seeds = ["2|key", "0|", "|", "3|a|b"];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "choices").words(&words).seeds(seeds);
        fuzz.texts(|text| match parse_choose(text) {
            Ok((count, key)) => {
                let again = parse_choose(&format!("{count}|{key}")).map_err(|e| e.message);
                assert_eq!(again, Ok((count, key.clone())));
                assert!(text.ends_with(&format!("|{key}")));
                format!("{} {}", count > 0, key.is_empty())
            }
            Err(error) => {
                assert!(error.status.is_client_error());
                error.message
            }
        });
    }
}
