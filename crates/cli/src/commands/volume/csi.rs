//! CSI volumes: their lists, one of them, and what is done to them.

pub mod detach;
pub mod snapshot;

use std::collections::BTreeMap;

use tarpan_api::wire::{
    CsiMountOptions, CsiTopology, CsiTopologyRequest, CsiVolListStub, CsiVolume, CsiVolumesRequest,
};
use tarpan_api::{Client, Query, calls};
use tarpan_model::UnixNanos;

use super::Shown;
use super::spec::{Fields, Specification};
use crate::command::{Doing as _, Fail, Outcome};
use crate::output::{Format, Table, allocs, block, bytes, short, time, title};

const LISTING: &str = "Error querying CSI volumes";

/// The section of a list that is theirs.
pub async fn section(client: &Client, _: Shown) -> Result<String, Fail> {
    let all = client.csi_volumes(&Query::new()).await.doing(LISTING)?.value;
    Ok(if all.is_empty() { "No CSI volumes".to_owned() } else { table(&all) })
}

/// The list as the API gives it.
pub async fn print_list(client: &Client, format: &Format) -> Outcome {
    format.print_answer(client, calls::csi_volumes(&Query::new()), LISTING).await
}

fn table(all: &[CsiVolListStub]) -> String {
    let mut table = Table::new(["ID", "Name", "Namespace", "Plugin ID", "Schedulable", "Access Mode"]);
    for v in all {
        let schedulable = v.schedulable.to_string();
        table.row([&v.id, &v.name, &v.namespace, &v.plugin_id, &schedulable, &v.access_mode]);
    }
    table.render()
}

/// The one volume whose id is, or alone begins, so.
async fn find(client: &Client, word: &str) -> Result<CsiVolListStub, Fail> {
    let mut found = client.csi_volumes(&Query::new()).await.doing(LISTING)?.value;
    found.retain(|v| v.id.starts_with(word));
    if found.iter().filter(|v| v.id == word).count() == 1 {
        found.retain(|v| v.id == word);
    }
    match found.len() {
        0 => Err(Fail::new(format!("{LISTING}: no volumes with prefix or ID {word:?} found"))),
        1 => Ok(found.remove(0)),
        _ => Err(Fail::new(format!("Prefix matched multiple volumes\n\n{}", table(&found)))),
    }
}

/// One volume of that id or of the only id that begins so.
pub async fn show(client: &Client, word: &str, format: &Format, shown: Shown) -> Outcome {
    let stub = find(client, word).await?;
    let (query, doing) = (Query::in_namespace(&stub.namespace), "Error querying CSI volume");
    if format.asked() {
        return format.print_answer(client, calls::csi_volume(&query, &stub.id, false), doing).await;
    }
    let volume = client.csi_volume(&query, &stub.id, true).await.doing(doing)?.value;
    println!("{}", text(&volume, shown, time::now()));
    Ok(0)
}

fn text(v: &CsiVolume, shown: Shown, now: UnixNanos) -> String {
    let mut out = block(&[
        ("ID", v.id.clone()),
        ("Name", v.name.clone()),
        ("Namespace", v.namespace.clone()),
        ("External ID", v.external_id.clone()),
        ("Plugin ID", v.plugin_id.clone()),
        ("Provider", v.provider.clone()),
        ("Version", v.provider_version.clone()),
        ("Capacity", bytes(u64::try_from(v.capacity).unwrap_or(0))),
        ("Schedulable", v.schedulable.to_string()),
        ("Controllers Healthy", v.controllers_healthy.to_string()),
        ("Controllers Expected", v.controllers_expected.to_string()),
        ("Nodes Healthy", v.nodes_healthy.to_string()),
        ("Nodes Expected", v.nodes_expected.to_string()),
        ("Access Mode", v.access_mode.clone()),
        ("Attachment Mode", v.attachment_mode.clone()),
        ("Mount Options", v.mount_options.as_ref().map(options).unwrap_or_default()),
    ]);
    if shown.short {
        return out;
    }
    let mut capabilities = Table::new(["Access Mode", "Attachment Mode"]);
    for c in &v.requested_capabilities {
        capabilities.row([&c.access_mode, &c.attachment_mode]);
    }
    out.push_str(&format!("\n{}{}", title("Capabilities"), capabilities.render()));
    if !v.topologies.is_empty() {
        let places: Vec<String> = v.topologies.iter().map(place).collect();
        out.push_str(&format!("\n{}{}", title("Topologies"), places.join("\n")));
    }
    if v.claims.iter().any(|claim| claim.state != "taken") {
        out.push_str(&format!("\n{}{}\n", title("Claims being given back"), claims(v, shown, now)));
    }
    let users = match v.allocations.as_slice() {
        [] => "No allocations placed".to_owned(),
        stubs => allocs::table(stubs, shown.verbose, now),
    };
    out.push_str(&format!("\n{}{users}", title("Allocations")));
    out
}

