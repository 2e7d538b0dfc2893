//! A node that goes: its agent has the servers move what it runs, and waits for it.
//!
//! Source: `reference/semantics.md` 16.4 and `reference/agent-config.md`, `client.drain_on_shutdown`.

use std::sync::Arc;
use std::time::Duration;

use tarpan_model::JobType;
use tarpan_rpc::agent::{DrainRequest, DrainState, DrainWish};
use tokio::time::Instant;

use crate::allocs::Allocs;
use crate::session::Session;

/// How often the servers are asked how far it is.
const LOOK: Duration = Duration::from_secs(1);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// So much longer than its deadline a drain may take: what ends at the deadline has to be told.
const AFTER: Duration = Duration::from_secs(5);

/// How a node drains itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfDrain {
    pub deadline: Duration,
    /// Everything is stopped at once, wherever it may go.
    pub force: bool,
    pub ignore_system_jobs: bool,
}

/// Why a drain was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("self-drain exceeded deadline (allocations left: {left})")]
pub struct Unfinished {
    pub left: u32,
}

/// Drains the node, and comes back when it is drained. `say` is told how far it is.
pub(crate) async fn drain(
    allocs: &Arc<Allocs>,
    session: &Session,
    how: SelfDrain,
    say: &(dyn Fn(String) + Send + Sync),
) -> Result<(), Unfinished> {
    // What is forced ends as soon as its tasks do.
    let longest = if how.force { allocs.context.options.max_kill_timeout + AFTER } else { how.deadline };
    let until = Instant::now() + longest + AFTER;
    let mut wish = Some(DrainWish {
        deadline_ns: if how.force { -1 } else { i64::try_from(how.deadline.as_nanos()).unwrap_or(i64::MAX) },
        ignore_system_jobs: how.ignore_system_jobs,
    });
    let mut told = None;
    loop {
        let (over, left) = match ask(session, wish).await {
            Some(state) => {
                wish = None;
                (!state.draining, state.left)
            }
            // Without a server, what runs here is what counts: nothing is moved, and what ends by itself is awaited.
            None => {
                let left = running(allocs, how.ignore_system_jobs);
                (left == 0, left)
            }
        };
        if over {
            return Ok(());
        }
        if told != Some(left) {
            told = Some(left);
            let servers = if wish.is_some() { ", and no server answers yet" } else { "" };
            say(format!("draining this node (allocations left: {left}{servers})"));
        }
        if Instant::now() >= until {
            return Err(Unfinished { left });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// `None`: no server answered.
async fn ask(session: &Session, wish: Option<DrainWish>) -> Option<DrainState> {
    let mut client = session.connected_client()?;
    match tokio::time::timeout(PATIENCE, client.drain(DrainRequest { wish })).await {
        Ok(Ok(answer)) => Some(answer.into_inner()),
        Ok(Err(status)) => {
            tracing::warn!("draining this node: {}", status.message());
            None
        }
        Err(_) => None,
    }
}

/// Allocations that have not ended.
fn running(allocs: &Allocs, ignore_system_jobs: bool) -> u32 {
    let system = |t: JobType| matches!(t, JobType::System | JobType::SysBatch);
    let left = allocs.all().into_iter().filter(|runner| !runner.finished());
    let left = left.filter(|runner| !(ignore_system_jobs && system(runner.alloc().job.job_type())));
    u32::try_from(left.count()).unwrap_or(u32::MAX)
}
