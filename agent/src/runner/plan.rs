//! What the core must know of an allocation, from its job.

use std::sync::Arc;

use tarpan_model::job::Task;
use tarpan_model::{Allocation, Dur, UnixNanos};

use super::core::Plan;
use super::health::Rules;
use super::restart::Policy;
use super::task::Settings;
use super::turn::Turn;
use crate::context::Context;

pub(super) fn plan(context: &Context, alloc: &Allocation, born: UnixNanos) -> Plan {
    let Some(group) = alloc.group() else {
        return Plan { tasks: Vec::new(), group_shutdown_delay: Dur::ZERO, health: None, run_until: None, seed: 0 };
    };
    let max_kill: Dur = context.options.max_kill_timeout.into();
    let settings = |task: &Task| {
        let turn = Turn::of(task);
        Settings {
            name: Arc::from(task.name()),
            turn,
            leader: task.leader == Some(true),
            kill_timeout: task.kill_timeout.unwrap_or(Dur::from_secs(5)).min(max_kill),
            shutdown_delay: task.shutdown_delay.unwrap_or(Dur::ZERO),
            policy: Policy::of(&alloc.job, group, task, turn),
        }
    };
    Plan {
        tasks: group.tasks().iter().map(settings).collect(),
        group_shutdown_delay: group.shutdown_delay.unwrap_or(Dur::ZERO),
        health: Rules::of(alloc, &alloc.job, group),
        run_until: group.max_run_duration.filter(|d| d.0 > 0).map(|d| born + d),
        seed: alloc.id.0.as_u128() as u64,
    }
}
