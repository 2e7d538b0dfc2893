//! Dynamic host volumes: their lists, one of them, and making and deleting them.

use std::time::Duration;

use tarpan_api::wire::{HostVolume, HostVolumeRequest, HostVolumeStub};
use tarpan_api::{Client, Query, calls};

use super::Shown;
use super::spec::Specification;
use crate::command::{Doing as _, Fail, Outcome};
use crate::output::{Format, Table, allocs, block, bytes, short, time, title};

/// Between two looks at a volume that is being made.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a node is given to say that a volume is there.
const PATIENCE: Duration = Duration::from_secs(300);

/// What of a list is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    pub node: Option<&'a str>,
    pub pool: Option<&'a str>,
}

impl Wanted<'_> {
    fn query(self) -> Query {
        let mut query = Query::new();
        if let Some(node) = self.node {
            query = query.with("node_id", node);
        }
        match self.pool {
            Some(pool) => query.with("node_pool", pool),
            None => query,
        }
    }
}

const LISTING: &str = "Error querying host volumes";

/// The section of a list that is theirs.
pub async fn section(client: &Client, wanted: Wanted<'_>, shown: Shown) -> Result<String, Fail> {
    let all = client.host_volumes(&wanted.query()).await.doing(LISTING)?.value;
    Ok(if all.is_empty() { "No dynamic host volumes".to_owned() } else { table(&all, shown.verbose) })
}

/// The list as the API gives it.
pub async fn print_list(client: &Client, wanted: Wanted<'_>, format: &Format) -> Outcome {
    format.print_answer(client, calls::host_volumes(&wanted.query()), LISTING).await
}

fn table(all: &[HostVolumeStub], verbose: bool) -> String {
    let mut table = Table::new(["ID", "Name", "Namespace", "Plugin ID", "Node ID", "Node Pool", "State"]);
    for v in all {
        table.row([
            short(&v.id, verbose),
            &v.name,
            &v.namespace,
            &v.plugin_id,
            short(&v.node_id, verbose),
            &v.node_pool,
            &v.state,
        ]);
    }
    table.render()
}

/// The volumes whose id or name begins so; one whose id or name it is, alone. `None` is what no volume has.
async fn matching(client: &Client, word: &str, doing: &str) -> Result<Vec<HostVolumeStub>, Fail> {
    let mut all = client.host_volumes(&Query::new()).await.doing(doing)?.value;
    all.retain(|v| v.id.starts_with(word) || v.name.starts_with(word));
    if all.iter().filter(|v| v.id == word || v.name == word).count() == 1 {
        all.retain(|v| v.id == word || v.name == word);
    }
    Ok(all)
}

/// The one volume that `word` names. `none` and `several` begin the errors.
async fn find(client: &Client, word: &str, doing: &str) -> Result<HostVolumeStub, Fail> {
    let mut found = matching(client, word, doing).await?;
    match found.len() {
        0 => Err(Fail::new(format!("{doing}: no volumes with prefix or ID {word:?} found"))),
        1 => Ok(found.remove(0)),
        _ => Err(Fail::new(format!("Prefix matched multiple volumes\n\n{}", table(&found, true)))),
    }
}

/// Is there one that `word` may mean?
pub async fn knows(client: &Client, word: &str) -> Result<bool, Fail> {
    Ok(!matching(client, word, LISTING).await?.is_empty())
}

/// One volume.
pub async fn show(client: &Client, word: &str, format: &Format, shown: Shown) -> Outcome {
    let stub = find(client, word, LISTING).await?;
    let (query, doing) = (Query::in_namespace(&stub.namespace), "Error querying host volume");
    if format.asked() {
        return format.print_answer(client, calls::host_volume(&query, &stub.id), doing).await;
    }
    let volume = client.host_volume(&query, &stub.id).await.doing(doing)?.value;
    println!("{}", text(&volume, shown));
    Ok(0)
}

fn text(v: &HostVolume, shown: Shown) -> String {
    let mut out = block(&[
        ("ID", v.id.clone()),
        ("Name", v.name.clone()),
        ("Namespace", v.namespace.clone()),
        ("Plugin ID", v.plugin_id.clone()),
        ("Node ID", v.node_id.clone()),
        ("Node Pool", v.node_pool.clone()),
        ("Capacity", bytes(u64::try_from(v.capacity_bytes).unwrap_or(0))),
        ("State", v.state.clone()),
        ("Host Path", v.host_path.clone()),
    ]);
    if shown.short {
        return out;
    }
    let mut capabilities = Table::new(["Access Mode", "Attachment Mode"]);
    for c in &v.capabilities {
        capabilities.row([&c.access_mode, &c.attachment_mode]);
    }
    out.push_str(&format!("\n{}{}", title("Capabilities"), capabilities.render()));
    if !v.parameters.is_empty() {
        let pairs: Vec<_> = v.parameters.iter().collect();
        out.push_str(&format!("\n{}{}", title("Parameters"), block(&pairs)));
    }
    let users = match v.allocations.as_slice() {
        [] => "No allocations placed".to_owned(),
        stubs => allocs::table(stubs, shown.verbose, time::now()),
    };
    out.push_str(&format!("\n{}{users}", title("Allocations")));
    out
}

