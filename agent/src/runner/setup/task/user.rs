//! Looks whether the task may run as who it asks to be, before anything is made for it.

use std::sync::Arc;

use super::{Hook, Making, Notes, TaskScope};
use crate::runner::event;
use crate::runner::task::StartFailure;

pub(super) struct User;

impl Hook<TaskScope> for User {
    fn name(&self) -> &'static str {
        "user"
    }

    fn wanted(&self, scope: &TaskScope) -> bool {
        !scope.running && scope.task.user.as_ref().is_some_and(|user| !user.is_empty())
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            let (context, user) = (Arc::clone(&scope.context), scope.user());
            let (driver, name) = (scope.task.driver().to_owned(), user.clone());
            let denied = scope.beside.run(move || Ok(context.options.denies_user(&driver, &name))).await;
            let text = match denied {
                Ok(false) => return Ok(()),
                Ok(true) => format!("running as user {user:?} is disallowed"),
                Err(text) => text,
            };
            Err(StartFailure { event: event::failed_validation(&text), recoverable: false })
        })
    }
}