/// Claims of allocations that have ended: how far, since when, and what stands in the way.
fn claims(v: &CsiVolume, shown: Shown, now: UnixNanos) -> String {
    let mut table = Table::new(["Allocation", "Node", "State", "Since", "Reason"]);
    for claim in v.claims.iter().filter(|claim| claim.state != "taken") {
        let since = time::ago_or_stamp(UnixNanos(claim.since), now, shown.verbose);
        let (alloc, node) = (short(&claim.alloc_id, shown.verbose), short(&claim.node_id, shown.verbose));
        table.row([alloc, node, &claim.state, &since, &claim.reason]);
    }
    table.render()
}

fn options(options: &CsiMountOptions) -> String {
    let fs = Some(format!("fs_type: {}", options.fs_type)).filter(|_| !options.fs_type.is_empty());
    let flags = Some(format!("flags: {}", options.mount_flags.join(", "))).filter(|_| !options.mount_flags.is_empty());
    [fs, flags].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn place(place: &CsiTopology) -> String {
    place.segments.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// What the API is asked for a file.
fn wanted(spec: &Specification) -> Result<CsiVolume, Fail> {
    let mut fields = spec.fields();
    let volume = CsiVolume {
        id: fields.text("id")?,
        name: fields.text("name")?,
        namespace: fields.text("namespace")?,
        external_id: fields.text("external_id")?,
        plugin_id: fields.text("plugin_id")?,
        snapshot_id: fields.text("snapshot_id")?,
        clone_id: fields.text("clone_id")?,
        requested_capacity_min: fields.size("capacity_min")?,
        requested_capacity_max: fields.size("capacity_max")?,
        requested_capabilities: fields.capabilities()?,
        mount_options: mount_options(&mut fields)?,
        requested_topologies: topologies(&mut fields)?,
        secrets: fields.texts("secrets")?,
        parameters: fields.texts("parameters")?,
        context: fields.texts("context")?,
        ..CsiVolume::default()
    };
    fields.nothing_else()?;
    Ok(volume)
}

fn mount_options(fields: &mut Fields<'_>) -> Result<Option<CsiMountOptions>, Fail> {
    let Some(mut block) = fields.blocks("mount_options")?.pop() else { return Ok(None) };
    let options = CsiMountOptions { fs_type: block.text("fs_type")?, mount_flags: block.list("mount_flags")? };
    block.nothing_else()?;
    Ok(Some(options))
}

fn topologies(fields: &mut Fields<'_>) -> Result<Option<CsiTopologyRequest>, Fail> {
    let Some(mut block) = fields.blocks("topology_request")?.pop() else { return Ok(None) };
    let request =
        CsiTopologyRequest { required: places(&mut block, "required")?, preferred: places(&mut block, "preferred")? };
    block.nothing_else()?;
    Ok(Some(request))
}

fn places(block: &mut Fields<'_>, key: &str) -> Result<Vec<CsiTopology>, Fail> {
    let mut found = Vec::new();
    for mut wish in block.blocks(key)? {
        for mut topology in wish.blocks("topology")? {
            found.push(CsiTopology { segments: topology.texts("segments")? });
            topology.nothing_else()?;
        }
        wish.nothing_else()?;
    }
    Ok(found)
}

fn query_of(volume: &CsiVolume) -> Query {
    if volume.namespace.is_empty() { Query::new() } else { Query::in_namespace(&volume.namespace) }
}

pub async fn create(client: &Client, spec: &Specification) -> Outcome {
    let volume = wanted(spec)?;
    let (query, id) = (query_of(&volume), volume.id.clone());
    let request = CsiVolumesRequest { volumes: vec![volume] };
    let answer = client.create_csi_volume(&query, &id, &request).await.doing("Error creating volume")?.value;
    for made in answer.volumes {
        println!("Created external volume {} with ID {}", made.external_id, made.id);
    }
    Ok(0)
}

pub async fn register(client: &Client, spec: &Specification) -> Outcome {
    let volume = wanted(spec)?;
    let query = query_of(&volume);
    let request = CsiVolumesRequest { volumes: vec![volume] };
    let answer = client.register_csi_volumes(&query, &request).await.doing("Error registering volume")?.value;
    for made in answer.volumes {
        println!("Volume {:?} registered", made.id);
    }
    Ok(0)
}

/// Has its plugin delete it; `secrets` are `key=value`.
pub async fn delete(client: &Client, id: &str, secrets: &[String]) -> Outcome {
    let secrets = pairs("secret", secrets)?;
    client.delete_csi_volume(&Query::new(), id, &secrets).await.doing("Error deleting volume")?;
    println!("Successfully deleted volume {id:?}!");
    Ok(0)
}

pub async fn deregister(client: &Client, id: &str, force: bool) -> Outcome {
    client.deregister_csi_volume(&Query::new(), id, force).await.doing("Error deregistering volume")?;
    println!("Successfully deregistered volume {id:?}!");
    Ok(0)
}

/// Values of a flag that is given as `key=value`, several times. What is no pair is not repeated: it may be a secret.
fn pairs(flag: &str, given: &[String]) -> Result<BTreeMap<String, String>, Fail> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    let wrong = || Fail::new(format!("-{flag} takes key=value, and may be given several times"));
    given.iter().map(|text| pair(text).ok_or_else(wrong)).collect()
}

/// The text of an example file.
pub fn example(json: bool) -> &'static str {
    if json { include_str!("examples/csi.json") } else { include_str!("examples/csi.hcl") }
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::{CsiClaim, VolumeCapability};

    use super::*;

    #[test]
    fn the_examples_are_what_is_read() {
        for json in [false, true] {
            let spec = Specification::parse("example", example(json)).expect("it parses");
            let volume = wanted(&spec).expect("keys that there are");
            assert_eq!((volume.id.as_str(), volume.plugin_id.as_str()), ("data", "disks"));
            assert_eq!(volume.requested_capabilities.len(), 1);
            assert_eq!(volume.mount_options.expect("options").mount_flags, ["noatime"]);
            let places = volume.requested_topologies.expect("places");
            assert_eq!(places.required[0].segments["zone"], "a");
            assert_eq!(volume.requested_capacity_min, 1 << 30);
        }
    }

    #[test]
    fn secrets_that_are_no_pairs_are_not_repeated() {
        let read = pairs("secret", &["a=b=c".to_owned()]).expect("a pair");
        assert_eq!(read["a"], "b=c");
        assert!(!pairs("secret", &["hunter2".to_owned()]).expect_err("no pair").text().contains("hunter2"));
    }

    #[test]
    fn a_claim_on_its_way_back_says_what_stands_in_the_way() {
        let claim = |state: &str, reason: &str| CsiClaim {
            alloc_id: "0a1b2c3d-0000-0000-0000-000000000000".to_owned(),
            node_id: "1a1b2c3d-0000-0000-0000-000000000000".to_owned(),
            write: true,
            state: state.to_owned(),
            reason: reason.to_owned(),
            since: 1_000_000_000,
        };
        let mut volume = CsiVolume {
            id: "data".to_owned(),
            name: "data".to_owned(),
            namespace: "default".to_owned(),
            plugin_id: "disks".to_owned(),
            requested_capabilities: vec![VolumeCapability {
                access_mode: "single-node-writer".to_owned(),
                attachment_mode: "file-system".to_owned(),
            }],
            claims: vec![claim("unpublishing", "CSI plugin disks does not run on this node")],
            ..CsiVolume::default()
        };
        let shown = text(&volume, Shown::default(), UnixNanos::from_secs(61));
        assert!(
            shown.contains("0a1b2c3d    1a1b2c3d  unpublishing  1m ago  CSI plugin disks does not run on this node"),
            "{shown}"
        );
        volume.claims = vec![claim("taken", "")];
        assert!(!text(&volume, Shown::default(), UnixNanos::from_secs(61)).contains("given back"));
    }
}
