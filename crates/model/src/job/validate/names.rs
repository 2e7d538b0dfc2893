//! Names, wherever one becomes a path, a label, a variable or a header: bounded, without control and invisible characters.
//!
//! What is replaced on the node (`${…}`) is looked at there again.

use super::super::{Job, NetworkResource, Service, ServiceCheck, Task, TaskArtifact, TaskGroup, Template, VolumeMount};
use super::Rules;
use crate::name::{self, MAX_CHILD_ID, MAX_JOB_ID, MAX_KEY, MAX_LABEL, MAX_NAMESPACE, MAX_PART, MAX_PATH, MAX_TITLE};

impl Rules {
    /// Says what is wrong with the name in `field`, if anything; `what` begins the sentence.
    fn name(&mut self, field: &str, what: &str, text: Option<&str>, max: usize) {
        let text = text.unwrap_or_default();
        if let Err(wrong) = name::text(text, max) {
            self.say(field, format!("{what} {} {wrong}", name::quoted(text)));
        }
    }

    /// Like [`Rules::name`], for what stands in addresses.
    fn address(&mut self, field: &str, what: &str, text: Option<&str>, max: usize) {
        let text = text.unwrap_or_default();
        if let Err(wrong) = name::address(text, max) {
            self.say(field, format!("{what} {} {wrong}", name::quoted(text)));
        }
    }

    /// Like [`Rules::name`], for what becomes one part of a path. An empty one is some other rule's matter.
    pub(super) fn part(&mut self, field: &str, what: &str, text: &str) {
        match name::part(text) {
            Ok(()) | Err(name::NameError::Empty) => {}
            Err(wrong) => self.say(field, format!("{what} {} {wrong}", name::quoted(text))),
        }
    }

    /// Variables or metadata: no value can hold a null character, as the kernel ends a variable there.
    fn keys<'a>(&mut self, field: &str, what: &str, map: impl IntoIterator<Item = (&'a String, &'a String)>) {
        for (key, value) in map {
            self.name(field, what, Some(key), MAX_KEY);
            if value.contains('\0') {
                self.say(field, format!("The value of {} cannot include a null character", name::quoted(key)));
            }
        }
    }

    fn headers<'a>(&mut self, field: &str, pairs: impl IntoIterator<Item = (&'a String, &'a String)>) {
        for (key, value) in pairs {
            if let Err(wrong) = name::header(key)
                && !key.contains("${")
            {
                self.say(field, format!("Header {} {wrong}", name::quoted(key)));
            }
            if let Some(control) = value.chars().find(|c| c.is_control() && *c != '\t') {
                let wrong = name::NameError::Control(control);
                self.say(field, format!("The value of the header {} {wrong}", name::quoted(key)));
            }
        }
    }
}

impl Job {
    /// Everything of the head but what an older rule says in the field's words: null characters of id and name.
    pub(super) fn names(&self, rules: &mut Rules) {
        let most = if self.parent_id.as_deref().is_some_and(|p| !p.is_empty()) { MAX_CHILD_ID } else { MAX_JOB_ID };
        let plain = |text: &Option<String>| !text.as_deref().is_some_and(|t| t.contains('\0'));
        if plain(&self.id) {
            rules.address("ID", "Job ID", self.id.as_deref(), most);
        }
        if plain(&self.name) {
            rules.name("Name", "Job name", self.name.as_deref(), most);
        }
        rules.name("ParentID", "Parent job ID", self.parent_id.as_deref(), MAX_CHILD_ID);
        rules.address("Namespace", "Namespace", self.namespace.as_deref(), MAX_NAMESPACE);
        rules.name("Region", "Region", self.region.as_deref(), MAX_LABEL);
        rules.address("NodePool", "Node pool", self.node_pool.as_deref(), MAX_LABEL);
        for (i, datacenter) in self.datacenters.iter().flatten().enumerate() {
            rules.name(&format!("Datacenters[{i}]"), "Datacenter", Some(datacenter), MAX_LABEL);
        }
        if let Some(tag) = &self.version_tag {
            rules.address("VersionTag.Name", "Version tag", tag.name.as_deref(), MAX_LABEL);
        }
        rules.keys("Meta", "Meta key", self.meta.iter().flatten());
        let parameters = self.parameterized_job.iter();
        let keys = parameters.flat_map(|p| p.meta_required.iter().chain(&p.meta_optional)).flatten();
        for key in keys {
            rules.name("ParameterizedJob", "Meta key", Some(key), MAX_KEY);
        }
    }
}

