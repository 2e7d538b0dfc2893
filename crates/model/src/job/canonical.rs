//! Defaults: the one place where what a user left out is written.
//!
//! [`Job::canonicalise`] fills what depends on the job alone. It changes nothing that is set, so doing it twice changes nothing.
//! What a server adds on top is in [`super::admission`].

use super::{
    CheckRestart, Consul, DisconnectStrategy, EphemeralDisk, Job, JobType, LogConfig, MigrateStrategy, Multiregion,
    PeriodicConfig, ReschedulePolicy, Resources, RestartPolicy, ScalingPolicy, Service, Task, TaskArtifact, TaskGroup,
    Template, UpdateStrategy, Vault, VolumeMount,
};
use crate::duration::{Dur, HOUR, MINUTE};

/// Sets a field that is unset.
fn or<T>(field: &mut Option<T>, value: T) {
    if field.is_none() {
        *field = Some(value);
    }
}

/// Sets a text that is unset or empty.
fn or_text(field: &mut Option<String>, value: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(value.to_owned());
    }
}

impl Job {
    /// Writes the defaults by job type.
    pub fn canonicalise(&mut self) {
        or_text(&mut self.type_, JobType::Service.as_str());
        or_text(&mut self.region, "global");
        or_text(&mut self.namespace, "default");
        or(&mut self.id, String::new());
        let id = self.id.clone().unwrap_or_default();
        or_text(&mut self.name, &id);
        or(&mut self.priority, 50);
        or(&mut self.all_at_once, false);
        or(&mut self.stop, false);
        or(&mut self.stable, false);
        or(&mut self.version, 0);
        for index in [&mut self.create_index, &mut self.modify_index, &mut self.job_modify_index] {
            or(index, 0);
        }
        for text in [
            &mut self.node_pool,
            &mut self.parent_id,
            &mut self.consul_namespace,
            &mut self.vault_namespace,
            &mut self.nomad_token_id,
            &mut self.status,
            &mut self.status_description,
        ] {
            or(text, String::new());
        }
        let kind = self.job_type();
        if matches!(kind, JobType::Service | JobType::System) {
            self.update.get_or_insert_default().canonicalise();
        }
        if let Some(periodic) = &mut self.periodic {
            periodic.canonicalise();
        }
        if let Some(parameterized) = &mut self.parameterized_job {
            or_text(&mut parameterized.payload, "optional");
        }
        if let Some(multiregion) = &mut self.multiregion {
            multiregion.canonicalise();
        }
        canonicalise_weights(self.affinities.as_mut(), self.spreads.as_mut());
        let inherited = Inherited {
            job: id,
            kind,
            update: self.update.clone(),
            reschedule: self.reschedule.clone(),
            migrate: self.migrate.clone(),
        };
        for group in self.task_groups.iter_mut().flatten() {
            group.canonicalise(&inherited);
        }
    }
}

/// What groups take from their job.
struct Inherited {
    job: String,
    kind: JobType,
    update: Option<UpdateStrategy>,
    reschedule: Option<ReschedulePolicy>,
    migrate: Option<MigrateStrategy>,
}

fn canonicalise_weights(affinities: Option<&mut Vec<super::Affinity>>, spreads: Option<&mut Vec<super::Spread>>) {
    for affinity in affinities.into_iter().flatten() {
        or(&mut affinity.weight, 50);
    }
    for spread in spreads.into_iter().flatten() {
        or(&mut spread.weight, 50);
    }
}

impl PeriodicConfig {
    fn canonicalise(&mut self) {
        or(&mut self.enabled, true);
        or(&mut self.spec, String::new());
        or(&mut self.specs, Vec::new());
        or(&mut self.prohibit_overlap, false);
        or_text(&mut self.time_zone, "UTC");
        or_text(&mut self.spec_type, "cron");
    }
}

impl Multiregion {
    fn canonicalise(&mut self) {
        for region in self.regions.iter_mut().flatten() {
            or(&mut region.datacenters, Vec::new());
            or(&mut region.meta, Default::default());
        }
    }
}

impl UpdateStrategy {
    fn canonicalise(&mut self) {
        or(&mut self.stagger, Dur::from_secs(30));
        or(&mut self.max_parallel, 1);
        or_text(&mut self.health_check, "checks");
        or(&mut self.min_healthy_time, Dur::from_secs(10));
        or(&mut self.healthy_deadline, Dur(5 * MINUTE));
        or(&mut self.progress_deadline, Dur(10 * MINUTE));
        or(&mut self.canary, 0);
        or(&mut self.auto_revert, false);
        or(&mut self.auto_promote, false);
    }

