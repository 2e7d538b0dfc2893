//! Has claims of ended allocations given back: the leader does what [`release::due`] says, and writes down each step that is done.
//!
//! Woken by what changes of volumes, allocations, nodes and plugins. What fails is noted on the claim and tried again, at first soon and at
//! last every `csi_volume_claim_gc_interval`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tarpan_control::csi::release::{self, Due, Progress, Step};
use tarpan_model::AllocId;
use tarpan_model::csi::{ClaimState, CsiVolume, CsiVolumeKey};
use tarpan_rpc::csi::{Ask, Detach, Failed};
use tarpan_state::{Reply, Table};
use tokio::time::Instant;

use super::{controller, node};
use crate::clock::now;
use crate::sessions::host::Host;
use crate::watch::Watch;

/// The first wait after a step that failed; it doubles.
const FIRST: Duration = Duration::from_secs(1);
/// Changes come in groups: one look is for all of them.
const GATHER: Duration = Duration::from_millis(50);
/// How often a step is written that was done, while others write the same volume.
const ATTEMPTS: usize = 32;
/// Steps that are under way at the same time: a plugin that hangs holds up one of them.
const ABREAST: usize = 64;

type Of = (CsiVolumeKey, AllocId);

/// What failed, and when it is tried again.
#[derive(Default)]
struct Waits(BTreeMap<Of, (Instant, Duration)>);

impl Waits {
    fn over(&self, of: &Of) -> bool {
        self.0.get(of).is_none_or(|(at, _)| *at <= Instant::now())
    }

    fn failed(&mut self, of: Of, longest: Duration) {
        let wait = self.0.get(&of).map_or(FIRST, |(_, before)| (*before * 2).min(longest));
        self.0.insert(of, (Instant::now() + wait, wait));
    }

    /// The next time that something is tried again.
    fn next(&self) -> Option<Instant> {
        self.0.values().map(|(at, _)| *at).min()
    }
}

/// For as long as this server leads.
pub(crate) async fn run(host: Arc<Host>, longest: Duration) {
    let tables = [Table::CsiVolumes, Table::CsiPlugins, Table::Allocs, Table::Nodes].map(Watch::Table);
    let (mut waits, mut busy) = (Waits::default(), FuturesUnordered::new());
    let mut under_way: std::collections::BTreeSet<Of> = Default::default();
    loop {
        let state = host.state();
        let all = release::due(&state);
        waits.0.retain(|of, _| all.iter().any(|due| (&due.volume, due.alloc) == (&of.0, of.1)));
        for due in all {
            let of = (due.volume.clone(), due.alloc);
            if under_way.len() < ABREAST && waits.over(&of) && under_way.insert(of) {
                busy.push(step(host.clone(), due));
            }
        }
        let until = waits.next().unwrap_or(Instant::now() + longest).max(Instant::now() + Duration::from_millis(50));
        let past = state.index();
        drop(state);
        tokio::select! {
            Some((of, worked)) = busy.next() => {
                under_way.remove(&of);
                match worked {
                    true => drop(waits.0.remove(&of)),
                    false => waits.failed(of, longest),
                }
            }
            () = async {
                host.published.wait(&tables, past, until).await;
                tokio::time::sleep(GATHER).await;
            } => {}
        }
    }
}

/// Does one step and writes it down; whether that worked.
async fn step(host: Arc<Host>, due: Due) -> (Of, bool) {
    let of = (due.volume.clone(), due.alloc);
    let done = match &due.step {
        Step::Write(progress) => Ok(progress.clone()),
        asked => ask(&host, &due, asked).await,
    };
    let worked = done.is_ok();
    let written = match done {
        Ok(progress) => write(&host, &due, &progress).await,
        Err(failed) => {
            tracing::info!(volume = %due.volume.1, alloc_id = %due.alloc, "giving back a claim: {failed}");
            let command = release::failed(&host.state(), &due.volume, due.alloc, &failed.message, now());
            if let Some(command) = command {
                let _ = host.propose(command).await;
            }
            false
        }
    };
    (of, worked && written)
}

async fn ask(host: &Host, due: &Due, asked: &Step) -> Result<Progress, Failed> {
    let state = host.state();
    let known = state.csi_volume(&due.volume.0, &due.volume.1);
    let Some((volume, claim)) = known.and_then(|v| Some((v.clone(), v.claims.get(&due.alloc)?.clone()))) else {
        return Ok(Progress::Forgotten);
    };
    drop(state);
    match asked {
        Step::NodeDetach(node) => {
            let ask = Ask::Detach(detach(&volume, due.alloc, &claim));
            node::ask(host, *node, &ask).await?;
            Ok(Progress::To(ClaimState::NodeDetached, String::new()))
        }
        Step::ControllerDetach => {
            controller::unpublish(host, &volume, &claim).await?;
            Ok(Progress::To(ClaimState::ControllerDetached, String::new()))
        }
        Step::Write(progress) => Ok(progress.clone()),
    }
}

/// What the agent is told of a mount that is to go.
pub(crate) fn detach(volume: &CsiVolume, alloc: AllocId, claim: &tarpan_model::csi::Claim) -> Detach {
    Detach {
        plugin: volume.plugin.to_string(),
        namespace: volume.namespace.clone(),
        volume: volume.id.to_string(),
        external_id: volume.remote_id().to_owned(),
        alloc,
        write: claim.write,
        how: claim.how,
    }
}

/// Others may write the same volume at the same time: then it is decided anew.
async fn write(host: &Host, due: &Due, progress: &Progress) -> bool {
    for _ in 0..ATTEMPTS {
        let Some(command) = release::advance(&host.state(), &due.volume, due.alloc, progress, now()) else {
            return true;
        };
        match host.propose(command).await {
            Ok((_, Reply::Refused(tarpan_state::Rejection::Changed))) => {}
            Ok(_) => return true,
            Err(error) => {
                tracing::warn!(volume = %due.volume.1, alloc_id = %due.alloc, %error, "how far a claim is given back");
                return false;
            }
        }
    }
    false
}