/// What the API is asked for a file.
fn wanted(spec: &Specification, id: Option<&str>) -> Result<HostVolume, Fail> {
    let mut fields = spec.fields();
    let in_file = fields.text("id")?;
    let volume = HostVolume {
        id: id.map_or(in_file, str::to_owned),
        namespace: fields.text("namespace")?,
        name: fields.text("name")?,
        plugin_id: fields.text("plugin_id")?,
        node_pool: fields.text("node_pool")?,
        node_id: fields.text("node_id")?,
        constraints: fields.constraints()?,
        capacity_min_bytes: fields.size("capacity_min")?,
        capacity_max_bytes: fields.size("capacity_max")?,
        capacity_bytes: fields.size("capacity")?,
        capabilities: fields.capabilities()?,
        parameters: fields.texts("parameters")?,
        host_path: fields.text("host_path")?,
        ..HostVolume::default()
    };
    fields.nothing_else()?;
    Ok(volume)
}

fn query_of(volume: &HostVolume) -> Query {
    if volume.namespace.is_empty() { Query::new() } else { Query::in_namespace(&volume.namespace) }
}

/// How a creation is followed.
#[derive(Clone, Copy, Debug)]
pub struct Following {
    pub detach: bool,
    pub verbose: bool,
}

pub async fn create(client: &Client, spec: &Specification, id: Option<&str>, following: Following) -> Outcome {
    let volume = wanted(spec, id)?;
    let query = query_of(&volume);
    let request = HostVolumeRequest { volume: Some(volume), policy_override: false };
    let answer = client.create_host_volume(&query, &request).await.doing("Error creating volume")?.value;
    let made = answer.volume.unwrap_or_default();
    warn(&answer.warnings);
    let said = format!("Created host volume {} with ID {}", made.name, made.id);
    if following.detach || made.state == "ready" {
        println!("{said}");
        return Ok(0);
    }
    println!("==> {said}");
    follow(client, &made, following.verbose).await
}

/// Until the node says that the volume is there.
async fn follow(client: &Client, made: &HostVolume, verbose: bool) -> Outcome {
    let (query, name) = (Query::in_namespace(&made.namespace), short(&made.id, verbose));
    let since = std::time::Instant::now();
    println!("==> Monitoring volume {name:?}");
    while since.elapsed() < PATIENCE {
        let now = client.host_volume(&query, &made.id).await.doing("Error querying host volume")?.value;
        match now.state.as_str() {
            "ready" => {
                println!("    {}: Volume {name:?} ready", time::stamp(time::now()));
                return Ok(0);
            }
            "pending" => tokio::time::sleep(INTERVAL).await,
            state => return Err(Fail::new(format!("Volume {name:?} is {state}: its node does not have it"))),
        }
    }
    let secs = PATIENCE.as_secs();
    Err(Fail::new(format!("Volume {name:?} is pending: its node did not say within {secs} s that it has it")))
}

pub async fn register(client: &Client, spec: &Specification, id: Option<&str>) -> Outcome {
    let volume = wanted(spec, id)?;
    let query = query_of(&volume);
    let request = HostVolumeRequest { volume: Some(volume), policy_override: false };
    let answer = client.register_host_volume(&query, &request).await.doing("Error registering volume")?.value;
    warn(&answer.warnings);
    let made = answer.volume.unwrap_or_default();
    println!("Registered host volume {} with ID {}", made.name, made.id);
    Ok(0)
}

fn warn(warnings: &str) {
    if !warnings.is_empty() {
        eprintln!("Warning: {warnings}");
    }
}

pub async fn delete(client: &Client, word: &str, force: bool) -> Outcome {
    let stub = find(client, word, "Could not find existing host volume to delete").await?;
    let query = Query::in_namespace(&stub.namespace);
    client.delete_host_volume(&query, &stub.id, force).await.doing("Error deleting volume")?;
    println!("Successfully deleted volume {:?}!", stub.id);
    Ok(0)
}

/// The text of an example file.
pub fn example(json: bool) -> &'static str {
    if json { include_str!("examples/host.json") } else { include_str!("examples/host.hcl") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_what_is_read() {
        for json in [false, true] {
            let spec = Specification::parse("example", example(json)).expect("it parses");
            let volume = wanted(&spec, None).expect("keys that there are");
            assert_eq!((volume.name.as_str(), volume.plugin_id.as_str()), ("example", "mkdir"));
            assert_eq!(volume.capabilities.len(), 1);
            assert_eq!(volume.parameters["mode"], "0755");
        }
    }

    #[test]
    fn a_volume_is_shown() {
        let volume = HostVolume {
            id: "0a1b2c3d-0000-0000-0000-000000000000".to_owned(),
            name: "scratch".to_owned(),
            namespace: "default".to_owned(),
            plugin_id: "mkdir".to_owned(),
            node_id: "1a1b2c3d-0000-0000-0000-000000000000".to_owned(),
            node_pool: "default".to_owned(),
            state: "ready".to_owned(),
            host_path: "/srv/0a1b2c3d".to_owned(),
            capabilities: vec![Default::default()],
            ..HostVolume::default()
        };
        insta::assert_snapshot!(text(&volume, Shown::default()), @r"
        ID        = 0a1b2c3d-0000-0000-0000-000000000000
        Name      = scratch
        Namespace = default
        Plugin ID = mkdir
        Node ID   = 1a1b2c3d-0000-0000-0000-000000000000
        Node Pool = default
        Capacity  = 0 B
        State     = ready
        Host Path = /srv/0a1b2c3d

        Capabilities
        Access Mode  Attachment Mode
        <none>       <none>

        Allocations
        No allocations placed
        ");
        assert!(!text(&volume, Shown { short: true, verbose: false }).contains("Allocations"));
    }
}