    fn inherit(&mut self, from: &UpdateStrategy) {
        take(&mut self.stagger, &from.stagger);
        take(&mut self.max_parallel, &from.max_parallel);
        take(&mut self.health_check, &from.health_check);
        take(&mut self.min_healthy_time, &from.min_healthy_time);
        take(&mut self.healthy_deadline, &from.healthy_deadline);
        take(&mut self.progress_deadline, &from.progress_deadline);
        take(&mut self.canary, &from.canary);
        take(&mut self.auto_revert, &from.auto_revert);
        take(&mut self.auto_promote, &from.auto_promote);
    }
}

/// Fills an unset field from another one.
fn take<T: Clone>(field: &mut Option<T>, from: &Option<T>) {
    if field.is_none() {
        field.clone_from(from);
    }
}

impl RestartPolicy {
    fn default_for(kind: JobType) -> RestartPolicy {
        let (attempts, interval) = match kind {
            JobType::Service | JobType::System => (2, Dur(30 * MINUTE)),
            JobType::Batch | JobType::SysBatch => (3, Dur(24 * HOUR)),
        };
        RestartPolicy {
            attempts: Some(attempts),
            interval: Some(interval),
            delay: Some(Dur::from_secs(15)),
            mode: Some("fail".to_owned()),
            render_templates: Some(false),
        }
    }

    fn inherit(&mut self, from: &RestartPolicy) {
        take(&mut self.attempts, &from.attempts);
        take(&mut self.interval, &from.interval);
        take(&mut self.delay, &from.delay);
        take(&mut self.mode, &from.mode);
        take(&mut self.render_templates, &from.render_templates);
    }
}

impl ReschedulePolicy {
    /// `None` for types whose allocations are never rescheduled.
    fn default_for(kind: JobType) -> Option<ReschedulePolicy> {
        let policy = |attempts, interval, delay, function: &str, max_delay, unlimited| ReschedulePolicy {
            attempts: Some(attempts),
            interval: Some(interval),
            delay: Some(delay),
            delay_function: Some(function.to_owned()),
            max_delay: Some(max_delay),
            unlimited: Some(unlimited),
        };
        match kind {
            JobType::Service => Some(policy(0, Dur::ZERO, Dur::from_secs(30), "exponential", Dur(HOUR), true)),
            JobType::Batch => Some(policy(1, Dur(24 * HOUR), Dur::from_secs(5), "constant", Dur::ZERO, false)),
            JobType::System | JobType::SysBatch => None,
        }
    }

    fn inherit(&mut self, from: &ReschedulePolicy) {
        take(&mut self.attempts, &from.attempts);
        take(&mut self.interval, &from.interval);
        take(&mut self.delay, &from.delay);
        take(&mut self.delay_function, &from.delay_function);
        take(&mut self.max_delay, &from.max_delay);
        take(&mut self.unlimited, &from.unlimited);
    }
}

impl MigrateStrategy {
    fn inherit(&mut self, from: &MigrateStrategy) {
        take(&mut self.max_parallel, &from.max_parallel);
        take(&mut self.health_check, &from.health_check);
        take(&mut self.min_healthy_time, &from.min_healthy_time);
        take(&mut self.healthy_deadline, &from.healthy_deadline);
    }

    fn canonicalise(&mut self) {
        or(&mut self.max_parallel, 1);
        or_text(&mut self.health_check, "checks");
        or(&mut self.min_healthy_time, Dur::from_secs(10));
        or(&mut self.healthy_deadline, Dur(5 * MINUTE));
    }
}

impl TaskGroup {
    fn canonicalise(&mut self, job: &Inherited) {
        let group = self.name().to_owned();
        let least = self.scaling.as_ref().and_then(|s| s.min);
        or(&mut self.count, least.unwrap_or(1));
        let count = self.count.unwrap_or(1);
        if let Some(scaling) = &mut self.scaling {
            scaling.canonicalise(count);
        }
        self.ephemeral_disk.get_or_insert_default().canonicalise();
        self.canonicalise_policies(job);
        canonicalise_weights(self.affinities.as_mut(), self.spreads.as_mut());
        if let Some(disconnect) = &mut self.disconnect {
            disconnect.canonicalise();
        }
        if let Some(consul) = &mut self.consul {
            consul.canonicalise();
        }
        for service in self.services.iter_mut().flatten() {
            service.canonicalise(&format!("{}-{group}", job.job));
        }
        let restart = self.restart_policy.clone();
        for task in self.tasks.iter_mut().flatten() {
            task.canonicalise(&job.job, &group, restart.as_ref());
        }
    }

