//! Rules of tasks and what is prepared for them.

use super::super::{
    Action, Job, JobType, NUMAResource, RequestedDevice, Resources, Task, TaskArtifact, TaskGroup, Template, Vault,
    WorkloadIdentity,
};
use super::mounts::mounts;
use super::service::has_port;
use super::{Firsts, Level, Rules, affinities, constraints};

impl Task {
    pub(super) fn validate(&self, rules: &mut Rules, group: &TaskGroup, job: &Job) {
        self.head(rules);
        if let Some(resources) = &self.resources {
            rules.inside("Resources", &["", ""], |rules| resources.validate(rules));
        }
        self.logs(rules, group);
        constraints(rules, self.constraints.as_deref(), Level::Task);
        affinities(rules, self.affinities.as_deref(), job.job_type() == JobType::System);
        self.service_list(rules, group);
        for (index, artifact) in self.artifacts.iter().flatten().enumerate() {
            let context = format!("Artifact {} validation failed", index + 1);
            rules.inside(format!("Artifacts[{index}]"), &[&context], |rules| artifact.validate(rules));
        }
        for (index, template) in self.templates.iter().flatten().enumerate() {
            let context = format!("Template {} validation failed", index + 1);
            rules.inside(format!("Templates[{index}]"), &[&context], |rules| template.validate(rules));
        }
        self.template_destinations(rules);
        if let Some(file) = self.dispatch_payload.as_ref().map(|d| d.file.as_deref().unwrap_or_default()) {
            rules.inside("DispatchPayload", &["Dispatch Payload validation failed"], |rules| {
                if file.is_empty() || escapes(file) {
                    rules.say("File", "destination escapes allocation directory");
                }
            });
        }
        mounts(rules, self.volume_mounts.as_deref(), group);
        self.the_rest(rules, group);
    }

    fn head(&self, rules: &mut Rules) {
        let name = self.name();
        if name.contains('\0') {
            rules.say("Name", "Task name cannot include null characters");
        } else {
            rules.part("Name", "Task name", name);
        }
        if name == "alloc" {
            rules.say("Name", "Task name \"alloc\" is reserved for the directory that the group's tasks share");
        }
        self.names(rules);
        if self.driver().is_empty() {
            rules.say("Driver", "Missing task driver");
        }
        if self.kill_timeout.is_some_and(|d| d.0 < 0) {
            rules.say("KillTimeout", "KillTimeout must be a positive value");
        }
        if self.shutdown_delay.is_some_and(|d| d.0 < 0) {
            rules.say("ShutdownDelay", "ShutdownDelay must be a positive value");
        }
    }

    fn logs(&self, rules: &mut Rules, group: &TaskGroup) {
        let Some(logs) = self.log_config.as_ref().filter(|l| l.disabled != Some(true)) else { return };
        let (files, size) = (logs.max_files.unwrap_or(10), logs.max_file_size_mb.unwrap_or(10));
        if files < 1 {
            rules.say("LogConfig.MaxFiles", format!("minimum number of files is 1; got {files}"));
        }
        if size < 1 {
            rules.say("LogConfig.MaxFileSizeMB", format!("minimum file size is 1MB; got {size}"));
        }
        let disk = group.ephemeral_disk.as_ref().and_then(|d| d.size_mb).unwrap_or(300);
        let total = files.saturating_mul(size);
        if disk > 0 && disk < total {
            rules.say(
                "LogConfig",
                format!("log storage ({total} MB) must be less than requested disk capacity ({disk} MB)"),
            );
        }
    }

    fn service_list(&self, rules: &mut Rules, group: &TaskGroup) {
        for (index, service) in self.services().iter().enumerate() {
            let context = format!("Service[{index}] {} validation failed", service.name.as_deref().unwrap_or_default());
            rules.inside(format!("Services[{index}]"), &[&context], |rules| service.validate(rules, group, Some(self)));
        }
        let networks = || {
            let own = self.resources.iter().flat_map(|r| r.networks.iter().flatten());
            group.networks.iter().flatten().chain(own)
        };
        rules.inside("", &[""], |rules| {
            for (index, service) in self.services().iter().enumerate() {
                let port = service.port_label.as_deref().unwrap_or_default();
                let by_label = matches!(service.address_mode.as_deref(), None | Some("" | "auto" | "host"));
                if !port.is_empty() && by_label && !port.contains("${") && !networks().any(|n| has_port(n, port)) {
                    let name = service.name.as_deref().unwrap_or_default();
                    let message = format!("port label {port:?} referenced by services {name} does not exist");
                    rules.say(&format!("Services[{index}].PortLabel"), message);
                }
            }
        });
    }

