//! Rules of task groups and their policies.

use std::collections::BTreeMap;

use super::super::{
    DisconnectStrategy, Job, JobType, MigrateStrategy, NetworkResource, ReschedulePolicy, RestartPolicy, ScalingPolicy,
    Service, TaskGroup, UpdateStrategy, VolumeRequest,
};
use super::{Firsts, Level, Rules, affinities, constraints, shown, spreads};
use crate::duration::Dur;

const SECOND_5: Dur = Dur::from_secs(5);

impl TaskGroup {
    pub(super) fn validate(&self, rules: &mut Rules, job: &Job) {
        self.names(rules);
        let kind = job.job_type();
        let system = kind == JobType::System;
        if self.count.unwrap_or(1) < 0 {
            rules.say("Count", "Task group count can't be negative");
        }
        // The proxy of a gateway is its task.
        if self.tasks().is_empty() && !self.services().iter().any(Service::has_proxy) {
            rules.say("Tasks", "Missing tasks for task group");
        }
        constraints(rules, self.constraints.as_deref(), Level::Wide);
        affinities(rules, self.affinities.as_deref(), system);
        if let Some(restart) = &self.restart_policy {
            rules.inside("RestartPolicy", &[], |rules| restart.validate(rules));
        } else {
            rules.say("RestartPolicy", format!("Task Group {} should have a restart policy", self.name()));
        }
        spreads(rules, self.spreads.as_deref(), system);
        self.reschedule(rules, kind);
        self.by_type(rules, kind);
        if let Some(disk) = &self.ephemeral_disk
            && disk.size_mb.unwrap_or(300) < 10
        {
            rules.say("EphemeralDisk.SizeMB", format!("minimum DiskMB value is 10; got {}", disk.size_mb.unwrap_or(0)));
        }
        if let Some(disconnect) = &self.disconnect {
            rules.inside("Disconnect", &[], |rules| disconnect.validate(rules, kind));
        }
        if let Some(scaling) = &self.scaling {
            rules.inside("Scaling", &["Scaling policy invalid"], |rules| scaling.validate(rules, self, kind));
        }
        rules.inside("", &["Task group network validation failed"], |rules| self.networks(rules));
        for (label, volume) in self.volumes.iter().flatten() {
            let context = format!("Task group volume validation for {} failed", shown(label));
            rules.inside(format!("Volumes[{label}]"), &[&context], |rules| volume.validate(rules, self));
        }
        rules.inside("", &["Task group service validation failed"], |rules| self.service_list(rules));
        self.task_list(rules, job);
    }

    fn reschedule(&self, rules: &mut Rules, kind: JobType) {
        let Some(policy) = &self.reschedule_policy else { return };
        match kind {
            JobType::System | JobType::SysBatch => {
                rules.say("ReschedulePolicy", "System or sysbatch jobs should not have a reschedule policy");
            }
            _ => rules.inside("ReschedulePolicy", &[], |rules| policy.validate(rules)),
        }
    }

    /// Blocks that only some types of job may have.
    fn by_type(&self, rules: &mut Rules, kind: JobType) {
        let refuse = |what: &str| format!("Job type {:?} does not allow {what}", kind.as_str());
        if let Some(update) = &self.update {
            match kind {
                JobType::Service | JobType::System => rules.inside("Update", &[], |rules| update.validate(rules)),
                _ => rules.say("Update", refuse("update block")),
            }
        }
        if let Some(migrate) = &self.migrate {
            match kind {
                JobType::Service => rules.inside("Migrate", &[], |rules| migrate.validate(rules)),
                _ => rules.say("Migrate", refuse("migrate block")),
            }
        }
        match self.max_run_duration {
            Some(_) if matches!(kind, JobType::Service | JobType::System) => {
                rules.say("MaxRunDuration", refuse("max_run_duration"));
            }
            Some(limit) if limit.0 <= 0 => rules.say("MaxRunDuration", "max_run_duration must be greater than zero"),
            _ => {}
        }
        if self.shutdown_delay.is_some_and(|d| d.0 < 0) {
            rules.say("ShutdownDelay", "shutdown_delay must be a positive value");
        }
    }

    fn networks(&self, rules: &mut Rules) {
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        let mut statics: BTreeMap<(String, i64), String> = BTreeMap::new();
        for (n, network) in self.networks.iter().flatten().enumerate() {
            network.validate(rules, &format!("Networks[{n}]"), "taskgroup network", &mut labels, &mut statics);
        }
        for (t, task) in self.tasks().iter().enumerate() {
            let owned = task.resources.iter().flat_map(|r| r.networks.iter().flatten()).enumerate();
            for (n, network) in owned {
                let path = format!("Tasks[{t}].Resources.Networks[{n}]");
                network.validate(rules, &path, task.name(), &mut labels, &mut statics);
            }
        }
    }