    fn canonicalise_policies(&mut self, job: &Inherited) {
        self.restart_policy.get_or_insert_default().inherit(&RestartPolicy::default_for(job.kind));
        let reschedule = ReschedulePolicy::default_for(job.kind);
        if reschedule.is_some() || self.reschedule_policy.is_some() {
            let own = self.reschedule_policy.get_or_insert_default();
            for from in job.reschedule.iter().chain(&reschedule) {
                own.inherit(from);
            }
        }
        if let Some(update) = &job.update {
            self.update.get_or_insert_default().inherit(update);
        }
        if let Some(update) = &mut self.update {
            update.canonicalise();
        }
        if job.kind == JobType::Service || self.migrate.is_some() || job.migrate.is_some() {
            let own = self.migrate.get_or_insert_default();
            if let Some(from) = &job.migrate {
                own.inherit(from);
            }
            own.canonicalise();
        }
    }
}

impl ScalingPolicy {
    fn canonicalise(&mut self, count: i64) {
        or(&mut self.min, count);
        or(&mut self.enabled, true);
        or_text(&mut self.type_, "horizontal");
    }
}

impl EphemeralDisk {
    fn canonicalise(&mut self) {
        or(&mut self.sticky, false);
        or(&mut self.migrate, false);
        or(&mut self.size_mb, 300);
    }
}

impl DisconnectStrategy {
    fn canonicalise(&mut self) {
        or(&mut self.replace, true);
        or_text(&mut self.reconcile, "best_score");
    }
}

impl Consul {
    fn canonicalise(&mut self) {
        or_text(&mut self.cluster, "default");
    }
}

impl Service {
    fn canonicalise(&mut self, name: &str) {
        or_text(&mut self.name, name);
        or_text(&mut self.address_mode, "auto");
        or_text(&mut self.on_update, "require_healthy");
        or_text(&mut self.provider, "consul");
        or_text(&mut self.cluster, "default");
        let on_update = self.on_update.clone().unwrap_or_default();
        for check in self.checks.iter_mut().flatten() {
            or_text(&mut check.on_update, &on_update);
            if let Some(service) = &self.check_restart {
                let own = check.check_restart.get_or_insert_default();
                take(&mut own.limit, &service.limit);
                take(&mut own.grace, &service.grace);
                take(&mut own.ignore_warnings, &service.ignore_warnings);
            }
            if let Some(restart) = &mut check.check_restart {
                restart.canonicalise();
            }
        }
        if let Some(sidecar) = self.connect.as_mut().and_then(|c| c.sidecar_task.as_mut()) {
            if let Some(logs) = &mut sidecar.log_config {
                logs.canonicalise();
            }
            if let Some(resources) = &mut sidecar.resources {
                resources.canonicalise();
            }
            sidecar.volume_mounts.iter_mut().flatten().for_each(VolumeMount::canonicalise);
        }
        if let Some(proxy) = self.connect.as_mut().and_then(|c| c.gateway.as_mut()).and_then(|g| g.proxy.as_mut()) {
            or(&mut proxy.connect_timeout, Dur::from_secs(5));
        }
    }
}

impl CheckRestart {
    fn canonicalise(&mut self) {
        or(&mut self.grace, Dur::from_secs(1));
    }
}

impl Task {
    fn canonicalise(&mut self, job: &str, group: &str, restart: Option<&RestartPolicy>) {
        or(&mut self.kill_timeout, Dur::from_secs(5));
        self.log_config.get_or_insert_default().canonicalise();
        self.resources.get_or_insert_default().canonicalise();
        if let Some(group) = restart {
            self.restart_policy.get_or_insert_default().inherit(group);
        }
        canonicalise_weights(self.affinities.as_mut(), None);
        let service_name = format!("{job}-{group}-{}", self.name());
        self.services.iter_mut().flatten().for_each(|s| s.canonicalise(&service_name));
        self.artifacts.iter_mut().flatten().for_each(TaskArtifact::canonicalise);
        self.templates.iter_mut().flatten().for_each(Template::canonicalise);
        self.volume_mounts.iter_mut().flatten().for_each(VolumeMount::canonicalise);
        if let Some(vault) = &mut self.vault {
            vault.canonicalise();
        }
        if let Some(consul) = &mut self.consul {
            consul.canonicalise();
        }
        if let Some(plugin) = &mut self.csi_plugin_config {
            or_text(&mut plugin.mount_dir, "/csi");
            or_text(&mut plugin.stage_publish_base_dir, "/local/csi");
            or(&mut plugin.health_timeout, Dur::from_secs(30));
        }
    }
}

impl LogConfig {
    fn canonicalise(&mut self) {
        or(&mut self.max_files, 10);
        or(&mut self.max_file_size_mb, 10);
        or(&mut self.disabled, false);
    }
}