    fn template_destinations(&self, rules: &mut Rules) {
        let templates = self.templates.as_deref().unwrap_or_default();
        let mut firsts = Firsts::default();
        for (index, template) in templates.iter().enumerate() {
            let Some(destination) = template.dest_path.as_deref().filter(|d| !d.is_empty()) else { continue };
            if let Some(first) = firsts.of(destination, index) {
                let message = format!("Template {} has same destination as {}", index + 1, first + 1);
                rules.say(&format!("Templates[{index}].DestPath"), message);
            }
        }
    }

    fn the_rest(&self, rules: &mut Rules, group: &TaskGroup) {
        if let Some(lifecycle) = &self.lifecycle {
            let hook = lifecycle.hook.as_deref().unwrap_or_default();
            rules.inside("Lifecycle", &["Lifecycle validation failed"], |rules| match hook {
                "prestart" | "poststart" | "poststop" => {}
                "" => rules.say("Hook", "no lifecycle hook provided"),
                _ => rules.say("Hook", format!("invalid hook: {hook}")),
            });
        }
        let actions = self.actions.as_deref().unwrap_or_default();
        let mut firsts = Firsts::default();
        for (index, action) in actions.iter().enumerate() {
            let name = action.name.as_deref().unwrap_or_default();
            if firsts.of(&action.name, index).is_some() {
                rules.say(&format!("Actions[{index}]"), format!("action {name} defined multiple times"));
            }
            let context = format!("Action {name} validation failed");
            rules.inside(format!("Actions[{index}]"), &[&context], |rules| action.validate(rules));
        }
        self.secret_list(rules);
        let mut names = Firsts::default();
        for (index, identity) in self.identities.iter().flatten().enumerate() {
            let name = identity.name.as_deref().unwrap_or_default();
            let path = format!("Identities[{index}]");
            if names.of(name, index).is_some() {
                rules.say(&path, format!("Identity {name:?} defined multiple times"));
            }
            rules.inside(path, &[], |rules| identity.validate(rules));
        }
        if let Some(identity) = &self.identity {
            rules.inside("Identity", &[], |rules| {
                identity.validate(rules);
                if identity.ttl.is_some_and(|t| t.0 > 0) {
                    rules.say("TTL", "ttl for default identity not yet supported");
                }
            });
        }
        if let Some(vault) = &self.vault {
            rules.inside("Vault", &[], |rules| vault.validate(rules));
        }
        // What a task inherits has been looked at in the group.
        if let Some(policy) = self.restart_policy.as_ref().filter(|p| group.restart_policy.as_ref() != Some(*p)) {
            rules.inside("RestartPolicy", &[], |rules| policy.validate(rules));
        }
    }

    fn secret_list(&self, rules: &mut Rules) {
        let secrets = self.secrets.as_deref().unwrap_or_default();
        let mut firsts = Firsts::default();
        for (index, secret) in secrets.iter().enumerate() {
            let name = secret.name.as_deref().unwrap_or_default();
            let provider = secret.provider.as_deref().unwrap_or_default();
            let path = format!("Secrets[{index}]");
            if firsts.of(&secret.name, index).is_some() {
                rules.say(&path, format!("Duplicate secret {name:?} found"));
            }
            if provider == "vault" && self.vault.is_none() {
                rules.say(
                    &format!("{path}.Provider"),
                    format!("Secret {name:?} has provider \"vault\" but no vault block"),
                );
            }
            let context = format!("Secret {name:?} is invalid");
            rules.inside(path, &[&context], |rules| {
                if name.is_empty() || name.len() > 128 || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
                {
                    rules.say("Name", "secret name may have letters, digits and underscores, 128 at most");
                }
                if provider.is_empty() {
                    rules.say("Provider", "secret provider cannot be empty");
                }
                if secret.path.as_deref().unwrap_or_default().is_empty() {
                    rules.say("Path", "secret path cannot be empty");
                }
                if matches!(provider, "nomad" | "vault") && secret.env.as_ref().is_some_and(|e| !e.is_empty()) {
                    rules.say("Env", format!("{provider} provider cannot use the env block"));
                }
                let plugin = !matches!(provider, "" | "nomad" | "vault");
                if plugin && secret.config.as_ref().is_some_and(|c| !c.0.is_empty()) {
                    rules.say("Config", format!("custom plugin provider {provider} cannot use the config block"));
                }
            });
        }
    }
}