    fn service_list(&self, rules: &mut Rules) {
        for (index, service) in self.services().iter().enumerate() {
            let context = format!("Service[{index}] {} validation failed", service.name.as_deref().unwrap_or_default());
            rules.inside(format!("Services[{index}]"), &[&context], |rules| service.validate(rules, self, None));
        }
        let everywhere: Vec<&Service> =
            self.services().iter().chain(self.tasks().iter().flat_map(|t| t.services())).collect();
        let provider =
            |s: &Service| s.provider.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "consul".to_owned());
        if everywhere.windows(2).any(|w| provider(w[0]) != provider(w[1])) {
            let message = "Multiple service providers used: task group services must use the same provider";
            rules.say("Services", message);
        }
        let mut twice: Vec<String> = Vec::new();
        let mut firsts = Firsts::default();
        for (index, service) in self.services().iter().enumerate() {
            if firsts.of((&service.name, &service.port_label), index).is_some() {
                twice.push(format!(
                    "{}-{}",
                    service.name.as_deref().unwrap_or_default(),
                    service.port_label.as_deref().unwrap_or_default()
                ));
            }
        }
        if !twice.is_empty() {
            rules.say("Services", format!("Services are not unique: {}", twice.join(", ")));
        }
    }

    fn task_list(&self, rules: &mut Rules, job: &Job) {
        let tasks = self.tasks();
        let mut leaders = 0;
        let mut names = Firsts::default();
        for (index, task) in tasks.iter().enumerate() {
            let first = names.of(task.name(), index);
            if task.name().is_empty() {
                rules.say(&format!("Tasks[{index}]"), format!("Task {} missing name", index + 1));
            } else if let Some(first) = first {
                let message = format!("Task {} redefines '{}' from task {}", index + 1, task.name(), first + 1);
                rules.say(&format!("Tasks[{index}]"), message);
            }
            if task.leader == Some(true) {
                leaders += 1;
                if leaders == 2 {
                    rules.say(&format!("Tasks[{index}].Leader"), "Only one task may be marked as leader");
                }
            }
        }
        if !tasks.is_empty() && tasks.iter().all(|t| t.lifecycle.is_some()) {
            rules.say("Tasks", format!("Task group {} must have at least one main task", self.name()));
        }
        for (index, task) in tasks.iter().enumerate() {
            let context = format!("Task {} validation failed", shown(task.name()));
            rules.inside(format!("Tasks[{index}]"), &[&context], |rules| task.validate(rules, self, job));
        }
        for (index, service) in self.services().iter().enumerate() {
            if let Some(sidecar) = service.connect.as_ref().and_then(|c| c.sidecar_task.as_ref()) {
                let name = service.name.as_deref().unwrap_or_default();
                let path = format!("Services[{index}].Connect.SidecarTask");
                rules.inside(path, &[], |rules| sidecar.validate(rules, self, name));
            }
        }
    }
}

impl RestartPolicy {
    pub(super) fn validate(&self, rules: &mut Rules) {
        let mode = self.mode.as_deref().unwrap_or("fail");
        if !matches!(mode, "fail" | "delay") {
            return rules.say("Mode", format!("Unsupported restart mode: {mode:?}"));
        }
        let attempts = self.attempts.unwrap_or(0);
        let interval = self.interval.unwrap_or_default();
        if attempts < 0 {
            rules.say("Attempts", format!("Restart attempts must not be negative; got {attempts}"));
        }
        if attempts == 0 && mode == "delay" {
            rules.say("Attempts", "Restart policy \"delay\" with 0 attempts is ambiguous");
        }
        if interval < SECOND_5 {
            rules.say("Interval", format!("Interval can not be less than {SECOND_5} (got {interval})"));
        }
    }
}

impl ReschedulePolicy {
    fn validate(&self, rules: &mut Rules) {
        let attempts = self.attempts.unwrap_or(0);
        let (interval, delay, max_delay) =
            (self.interval.unwrap_or_default(), self.delay.unwrap_or_default(), self.max_delay.unwrap_or_default());
        let unlimited = self.unlimited == Some(true);
        if attempts <= 0 && !unlimited {
            return;
        }
        if unlimited && attempts > 0 {
            let message = format!(
                "Reschedule Policy with Attempts = {attempts}, Interval = {interval}, and Unlimited = true is ambiguous"
            );
            rules.say("Unlimited", message);
            rules.say("Attempts", "If Attempts >0, Unlimited cannot also be set to true");
        }
        if delay < SECOND_5 {
            rules.say("Delay", format!("Delay cannot be less than {SECOND_5} (got {delay})"));
        }
        let function = self.delay_function.as_deref().unwrap_or_default();
        if !matches!(function, "constant" | "exponential" | "fibonacci") {
            let message =
                format!("Invalid delay function {function:?}, must be one of [constant exponential fibonacci]");
            return rules.say("DelayFunction", message);
        }
        if function != "constant" {
            if max_delay < SECOND_5 {
                rules.say("MaxDelay", format!("Max Delay cannot be less than {SECOND_5} (got {max_delay})"));
            }
            if max_delay < delay {
                rules.say("MaxDelay", format!("Max Delay cannot be less than Delay {delay} (got {max_delay})"));
            }
        }
        let least = Dur::from_secs(15);
        if !unlimited && interval < least {
            rules.say("Interval", format!("Interval cannot be less than {least} (got {interval})"));
        }
    }
}