impl Resources {
    fn canonicalise(&mut self) {
        or(&mut self.cores, 0);
        // Cores decide the share of CPU once the node is known.
        or(&mut self.cpu, if self.cores > Some(0) { 0 } else { 100 });
        or(&mut self.memory_mb, 300);
        for device in self.devices.iter_mut().flatten() {
            or(&mut device.count, 1);
            canonicalise_weights(device.affinities.as_mut(), None);
        }
    }
}

impl TaskArtifact {
    fn canonicalise(&mut self) {
        or(&mut self.getter_source, String::new());
        or_text(&mut self.getter_mode, "any");
        or(&mut self.getter_insecure, false);
        // A single file keeps the name that its source has.
        let file_name = self.getter_source.as_deref().and_then(|s| s.split(['?', '#']).next()?.rsplit('/').next());
        let destination = match (self.getter_mode.as_deref(), file_name) {
            (Some("file"), Some(name)) if !name.is_empty() => format!("local/{name}"),
            _ => "local/".to_owned(),
        };
        or(&mut self.relative_dest, destination);
    }
}

impl Template {
    fn canonicalise(&mut self) {
        for text in [&mut self.source_path, &mut self.dest_path, &mut self.embedded_tmpl] {
            or(text, String::new());
        }
        or_text(&mut self.change_mode, "restart");
        or(&mut self.change_signal, String::new());
        self.change_signal = self.change_signal.take().map(|s| s.to_uppercase());
        or(&mut self.once, false);
        or(&mut self.splay, Dur::from_secs(5));
        or_text(&mut self.perms, "0644");
        or_text(&mut self.left_delim, "{{");
        or_text(&mut self.right_delim, "}}");
        or(&mut self.envvars, false);
        or(&mut self.vault_grace, Dur::ZERO);
        or(&mut self.err_missing_key, false);
        if let Some(wait) = &mut self.wait {
            or(&mut wait.min, Dur::from_secs(5));
            // Whoever waits longer than that at least means no less at most.
            or(&mut wait.max, Dur(4 * MINUTE).max(wait.min.unwrap_or_default()));
        }
        if let Some(script) = &mut self.change_script {
            or(&mut script.args, Vec::new());
            or(&mut script.timeout, Dur::from_secs(5));
        }
    }
}

impl VolumeMount {
    fn canonicalise(&mut self) {
        or_text(&mut self.propagation_mode, "private");
        or(&mut self.read_only, false);
        or(&mut self.selinux_label, String::new());
    }
}

impl Vault {
    fn canonicalise(&mut self) {
        or(&mut self.env, true);
        or(&mut self.disable_file, false);
        or(&mut self.namespace, String::new());
        or_text(&mut self.cluster, "default");
        or_text(&mut self.change_mode, "restart");
        or_text(&mut self.change_signal, "SIGHUP");
        self.change_signal = self.change_signal.take().map(|s| s.to_uppercase());
        or(&mut self.allow_token_expiration, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(kind: &str) -> Job {
        let task = Task { name: Some("t".into()), driver: Some("raw_exec".into()), ..Task::default() };
        let group = TaskGroup { name: Some("g".into()), tasks: Some(vec![task]), ..TaskGroup::default() };
        Job { id: Some("j".into()), type_: Some(kind.into()), task_groups: Some(vec![group]), ..Job::default() }
    }

    #[test]
    fn defaults_depend_on_the_type() {
        for (kind, attempts, reschedules, updates, migrates) in [
            ("service", 2, true, true, true),
            ("batch", 3, true, false, false),
            ("system", 2, false, true, false),
            ("sysbatch", 3, false, false, false),
        ] {
            let mut job = job(kind);
            job.canonicalise();
            let group = &job.groups()[0];
            assert_eq!(group.restart_policy.as_ref().and_then(|r| r.attempts), Some(attempts), "{kind}");
            assert_eq!(group.reschedule_policy.is_some(), reschedules, "{kind}");
            assert_eq!(group.update.is_some(), updates, "{kind}");
            assert_eq!(group.migrate.is_some(), migrates, "{kind}");
        }
    }

    #[test]
    fn twice_is_once() {
        let mut once = job("service");
        once.canonicalise();
        let mut twice = once.clone();
        twice.canonicalise();
        assert_eq!(once, twice);
    }

    #[test]
    fn groups_inherit_what_the_job_says() {
        let mut job = job("service");
        job.update = Some(UpdateStrategy { max_parallel: Some(3), canary: Some(1), ..UpdateStrategy::default() });
        job.task_groups.as_mut().unwrap()[0].update =
            Some(UpdateStrategy { max_parallel: Some(2), ..UpdateStrategy::default() });
        job.canonicalise();
        let update = job.groups()[0].update.as_ref().unwrap();
        assert_eq!((update.max_parallel, update.canary), (Some(2), Some(1)));
        assert_eq!(job.groups()[0].tasks()[0].restart_policy, job.groups()[0].restart_policy);
    }
}