impl Resources {
    fn validate(&self, rules: &mut Rules) {
        let (cpu, cores) = (self.cpu.unwrap_or(100), self.cores.unwrap_or(0));
        if cores > 0 && cpu > 0 {
            rules.say("CPU", "Task can only ask for 'cpu' or 'cores' resource, not both.");
        }
        if cores < 0 {
            rules.say("Cores", format!("minimum Cores value is 0; got {cores}"));
        } else if cores == 0 && cpu < 1 {
            rules.say("CPU", format!("minimum CPU value is 1; got {cpu}"));
        }
        let memory = self.memory_mb.unwrap_or(300);
        if memory < 10 {
            rules.say("MemoryMB", format!("minimum MemoryMB value is 10; got {memory}"));
        }
        match self.memory_max_mb.unwrap_or(0) {
            -1 | 0 => {}
            max if max < memory => {
                rules.say(
                    "MemoryMaxMB",
                    format!("MemoryMaxMB value ({max}) should be larger than MemoryMB value ({memory})"),
                );
            }
            _ => {}
        }
        let secrets = self.secrets_mb.unwrap_or(0);
        if secrets < 0 || secrets > memory {
            rules.say(
                "SecretsMB",
                format!("SecretsMB value ({secrets}) must lie between 0 and the MemoryMB value ({memory})"),
            );
        }
        for (index, device) in self.devices.iter().flatten().enumerate() {
            let context = format!("device {} validation failed", index + 1);
            rules.inside(format!("Devices[{index}]"), &[&context], |rules| device.validate(rules));
        }
        if let Some(numa) = &self.numa {
            rules.inside("NUMA", &[], |rules| numa.validate(rules, self.devices.as_deref().unwrap_or_default()));
        }
    }
}

impl RequestedDevice {
    fn validate(&self, rules: &mut Rules) {
        let name = self.name.as_deref().unwrap_or_default();
        let parts = name.split('/').count();
        if parts > 3 || name.split('/').any(str::is_empty) {
            let message =
                format!("device name {name:?} must be one of: <type>, <vendor>/<type>, <vendor>/<type>/<name>");
            rules.say("Name", message);
        }
        if self.count.unwrap_or(1) < 1 {
            rules.say("Count", "device count must be at least 1");
        }
        constraints(rules, self.constraints.as_deref(), Level::Task);
        affinities(rules, self.affinities.as_deref(), false);
    }
}

impl NUMAResource {
    fn validate(&self, rules: &mut Rules, devices: &[RequestedDevice]) {
        let affinity = self.affinity.as_deref().unwrap_or_default();
        if !matches!(affinity, "" | "none" | "prefer" | "require") {
            rules.say("Affinity", "numa affinity must be one of none, prefer, or require");
        }
        for wanted in self.devices.iter().flatten() {
            if !devices.iter().any(|d| d.name.as_deref() == Some(wanted)) {
                rules.say("Devices", format!("numa device {wanted:?} not requested as task resource"));
            }
        }
    }
}

impl Action {
    fn validate(&self, rules: &mut Rules) {
        let name = self.name.as_deref().unwrap_or_default();
        if name.is_empty() || name.chars().count() > 128 || name.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            rules.say("Name", format!("invalid name '{name}'"));
        }
        if self.command.as_deref().unwrap_or_default().is_empty() {
            rules.say("Command", "command cannot be empty");
        }
    }
}

impl WorkloadIdentity {
    fn validate(&self, rules: &mut Rules) {
        let name = self.name.as_deref().unwrap_or_default();
        if name.len() > 128 || !name.bytes().all(|b| b == b'-' || b == b'_' || b.is_ascii_alphanumeric()) {
            rules.say("Name", format!("invalid identity name {name:?}"));
        }
        if self.audience.iter().flatten().any(String::is_empty) {
            rules.say("Audience", "an identity's audience must not be an empty text");
        }
        let mode = self.change_mode.as_deref().unwrap_or_default();
        let signal = self.change_signal.as_deref().unwrap_or_default();
        match mode {
            "" | "noop" | "restart" if !signal.is_empty() => {
                rules.say("ChangeSignal", "change_signal needs change_mode \"signal\"")
            }
            "" | "noop" | "restart" => {}
            "signal" if signal.is_empty() => {
                rules.say("ChangeSignal", "change_signal must be set with change_mode \"signal\"")
            }
            "signal" => {}
            _ => rules.say("ChangeMode", format!("invalid change_mode {mode:?}")),
        }
        if self.ttl.is_some_and(|t| t.0 < 0) {
            rules.say("TTL", "ttl must not be negative");
        }
        if !self.filepath.as_deref().unwrap_or_default().is_empty() && self.file != Some(true) {
            rules.say("Filepath", "file parameter must be true in order to specify filepath");
        }
    }
}