impl UpdateStrategy {
    fn validate(&self, rules: &mut Rules) {
        let health = self.health_check.as_deref().unwrap_or("checks");
        if !matches!(health, "checks" | "task_states" | "manual") {
            rules.say("HealthCheck", format!("Invalid health check given: {health:?}"));
        }
        let (parallel, canary) = (self.max_parallel.unwrap_or(1), self.canary.unwrap_or(0));
        if parallel < 0 {
            rules.say("MaxParallel", format!("Max parallel can not be less than zero: {parallel} < 0"));
        }
        if canary < 0 {
            rules.say("Canary", format!("Canary count can not be less than zero: {canary} < 0"));
        }
        if canary == 0 && self.auto_promote == Some(true) {
            rules.say("AutoPromote", "Auto Promote requires a Canary count greater than zero");
        }
        let (healthy, deadline, progress) = (
            self.min_healthy_time.unwrap_or_default(),
            self.healthy_deadline.unwrap_or_default(),
            self.progress_deadline.unwrap_or_default(),
        );
        if healthy.0 < 0 {
            rules.say("MinHealthyTime", format!("Minimum healthy time may not be less than zero: {healthy}"));
        }
        if deadline.0 <= 0 {
            rules.say("HealthyDeadline", format!("Healthy deadline must be greater than zero: {deadline}"));
        }
        if progress.0 < 0 {
            rules.say("ProgressDeadline", format!("Progress deadline must be zero or greater: {progress}"));
        }
        if healthy >= deadline {
            rules.say(
                "MinHealthyTime",
                format!("Minimum healthy time must be less than healthy deadline: {healthy} > {deadline}"),
            );
        }
        if progress.0 != 0 && deadline >= progress {
            rules.say(
                "HealthyDeadline",
                format!("Healthy deadline must be less than progress deadline: {deadline} > {progress}"),
            );
        }
        if self.stagger.is_some_and(|s| s.0 <= 0) {
            rules.say("Stagger", format!("Stagger must be greater than zero: {}", self.stagger.unwrap_or_default()));
        }
    }
}

impl MigrateStrategy {
    fn validate(&self, rules: &mut Rules) {
        if self.max_parallel.unwrap_or(1) < 0 {
            rules.say("MaxParallel", "MaxParallel must be >= 0 but found a negative number");
        }
        let health = self.health_check.as_deref().unwrap_or("checks");
        if !matches!(health, "checks" | "task_states") {
            rules.say("HealthCheck", format!("Invalid HealthCheck: {health:?}. Must be one of: checks, task_states"));
        }
        if self.min_healthy_time.unwrap_or_default() > self.healthy_deadline.unwrap_or_default() {
            rules.say("MinHealthyTime", "MinHealthyTime must be less than HealthyDeadline");
        }
    }
}

impl DisconnectStrategy {
    fn validate(&self, rules: &mut Rules, kind: JobType) {
        if self.lost_after.is_some() && self.stop_on_client_after.is_some() {
            rules.say("", "only one of lost_after and stop_on_client_after can be set");
        }
        for (field, value) in [("LostAfter", self.lost_after), ("StopOnClientAfter", self.stop_on_client_after)] {
            if value.is_some_and(|v| v.0 < 0) {
                rules.say(field, "a time of disconnection cannot be negative");
            }
        }
        if self.stop_on_client_after.is_some() && !matches!(kind, JobType::Service | JobType::Batch) {
            rules.say("StopOnClientAfter", "stop_on_client_after can only be used with service and batch jobs");
        }
        let reconcile = self.reconcile.as_deref().unwrap_or("best_score");
        if !matches!(reconcile, "best_score" | "keep_original" | "keep_replacement" | "longest_running") {
            rules.say("Reconcile", format!("reconcile option is invalid: {reconcile:?}"));
        }
    }
}

