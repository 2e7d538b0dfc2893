//! What a diff leaves out, what it calls things, and what tells two blocks of a list apart.

use crate::schema::{Block, Field, Kind, Schema, Slot};

/// Fields that no diff shows: set by the server, or shown elsewhere.
pub(super) fn hidden(schema: &Schema, field: &Field) -> bool {
    match schema.name {
        "Job" => matches!(
            field.json,
            "ID" | "Status"
                | "StatusDescription"
                | "Version"
                | "Stable"
                | "CreateIndex"
                | "ModifyIndex"
                | "JobModifyIndex"
                | "Update"
                | "SubmitTime"
                | "NomadTokenID"
                | "Reschedule"
                | "Migrate"
                | "TaskGroups"
                | "VersionTag"
        ),
        "TaskGroup" => matches!(field.json, "Name" | "Tasks"),
        "Task" => field.json == "Name",
        "UpdateStrategy" => field.json == "Stagger",
        "NetworkResource" => matches!(field.json, "Device" | "CIDR" | "IP" | "MBits"),
        "ScalingPolicy" => matches!(field.json, "ID" | "Namespace" | "Target" | "CreateIndex" | "ModifyIndex"),
        _ => false,
    }
}

/// Nested blocks that show only once both sides have the block around them.
pub(super) fn only_when_edited(schema: &Schema, field: &Field) -> bool {
    schema.name == "Task" && field.json == "RestartPolicy"
}

/// Nested blocks in the order in which they are shown, those named here first.
pub(super) fn rank(schema: &Schema, field: &Field) -> usize {
    let order: &[&str] = match schema.name {
        "TaskGroup" => &[
            "Constraints",
            "Affinities",
            "Spreads",
            "RestartPolicy",
            "Disconnect",
            "Migrate",
            "ReschedulePolicy",
            "EphemeralDisk",
            "Consul",
            "Update",
            "Networks",
            "Volumes",
            "Services",
        ],
        "Task" => &[
            "Constraints",
            "Affinities",
            "Config",
            "Resources",
            "Lifecycle",
            "LogConfig",
            "DispatchPayload",
            "Artifacts",
            "VolumeMounts",
            "Services",
            "Vault",
            "Consul",
            "Templates",
            "Identity",
            "Identities",
        ],
        "Job" => {
            &["Datacenters", "Constraints", "Affinities", "Spreads", "Periodic", "ParameterizedJob", "Multiregion"]
        }
        _ => &[],
    };
    order.iter().position(|name| *name == field.json).unwrap_or(order.len())
}

/// What a nested block is called.
pub(super) fn name(field: &Field) -> &'static str {
    match field.child.map(|c| c.name) {
        Some("UpdateStrategy") => "Update",
        Some("MigrateStrategy") => "Migrate",
        Some("NetworkResource") => "Network",
        Some("DNSConfig") => "DNS",
        Some("CNIConfig") => "CNI",
        Some("ServiceCheck") => "Check",
        Some("TaskArtifact") => "Artifact",
        Some("VolumeRequest") => "Volume",
        Some("PeriodicConfig") => "Periodic",
        Some("ParameterizedJobConfig") => "ParameterizedJob",
        Some("WorkloadIdentity") => "Identity",
        Some("TaskLifecycle") => "Lifecycle",
        Some("DispatchPayloadConfig") => "DispatchPayload",
        Some("RequestedDevice") => "Device",
        Some("DisconnectStrategy") => "Disconnect",
        Some("ScalingPolicy") => "Scaling",
        Some("JobUIConfig") => "UI",
        Some("JobUILink") => "Link",
        Some("TaskCSIPluginConfig") => "CSIPluginConfig",
        Some("Port") if field.json == "ReservedPorts" => "Static Port",
        Some("Port") => "Dynamic Port",
        Some(name) => name,
        None => field.json,
    }
}

/// Fields of a port that mean nothing where it is dynamic, or by default, and what only clients know.
pub(super) fn hidden_in(owner: &Field, field: &Field, block: &dyn Block, index: usize) -> bool {
    match (owner.json, field.json) {
        ("DynamicPorts", "Value") | ("LogConfig", "Enabled") => true,
        ("DynamicPorts" | "ReservedPorts", "IgnoreCollision") => !matches!(block.slot(index), Slot::Bool(Some(true))),
        _ => false,
    }
}

/// The field by which a block of a list is known again; blocks without one are equal or different as a whole.
pub(super) fn identity(schema: &Schema) -> Option<&'static str> {
    Some(match schema.name {
        "Service" | "ServiceCheck" | "RequestedDevice" | "Action" | "Secret" | "WorkloadIdentity" => "Name",
        "Port" => "Label",
        "Template" => "DestPath",
        "SpreadTarget" => "Value",
        "ScalingPolicy" => "Type",
        _ => return None,
    })
}

/// Lists whose blocks are matched by place: there is one as a rule.
pub(super) fn by_place(schema: &Schema) -> bool {
    schema.name == "NetworkResource"
}

/// The text of a field that is unset: numbers and switches that count as zero say so.
pub(super) fn unset(schema: &Schema, field: &Field) -> &'static str {
    let zero = field.zero
        || (schema.name == "Resources" && field.kind == Kind::Int)
        || (schema.name == "TaskGroup" && field.json == "PreventRescheduleOnLost");
    match field.kind {
        Kind::Bool if zero => "false",
        Kind::Int | Kind::Uint | Kind::Duration if zero => "0",
        _ => "",
    }
}
