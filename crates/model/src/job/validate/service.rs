//! Rules of services and their checks.

use super::super::{NetworkResource, Service, ServiceCheck, SidecarTask, Task, TaskGroup};
use super::mounts::mounts;
use super::{Rules, shown};
use crate::duration::Dur;

impl Service {
    /// `task` is the task that the service stands in, if any.
    pub(super) fn validate(&self, rules: &mut Rules, group: &TaskGroup, task: Option<&Task>) {
        self.names(rules);
        let name = self.name.as_deref().unwrap_or_default();
        if !valid_name(name) {
            let message = format!(
                "Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes and must be no longer than 63 characters: {name:?}"
            );
            rules.say("Name", message);
        }
        let provider = self.provider.as_deref().unwrap_or("consul");
        if !matches!(provider, "consul" | "nomad") {
            rules.say("Provider", format!("Service provider must be \"consul\" or \"nomad\", not {provider:?}"));
        }
        let mode = self.address_mode.as_deref().unwrap_or("auto");
        if !matches!(mode, "" | "auto" | "host" | "alloc" | "driver" | "alloc_ipv6") {
            rules.say(
                "AddressMode",
                format!("Service address_mode must be auto, alloc, alloc_ipv6, driver or host, not {mode:?}"),
            );
        }
        if mode == "driver" && task.is_none() {
            rules.say("AddressMode", format!("service {name:?} cannot use address_mode=\"driver\", only services defined in a \"task\" block can use this mode"));
        }
        let on_update = self.on_update.as_deref().unwrap_or("require_healthy");
        if !matches!(on_update, "" | "require_healthy" | "ignore_warnings" | "ignore") {
            rules.say(
                "OnUpdate",
                format!("on_update must be require_healthy, ignore_warnings or ignore, not {on_update:?}"),
            );
        }
        if let Some(wanted) = self.task_name.as_deref().filter(|t| !t.is_empty())
            && group.task(wanted).is_none()
        {
            rules.say("TaskName", format!("service {name:?} refers to task {wanted:?}, which the group does not have"));
        }
        for (index, check) in self.checks.iter().flatten().enumerate() {
            rules.inside(format!("Checks[{index}]"), &[], |rules| check.validate(rules, self, provider));
        }
    }

    /// Whether a mesh would run a proxy for it: a sidecar or a gateway.
    pub(super) fn has_proxy(&self) -> bool {
        self.connect.as_ref().is_some_and(|c| c.sidecar_service.is_some() || c.gateway.is_some())
    }

    /// What a service mesh would need; found before the job's structure is looked at.
    pub(super) fn mesh(&self, rules: &mut Rules, group: &TaskGroup, path: &str) {
        let exposed = self.checks.iter().flatten().any(|c| c.expose == Some(true));
        let mode = group.networks.iter().flatten().next().and_then(|n| n.mode.as_deref()).unwrap_or_default();
        if exposed && mode != "bridge" && !mode.starts_with("cni/") {
            let message = format!(
                "connect expose check: invalid network mode for Consul Connect: group {:?} uses network mode {mode:?}; must be \"bridge\" or \"cni/*\"",
                group.name()
            );
            rules.say(&format!("{path}.Checks"), message);
        }
        let Some(connect) = &self.connect else { return };
        let networks: &[NetworkResource] = group.networks.as_deref().unwrap_or_default();
        if connect.sidecar_service.is_some() {
            let mode = networks.first().and_then(|n| n.mode.as_deref()).unwrap_or_default();
            if networks.len() != 1 {
                let message = format!(
                    "connect sidecar: must have exactly one network for Consul Connect: group {:?} has {} networks",
                    group.name(),
                    networks.len()
                );
                rules.say(&format!("{path}.Connect"), message);
            } else if mode != "bridge" && !mode.starts_with("cni/") {
                let message = format!(
                    "connect sidecar: invalid network mode for Consul Connect: group {:?} uses network mode {mode:?}; must be \"bridge\" or \"cni/*\"",
                    group.name()
                );
                rules.say(&format!("{path}.Connect"), message);
            }
        }
        let proxy = connect.sidecar_service.as_ref().and_then(|s| s.proxy.as_ref());
        let excluded = proxy.and_then(|p| p.transparent_proxy.as_ref()).and_then(|t| t.exclude_inbound_ports.as_ref());
        for port in excluded.into_iter().flatten() {
            // A port that the scheduler chooses is no port that a proxy could leave out beforehand.
            let labelled =
                networks.iter().any(|n| n.reserved_ports.iter().flatten().any(|p| p.label.as_deref() == Some(port)));
            if port.parse::<u16>().is_err() && !labelled {
                let message = format!(
                    "Consul Connect transparent proxy port {port:?} must be numeric or one of network.port labels"
                );
                rules.say(&format!("{path}.Connect"), message);
            }
        }
    }
}