impl TaskGroup {
    pub(super) fn names(&self, rules: &mut Rules) {
        rules.part("Name", "Task group name", self.name());
        rules.keys("Meta", "Meta key", self.meta.iter().flatten());
        for (label, volume) in self.volumes.iter().flatten() {
            let field = format!("Volumes[{}]", name::quoted(label));
            rules.part(&field, "Volume name", label);
            rules.name(&format!("{field}.Source"), "Volume source", volume.source.as_deref(), MAX_PART);
        }
    }
}

impl NetworkResource {
    pub(super) fn names(&self, rules: &mut Rules, path: &str) {
        rules.name(&format!("{path}.Mode"), "Network mode", self.mode.as_deref(), MAX_LABEL);
        for (list, ports) in [("DynamicPorts", &self.dynamic_ports), ("ReservedPorts", &self.reserved_ports)] {
            for (i, port) in ports.iter().flatten().enumerate() {
                let field = format!("{path}.{list}[{i}]");
                rules.name(&format!("{field}.Label"), "Port label", port.label.as_deref(), MAX_PART);
                rules.name(&format!("{field}.HostNetwork"), "Host network", port.host_network.as_deref(), MAX_LABEL);
            }
        }
    }
}

impl Task {
    /// The name itself is looked at where the task's head is.
    pub(super) fn names(&self, rules: &mut Rules) {
        rules.name("Driver", "Driver name", self.driver.as_deref(), MAX_PART);
        rules.name("User", "User", self.user.as_deref(), MAX_LABEL);
        rules.keys("Env", "Environment variable", self.env.iter().flatten());
        rules.keys("Meta", "Meta key", self.meta.iter().flatten());
        if let Some(payload) = &self.dispatch_payload {
            rules.name("DispatchPayload.File", "Payload file", payload.file.as_deref(), MAX_PATH);
        }
        for (i, identity) in self.identities.iter().flatten().chain(&self.identity).enumerate() {
            rules.name(&format!("Identities[{i}].Filepath"), "Identity file", identity.filepath.as_deref(), MAX_PATH);
        }
    }
}

impl VolumeMount {
    pub(super) fn names(&self, rules: &mut Rules, path: &str) {
        rules.name(&format!("{path}.Destination"), "Mount destination", self.destination.as_deref(), MAX_PATH);
    }
}

impl Service {
    /// The name is held to stricter rules of its own.
    pub(super) fn names(&self, rules: &mut Rules) {
        rules.name("PortLabel", "Port label", self.port_label.as_deref(), MAX_PART);
        rules.name("TaskName", "Task name", self.task_name.as_deref(), MAX_PART);
        rules.name("Address", "Service address", self.address.as_deref(), MAX_TITLE);
        rules.keys("Meta", "Meta key", self.meta.iter().flatten());
        rules.keys("CanaryMeta", "Meta key", self.canary_meta.iter().flatten());
    }
}

impl ServiceCheck {
    pub(super) fn names(&self, rules: &mut Rules) {
        rules.name("Name", "Check name", self.name.as_deref(), MAX_TITLE);
        rules.name("Path", "Check path", self.path.as_deref(), MAX_PATH);
        rules.name("Method", "Check method", self.method.as_deref(), MAX_PART);
        rules.name("PortLabel", "Port label", self.port_label.as_deref(), MAX_PART);
        let pairs = self.header.iter().flatten().flat_map(|(key, values)| values.iter().map(move |v| (key, v)));
        rules.headers("Header", pairs);
    }
}

impl TaskArtifact {
    pub(super) fn names(&self, rules: &mut Rules) {
        let source = self.getter_source.as_deref().unwrap_or_default();
        if let Err(wrong) = name::control(source) {
            rules.say("GetterSource", format!("Artifact source {} {wrong}", name::quoted(source)));
        }
        rules.name("RelativeDest", "Artifact destination", self.relative_dest.as_deref(), MAX_PATH);
        rules.headers("GetterHeaders", self.getter_headers.iter().flatten());
    }
}

impl Template {
    pub(super) fn names(&self, rules: &mut Rules) {
        rules.name("SourcePath", "Template source", self.source_path.as_deref(), MAX_PATH);
        rules.name("DestPath", "Template destination", self.dest_path.as_deref(), MAX_PATH);
    }
}
