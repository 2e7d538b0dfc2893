//! Short ways to what is nearly always read: lists without `Option`, and the job's type as an enum.

use super::{Job, Service, Task, TaskGroup};
use crate::ids::{JobId, Namespace, NamespacedId};
use crate::text_enum::text_enum;

text_enum!(
    /// Which scheduler a job asks for.
    JobType {
        Service = "service",
        Batch = "batch",
        System = "system",
        SysBatch = "sysbatch",
    }
);

impl Job {
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
    pub fn key(&self) -> NamespacedId {
        NamespacedId { namespace: Namespace::new(self.namespace()), id: JobId::new(self.id()) }
    }
    /// `service` when unset or not one of the four.
    pub fn job_type(&self) -> JobType {
        self.type_.as_deref().and_then(JobType::parse).unwrap_or(JobType::Service)
    }
    pub fn priority(&self) -> i64 {
        self.priority.unwrap_or(50)
    }
    pub fn version(&self) -> u64 {
        self.version.unwrap_or(0)
    }
    pub fn stopped(&self) -> bool {
        self.stop == Some(true)
    }
    pub fn groups(&self) -> &[TaskGroup] {
        self.task_groups.as_deref().unwrap_or_default()
    }
    pub fn group(&self, name: &str) -> Option<&TaskGroup> {
        self.groups().iter().find(|g| g.name() == name)
    }
    /// A periodic job itself runs nothing; its children do.
    pub fn is_periodic(&self) -> bool {
        self.periodic.is_some()
    }
    /// A parameterized job that is not itself a dispatched child.
    pub fn is_parameterized(&self) -> bool {
        self.parameterized_job.is_some() && self.dispatched != Some(true)
    }
}

impl TaskGroup {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
    pub fn count(&self) -> u64 {
        self.count.unwrap_or(1).max(0) as u64
    }
    pub fn tasks(&self) -> &[Task] {
        self.tasks.as_deref().unwrap_or_default()
    }
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks().iter().find(|t| t.name() == name)
    }
    pub fn services(&self) -> &[Service] {
        self.services.as_deref().unwrap_or_default()
    }
}

impl Task {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
    pub fn driver(&self) -> &str {
        self.driver.as_deref().unwrap_or_default()
    }
    pub fn services(&self) -> &[Service] {
        self.services.as_deref().unwrap_or_default()
    }
    /// `None` for a main task, else `prestart`, `poststart` or `poststop`.
    pub fn hook(&self) -> Option<&str> {
        self.lifecycle.as_ref()?.hook.as_deref()
    }
}
