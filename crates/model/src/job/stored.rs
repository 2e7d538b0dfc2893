//! A job as servers show it: what clients write, with what servers know besides, and without what only clients use.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::{Job, JobType, ScalingPolicy, Service, TaskGroup, UpdateStrategy};
use crate::duration::Dur;
use crate::schema::serialize_stored;

/// See [`Job::stored`].
#[derive(Clone, Copy, Debug)]
pub struct StoredJob<'a>(&'a Job);

impl Job {
    /// The JSON of a job that a server holds.
    pub fn stored(&self) -> StoredJob<'_> {
        StoredJob(self)
    }

    /// An update block of zeros that came back from a server.
    pub(super) fn forget_no_update(&mut self) {
        let rolls_out = matches!(self.job_type(), JobType::Service | JobType::System);
        self.update.take_if(|update| !rolls_out && *update == no_update());
    }

    /// Leaves out what says no more than its absence, so that a job that was read and comes back is the same job.
    pub(super) fn forget_zeros(&mut self) {
        let zero = |n: &mut Option<i64>| *n = n.filter(|n| *n != 0);
        self.dispatch_idempotency_token.take_if(|token| token.is_empty());
        for group in self.task_groups.iter_mut().flatten() {
            group.prevent_reschedule_on_lost.take_if(|prevent| !*prevent);
            group.scaling.iter_mut().for_each(forget_target);
            group.services.iter_mut().flatten().for_each(|service| service.namespace = None);
            for task in group.tasks.iter_mut().flatten() {
                task.scaling_policies.iter_mut().flatten().for_each(forget_target);
                task.services.iter_mut().flatten().for_each(|service| service.namespace = None);
                if let Some(resources) = &mut task.resources {
                    zero(&mut resources.memory_max_mb);
                    zero(&mut resources.disk_mb);
                    zero(&mut resources.secrets_mb);
                    zero(&mut resources.iops);
                }
            }
        }
    }
}

/// A job that rolls nothing out has an update block of zeros where servers show it.
fn no_update() -> UpdateStrategy {
    let zero = Some(Dur::ZERO);
    UpdateStrategy {
        stagger: zero,
        max_parallel: Some(0),
        health_check: Some(String::new()),
        min_healthy_time: zero,
        healthy_deadline: zero,
        progress_deadline: zero,
        canary: Some(0),
        auto_revert: Some(false),
        auto_promote: Some(false),
    }
}

/// Servers know what a policy scales.
fn forget_target(policy: &mut ScalingPolicy) {
    (policy.target, policy.namespace) = (None, None);
}

impl Serialize for StoredJob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_stored(&*addressed(self.0), serializer)
    }
}

