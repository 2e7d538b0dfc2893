//! What a task needs to use the devices that it was given. Asked for before each start: nothing is kept that would have to be given back.

use tarpan_model::resources::AllocatedDevice;

use super::{Hook, Making, Notes, TaskScope};
use crate::runner::event;
use crate::runner::task::StartFailure;

pub(super) struct Devices;

fn given(scope: &TaskScope) -> &[AllocatedDevice] {
    scope.alloc.resources.tasks.get(scope.task.name()).map(|task| task.devices.as_slice()).unwrap_or_default()
}

impl Hook<TaskScope> for Devices {
    fn name(&self) -> &'static str {
        "devices"
    }

    fn wanted(&self, scope: &TaskScope) -> bool {
        !given(scope).is_empty()
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            let reserved = scope.context.devices.reserve(given(scope)).await;
            // A source may be away for a while; a task that runs has what it needs.
            match reserved {
                Ok(reservation) => scope.live.set_devices(reservation),
                Err(_) if scope.running => {}
                Err(text) => return Err(StartFailure { event: event::setup_failure(&text), recoverable: true }),
            }
            Ok(())
        })
    }
}