impl SidecarTask {
    /// The proxy's volumes are the group's. What else it says is looked at by whoever runs a mesh.
    pub(super) fn validate(&self, rules: &mut Rules, group: &TaskGroup, service: &str) {
        let own = self.name.clone().filter(|n| !n.is_empty());
        let name = own.unwrap_or_else(|| format!("connect-proxy-{service}"));
        let context = format!("Task {} validation failed", shown(&name));
        rules.inside("", &[&context], |rules| mounts(rules, self.volume_mounts.as_deref(), group));
    }
}

/// Letters, digits and dashes, 63 at most; what is replaced on the node is looked at there.
fn valid_name(name: &str) -> bool {
    let mut plain = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("${") {
        plain.push_str(before);
        plain.push('x');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    crate::name::service(&plain).is_ok()
}

pub(super) fn has_port(network: &NetworkResource, label: &str) -> bool {
    network.dynamic_ports.iter().chain(&network.reserved_ports).flatten().any(|p| p.label.as_deref() == Some(label))
}

impl ServiceCheck {
    fn validate(&self, rules: &mut Rules, service: &Service, provider: &str) {
        self.names(rules);
        let kind = self.type_.as_deref().unwrap_or_default();
        let known: &[&str] = if provider == "nomad" { &["http", "tcp"] } else { &["http", "tcp", "grpc", "script"] };
        if !known.contains(&kind) {
            let message =
                format!("invalid check type ({kind:?}), must be one of {} for {provider} services", known.join(", "));
            rules.say("Type", message);
        }
        let second = Dur::from_secs(1);
        for (field, name, value) in [("Interval", "interval", self.interval), ("Timeout", "timeout", self.timeout)] {
            if value.is_none_or(|v| v < second) {
                let label = if name == "interval" { "Interval" } else { "Timeout" };
                let message = match value {
                    None | Some(Dur(0)) => {
                        format!("missing required value {name}. {label} cannot be less than {second}")
                    }
                    Some(given) => format!("{name} ({given}) cannot be lower than {second}"),
                };
                rules.say(field, message);
                break;
            }
        }
        match kind {
            "http" if self.path.as_deref().unwrap_or_default().is_empty() => {
                rules.say("Path", "http type must have http path")
            }
            "http" if self.path.as_deref().is_some_and(|p| p.contains("://")) => {
                rules.say("Path", "http type must have relative http path");
            }
            "script" if self.command.as_deref().unwrap_or_default().is_empty() => {
                rules.say("Command", "script type must have a valid script path");
            }
            _ => {}
        }
        self.thresholds(rules, provider);
        self.reactions(rules, service, provider);
    }

    /// How many results in a row count; only Consul counts them.
    fn thresholds(&self, rules: &mut Rules, provider: &str) {
        for (field, name, value) in [
            ("SuccessBeforePassing", "success_before_passing", self.success_before_passing),
            ("FailuresBeforeCritical", "failures_before_critical", self.failures_before_critical),
            ("FailuresBeforeWarning", "failures_before_warning", self.failures_before_warning),
        ] {
            let message = match value.unwrap_or(0) {
                0 => continue,
                n if n < 0 => format!("{name} must be non-negative"),
                _ if provider == "nomad" => format!("{name} may only be set for Consul service checks"),
                _ => continue,
            };
            rules.say(field, message);
        }
    }

    /// What happens when the check fails.
    fn reactions(&self, rules: &mut Rules, service: &Service, provider: &str) {
        let own = self.name.clone().filter(|n| !n.is_empty());
        let name = own.unwrap_or_else(|| format!("service: {:?} check", service.name.as_deref().unwrap_or_default()));
        let Some(restart) = &self.check_restart else { return };
        if restart.limit.unwrap_or(0) < 0 {
            rules.say("CheckRestart.Limit", format!("Check {name} invalid: limit must be greater than or equal to 0"));
        }
        if restart.grace.is_some_and(|g| g.0 < 0) {
            rules.say("CheckRestart.Grace", format!("Check {name} invalid: grace period cannot be negative"));
        }
        if provider == "nomad" && restart.ignore_warnings == Some(true) {
            rules.say(
                "CheckRestart.IgnoreWarnings",
                "ignore_warnings on check_restart only supported for Consul service checks",
            );
        }
        match self.on_update.as_deref() {
            Some("ignore_warnings") if restart.ignore_warnings != Some(true) => {
                let message = format!(
                    "Check {name} invalid: on_update value \"ignore_warnings\" not supported with check_restart ignore_warnings value \"false\""
                );
                rules.say("OnUpdate", message);
            }
            Some("ignore") => {
                rules.say(
                    "OnUpdate",
                    format!("Check {name} invalid: on_update value \"ignore\" is not compatible with check_restart"),
                );
            }
            _ => {}
        }
    }
}