impl ScalingPolicy {
    fn validate(&self, rules: &mut Rules, group: &TaskGroup, kind: JobType) {
        if kind == JobType::System {
            rules.say("", "Scaling policies are not allowed in system jobs");
        }
        let (min, count) = (self.min.unwrap_or(0), group.count.unwrap_or(1));
        let Some(max) = self.max else {
            return rules.say("Max", "maximum count must be specified and non-negative");
        };
        if min > max {
            rules.say("Max", format!("maximum count must not be less than minimum count: {max} < {min}"));
        }
        if count < min {
            rules.say(
                "Min",
                format!("task group count must not be less than minimum count in scaling policy: {count} < {min}"),
            );
        }
        if count > max {
            rules.say(
                "Max",
                format!("task group count must not be greater than maximum count in scaling policy: {count} > {max}"),
            );
        }
    }
}

impl NetworkResource {
    fn validate(
        &self,
        rules: &mut Rules,
        path: &str,
        owner: &str,
        labels: &mut BTreeMap<String, String>,
        statics: &mut BTreeMap<(String, i64), String>,
    ) {
        self.names(rules, path);
        let ports = |list: &'static str, ports: &Option<Vec<super::super::Port>>| {
            let of = |(i, p): (usize, &super::super::Port)| (format!("{path}.{list}[{i}]"), p.clone());
            ports.iter().flatten().enumerate().map(of).collect::<Vec<_>>()
        };
        let all =
            ports("DynamicPorts", &self.dynamic_ports).into_iter().chain(ports("ReservedPorts", &self.reserved_ports));
        for (path, port) in all {
            let label = port.label.clone().unwrap_or_default();
            let place = format!("{owner}:{label}");
            if let Some(other) = labels.insert(label.clone(), place.clone()) {
                rules.say(&path, format!("Port label {label} already in use by {other}"));
            }
            let value = port.value.unwrap_or(0);
            if !(0..=65_535).contains(&value) {
                rules.say(&format!("{path}.Value"), format!("Port {label} must be between 1 and 65535; got {value}"));
            } else if value > 0 && port.ignore_collision != Some(true) {
                let network =
                    port.host_network.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| "default".to_owned());
                match statics.get(&(network.clone(), value)) {
                    Some(other) => {
                        rules.say(&format!("{path}.Value"), format!("Static port {value} already reserved by {other}"))
                    }
                    None => drop(statics.insert((network, value), place)),
                }
            }
            if !(-1..=65_535).contains(&port.to.unwrap_or(0)) {
                let message = format!("Port {label} cannot be mapped to a port greater than 65535");
                rules.say(&format!("{path}.To"), message);
            }
            if port.ignore_collision == Some(true)
                && (value == 0 || !matches!(self.mode.as_deref(), None | Some("" | "host")))
            {
                let message = format!("Port {label} may ignore collisions only when it is static and in host mode");
                rules.say(&format!("{path}.IgnoreCollision"), message);
            }
        }
        let mode = self.mode.as_deref().unwrap_or_default();
        if let Some(hostname) = self.hostname.as_deref().filter(|h| !h.is_empty() && !h.contains("${")) {
            let valid =
                hostname.len() <= 63 && hostname.bytes().all(|b| b == b'-' || b == b'.' || b.is_ascii_alphanumeric());
            if !valid {
                rules.say(&format!("{path}.Hostname"), "Hostname is not a valid DNS name");
            } else if !matches!(mode, "bridge") && !mode.starts_with("cni/") {
                rules.say(&format!("{path}.Hostname"), "Hostname is only supported in bridge networking mode");
            }
        }
    }
}

impl VolumeRequest {
    fn validate(&self, rules: &mut Rules, group: &TaskGroup) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        if text(&self.source).is_empty() {
            rules.say("Source", "volume has an empty source");
        }
        if self.per_alloc == Some(true) {
            if self.sticky == Some(true) {
                rules.say("PerAlloc", "volume cannot be per_alloc and sticky at the same time");
            }
            if group.update.as_ref().is_some_and(|u| u.canary.unwrap_or(0) > 0) {
                rules.say("PerAlloc", "volume cannot be per_alloc when canaries are in use");
            }
        }
        match text(&self.type_).as_str() {
            "host" if self.mount_options.is_some() => {
                rules.say("MountOptions", "host volumes cannot have mount options");
            }
            "csi" => {
                if text(&self.attachment_mode).is_empty() {
                    rules.say("AttachmentMode", "CSI volumes must have an attachment mode");
                }
                if text(&self.access_mode).is_empty() {
                    rules.say("AccessMode", "CSI volumes must have an access mode");
                }
                if text(&self.attachment_mode) == "block-device" && self.mount_options.is_some() {
                    rules.say("MountOptions", "block devices cannot have mount options");
                }
            }
            _ => {}
        }
    }
}
