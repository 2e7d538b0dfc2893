//! `node drain`: moves work away from a node.

use std::collections::BTreeMap;
use std::time::Duration;

use tarpan_api::wire::{Allocation, DrainSpec, NodeUpdateDrainRequest};
use tarpan_api::{Client, Query};
use tarpan_model::duration::Dur;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::confirm::confirm;
use crate::lookup;
use crate::output::time;

#[derive(Debug, clap::Args)]
pub struct Drain {
    #[command(flatten)]
    client: ClientFlags,
    /// Start a drain.
    #[arg(long)]
    enable: bool,
    /// End the drain that goes on.
    #[arg(long)]
    disable: bool,
    /// How long allocations have to leave before they are stopped.
    #[arg(long, value_name = "duration")]
    deadline: Option<String>,
    /// Let allocations leave without a deadline.
    #[arg(long)]
    no_deadline: bool,
    /// Stop all allocations at once.
    #[arg(long)]
    force: bool,
    /// Leave allocations of system jobs running.
    #[arg(long)]
    ignore_system: bool,
    /// With -disable: do not let new work on the node again.
    #[arg(long)]
    keep_ineligible: bool,
    /// Do not follow the drain.
    #[arg(long)]
    detach: bool,
    /// Follow a drain that goes on already.
    #[arg(long)]
    monitor: bool,
    /// The node of the agent that is asked.
    #[arg(long = "self")]
    own: bool,
    /// Ask nothing.
    #[arg(long)]
    yes: bool,
    /// Why the node is drained.
    #[arg(long = "m", value_name = "text")]
    message: Option<String>,
    /// Metadata of the drain, "key=value"; may be repeated.
    #[arg(long, value_name = "key=value")]
    meta: Vec<String>,
    args: Vec<String>,
}

impl Command for Drain {
    const PATH: &'static str = "node drain";
    const ALIASES: &'static [&'static str] = &["node-drain"];
    const USAGE: &'static str = "<node>";
    const ABOUT: &'static str = "Moves the work of a node to others, or ends that.";

    async fn run(self) -> Outcome {
        if !self.monitor && self.enable == self.disable {
            return Err(Fail::usage("Either the '-enable' or '-disable' flag must be set, unless using '-monitor'"));
        }
        let spec = self.spec()?;
        let client = self.client.client()?;
        let id = match (self.args.as_slice(), self.own) {
            ([], true) => lookup::own_node(&client).await?,
            ([word], false) => lookup::node(&client, word).await?.id,
            ([], false) => return Err(Fail::usage("Node ID must be specified if -self isn't being used")),
            _ => return Err(Fail::usage("Node ID can't be specified if -self is being used")),
        };
        let query = Query::new();
        if self.monitor {
            return follow(&client, &query, &id).await;
        }
        if self.enable
            && !self.yes
            && !confirm(&format!("Are you sure you want to enable drain mode for node {id:?}? [y/N]"))?
        {
            println!("Cancelling drain toggle");
            return Ok(0);
        }
        let request = NodeUpdateDrainRequest {
            node_id: id.clone(),
            drain_spec: spec,
            mark_eligible: self.disable && !self.keep_ineligible,
            meta: self.meta()?,
        };
        client.drain_node(&query, &request).await.doing("Error updating drain specification")?;
        if self.disable {
            println!("Node {id:?} drain strategy unset");
            return Ok(0);
        }
        if self.detach {
            println!("Node {id:?} drain strategy set");
            return Ok(0);
        }
        println!("{}: Ctrl-C to stop monitoring: will not cancel the node drain", time::stamp(time::now()));
        println!("{}: Node {id:?} drain strategy set", time::stamp(time::now()));
        follow(&client, &query, &id).await
    }
}

impl Drain {
    /// `None` ends a drain.
    fn spec(&self) -> Result<Option<DrainSpec>, Fail> {
        if !self.enable {
            return Ok(None);
        }
        if self.force && (self.deadline.is_some() || self.no_deadline) || self.no_deadline && self.deadline.is_some() {
            return Err(Fail::usage("-force, -deadline and -no-deadline exclude each other"));
        }
        let deadline = match (&self.deadline, self.force, self.no_deadline) {
            (_, true, _) => Dur(-1),
            (_, _, true) => Dur::ZERO,
            (Some(text), _, _) => {
                let parsed: Dur =
                    text.parse().map_err(|e| Fail::new(format!("Failed to parse deadline {text:?}: {e}")))?;
                if parsed.0 <= 0 {
                    return Err(Fail::new("A positive drain duration must be given"));
                }
                parsed
            }
            (None, false, false) => Dur::from_secs(3600),
        };
        Ok(Some(DrainSpec { deadline, ignore_system_jobs: self.ignore_system }))
    }

    fn meta(&self) -> Result<BTreeMap<String, String>, Fail> {
        let mut out = BTreeMap::new();
        for pair in &self.meta {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| Fail::new(format!("Error parsing meta value: {pair}")))?;
            out.insert(key.to_owned(), value.to_owned());
        }
        if let Some(message) = &self.message {
            out.insert("message".to_owned(), message.clone());
        }
        Ok(out)
    }
}

/// Prints what happens to the node's allocations until the drain is complete and they have stopped.
async fn follow(client: &Client, query: &Query, id: &str) -> Outcome {
    let say = |text: String| println!("{}: {text}", time::stamp(time::now()));
    let mut seen: BTreeMap<String, (bool, bool, String)> = BTreeMap::new();
    let mut complete = false;
    loop {
        let node = client.node(query, id).await.doing("Error querying node")?.value;
        let allocs = client.node_allocations(query, id).await.doing("Error querying node allocations")?.value;
        for alloc in &allocs {
            let now = state_of(alloc);
            let first = !seen.contains_key(&alloc.id);
            let old = seen.insert(alloc.id.clone(), now.clone()).unwrap_or((false, false, alloc.client_status.clone()));
            if first && is_terminal(alloc) {
                continue;
            }
            if now.0 && !old.0 {
                say(format!("Alloc {:?} marked for migration", alloc.id));
            }
            if now.1 && !old.1 {
                say(format!("Alloc {:?} draining", alloc.id));
            }
            if now.2 != old.2 {
                say(format!("Alloc {:?} status {} -> {}", alloc.id, old.2, now.2));
            }
        }
        if node.drain_strategy.is_none() && !complete {
            complete = true;
            say(format!("Drain complete for node {id}"));
        }
        let left = allocs.iter().any(|a| !is_terminal(a) && !is_system(a));
        if complete && !left {
            say(format!("All allocations on node {id:?} have stopped"));
            return Ok(0);
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

/// Marked for migration, asked to stop, client status.
fn state_of(alloc: &Allocation) -> (bool, bool, String) {
    let marked = alloc.desired_transition.migrate == Some(true);
    let draining = marked && alloc.desired_status == "stop";
    (marked, draining, alloc.client_status.clone())
}

fn is_terminal(alloc: &Allocation) -> bool {
    matches!(alloc.client_status.as_str(), "complete" | "failed" | "lost")
}

/// Allocations of system jobs may stay.
fn is_system(alloc: &Allocation) -> bool {
    let kind = alloc.job.as_ref().and_then(|j| j.type_.as_deref());
    alloc.desired_status == "run" && matches!(kind, Some("system" | "sysbatch"))
}