impl Vault {
    fn validate(&self, rules: &mut Rules) {
        let mode = self.change_mode.as_deref().unwrap_or_default();
        match mode {
            "" | "noop" | "restart" => {}
            "signal" if self.change_signal.as_deref().unwrap_or_default().is_empty() => {
                rules.say("ChangeSignal", "Signal must be specified when using change mode \"signal\"");
            }
            "signal" => {}
            _ => rules.say("ChangeMode", format!("Unknown change mode {mode:?}")),
        }
    }
}

impl TaskArtifact {
    fn validate(&self, rules: &mut Rules) {
        self.names(rules);
        if self.getter_source.as_deref().unwrap_or_default().is_empty() {
            return rules.say("GetterSource", "source must be specified");
        }
        let mode = self.getter_mode.as_deref().unwrap_or("any");
        if !matches!(mode, "" | "any" | "file" | "dir") {
            rules.say("GetterMode", format!("invalid artifact mode {mode:?}; must be one of: any, file, dir"));
        }
        if self.relative_dest.as_deref().is_some_and(escapes) {
            rules.say("RelativeDest", "destination escapes allocation directory");
        }
        if let Some(checksum) = self.getter_options.as_ref().and_then(|o| o.get("checksum")) {
            check_checksum(rules, checksum.trim());
        }
    }
}

fn check_checksum(rules: &mut Rules, checksum: &str) {
    if checksum.contains("${") || checksum.starts_with("file:") {
        return;
    }
    let field = "GetterOptions.checksum";
    let Some((kind, digest)) = checksum.split_once(':') else {
        return rules.say(field, format!("checksum must be given as \"type:value\", not {checksum:?}"));
    };
    let digits = match kind {
        "md5" => 32,
        "sha1" => 40,
        "sha256" => 64,
        "sha512" => 128,
        _ => return rules.say(field, format!("unsupported checksum type: {kind}")),
    };
    if digest.len() != digits || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        rules.say(field, format!("invalid {kind} checksum: {digest}"));
    }
}

impl Template {
    fn validate(&self, rules: &mut Rules) {
        self.names(rules);
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        match (text(&self.source_path).is_empty(), text(&self.embedded_tmpl).is_empty()) {
            (true, true) => rules.say("", "Must specify a source path or have an embedded template"),
            (false, false) => rules.say("SourcePath", "Must not specify both a source path and an embedded template"),
            _ => {}
        }
        match text(&self.dest_path) {
            path if path.is_empty() => rules.say("", "Must specify a destination for the template"),
            path if escapes(&path) => rules.say("DestPath", "template destination escapes allocation directory"),
            _ => {}
        }
        match text(&self.change_mode).as_str() {
            // A process can't be told of variables that it did not start with.
            "signal" if self.envvars == Some(true) => rules.say("", "cannot use signals with env var templates"),
            "noop" | "restart" | "signal" | "" => {}
            "script" => match &self.change_script {
                None => rules
                    .say("ChangeScript", "must specify change script configuration value when change mode is script"),
                Some(script) if text(&script.command).is_empty() => {
                    rules.say("ChangeScript.Command", "must specify script path value when change mode is script");
                }
                Some(_) => {}
            },
            mode => rules.say(
                "ChangeMode",
                format!("Invalid change mode given: {mode:?}. Must be one of: noop, restart, signal, script"),
            ),
        }
        if self.splay.is_some_and(|s| s.0 < 0) {
            rules.say("Splay", "Must specify positive splay value");
        }
        let perms = text(&self.perms);
        if !perms.is_empty() && i64::from_str_radix(&perms, 8).is_err() {
            rules.say("Perms", format!("Failed to parse {perms:?} as octal"));
        }
        if let Some(wait) = &self.wait
            && wait.min.unwrap_or_default() > wait.max.unwrap_or_default()
        {
            let (min, max) = (wait.min.unwrap_or_default(), wait.max.unwrap_or_default());
            rules.say("Wait", format!("wait min {min} is greater than max {max}"));
        }
    }
}

/// Whether a path inside a task's directory leads out of the allocation's, two levels up at most.
/// A path from the root is taken as one inside; what is replaced on the node is looked at there.
pub(super) fn escapes(path: &str) -> bool {
    if path.contains("${") {
        return false;
    }
    let mut depth: i32 = 1;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}