/// With the addresses that follow from where things stand.
fn addressed(job: &Job) -> Cow<'_, Job> {
    let has_any = |group: &TaskGroup| {
        let of_tasks = group.tasks().iter().any(|t| !t.services().is_empty() || t.scaling_policies.is_some());
        group.scaling.is_some() || !group.services().is_empty() || of_tasks
    };
    if job.update.is_some() && !job.groups().iter().any(has_any) {
        return Cow::Borrowed(job);
    }
    let (id, namespace) = (job.id().to_owned(), job.namespace().to_owned());
    let mut job = job.clone();
    job.update.get_or_insert_with(no_update);
    let in_namespace = |service: &mut Service| service.namespace = Some(namespace.clone());
    for group in job.task_groups.iter_mut().flatten() {
        let name = group.name().to_owned();
        let target = |task: Option<&str>| {
            let parts = [("Namespace", namespace.as_str()), ("Job", id.as_str()), ("Group", name.as_str())];
            let parts = parts.into_iter().chain(task.map(|task| ("Task", task)));
            Some(parts.map(|(part, name)| (part.to_owned(), name.to_owned())).collect())
        };
        group.services.iter_mut().flatten().for_each(in_namespace);
        group.scaling.iter_mut().for_each(|policy| policy.target = target(None));
        for task in group.tasks.iter_mut().flatten() {
            task.services.iter_mut().flatten().for_each(in_namespace);
            let of_task = target(Some(task.name.as_deref().unwrap_or_default()));
            task.scaling_policies.iter_mut().flatten().for_each(|policy| policy.target = of_task.clone());
        }
    }
    Cow::Owned(job)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::alike::alike;

    fn job() -> Job {
        let mut job: Job = serde_json::from_value(json!({"ID": "web", "Namespace": "apps", "TaskGroups": [{
            "Name": "g", "Scaling": {"Min": 1, "Max": 3},
            "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
            "Services": [{"Name": "web", "PortLabel": "http", "Provider": "nomad",
                "Checks": [{"Type": "tcp", "Interval": "10s", "Timeout": "2s"}]}],
            "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "x"}}],
        }]}))
        .expect("a job");
        job.admit(&Default::default());
        job
    }

    #[test]
    fn servers_say_what_they_know_and_not_what_only_clients_use() {
        let job = job();
        let shown = serde_json::to_value(job.stored()).expect("JSON");
        let group = &shown["TaskGroups"][0];
        let absent = |value: &Value, names: &[&str]| {
            names.iter().for_each(|name| assert_eq!(value.get(*name), None, "{name}"));
        };
        absent(&shown, &["Migrate", "Reschedule"]);
        assert_eq!(shown["DispatchIdempotencyToken"], "");
        assert_eq!(group["PreventRescheduleOnLost"], false);
        assert_eq!(group["Networks"], json!([{"DynamicPorts": [{"Label": "http", "HostNetwork": "default"}]}]));
        assert_eq!(group["Scaling"]["Target"], json!({"Namespace": "apps", "Job": "web", "Group": "g"}));
        absent(&group["Scaling"], &["Namespace"]);
        assert_eq!(group["Services"][0]["Namespace"], "apps");
        absent(&group["Services"][0], &["CheckRestart"]);
        absent(&group["Services"][0]["Checks"][0], &["Advertise"]);
        let task = &group["Tasks"][0];
        assert_eq!(task.get("CSIPluginConfig"), Some(&Value::Null));
        absent(&task["LogConfig"], &["Enabled"]);
        for name in ["DiskMB", "IOPS", "MemoryMaxMB", "SecretsMB"] {
            assert_eq!(task["Resources"][name], 0, "{name}");
        }
        // A client's own form goes on saying all that it can say.
        let own = serde_json::to_value(&job).expect("JSON");
        assert_eq!(own["TaskGroups"][0]["Services"][0].get("Namespace"), None);
        assert!(own.get("Migrate").is_some() && own["TaskGroups"][0]["Networks"][0].get("CIDR").is_some());
    }

    #[test]
    fn a_batch_job_shows_an_update_of_zeros_and_may_bring_it_back() {
        let mut job: Job = serde_json::from_value(json!({"ID": "sum", "Type": "batch", "TaskGroups": [{
            "Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "x"}}],
        }]}))
        .expect("a job");
        job.admit(&Default::default());
        let shown = serde_json::to_value(job.stored()).expect("JSON");
        assert_eq!((&shown["Update"]["MaxParallel"], &shown["Update"]["HealthCheck"]), (&json!(0), &json!("")));
        let mut again: Job = serde_json::from_value(shown).expect("a job");
        again.admit(&Default::default());
        assert_eq!(again.update, None);
        assert!(again.validate().is_empty());
    }

    #[test]
    fn what_was_read_and_comes_back_is_the_same_job() {
        let job = job();
        let text = serde_json::to_string(&job.stored()).expect("JSON");
        let mut again: Job = serde_json::from_str(&text).expect("a job");
        again.admit(&Default::default());
        assert_eq!(serde_json::to_string(&again.stored()).expect("JSON"), text);
        let (one, other) = (&job.groups()[0], &again.groups()[0]);
        assert_eq!(other.prevent_reschedule_on_lost, one.prevent_reschedule_on_lost);
        assert_eq!((&other.networks, &other.tasks()[0].resources), (&one.networks, &one.tasks()[0].resources));
        assert_eq!((&other.services()[0].namespace, &other.scaling.as_ref().expect("one").target), (&None, &None));
        assert!(again != job && alike(&again, &job), "it says what its author left out");
    }
}
