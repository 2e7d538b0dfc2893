//! Services and their checks.

use tarpan_model_derive::Block;

use super::ConsulConnect;
use super::WorkloadIdentity;
use crate::duration::Dur;
use crate::schema::{ListMap, TextMap};

/// The `service` block, in group, task.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Service")]
pub struct Service {
    /// Name by which the service is found.
    #[field(json = "Name", hcl = "name", default = "<job>-<group>[-<task>]", zero, interpolated)]
    pub name: Option<String>,
    /// Where servers find it: the namespace of its job.
    #[field(json = "Namespace", omit)]
    pub namespace: Option<String>,
    /// Words that tell instances apart.
    #[field(json = "Tags", hcl = "tags", interpolated)]
    pub tags: Option<Vec<String>>,
    /// Tags while the allocation is a canary.
    #[field(json = "CanaryTags", hcl = "canary_tags", interpolated)]
    pub canary_tags: Option<Vec<String>>,
    /// Consul only.
    #[field(json = "EnableTagOverride", hcl = "enable_tag_override", default = "false", zero)]
    pub enable_tag_override: Option<bool>,
    /// Label of the port, or its number.
    #[field(json = "PortLabel", hcl = "port", zero, interpolated)]
    pub port_label: Option<String>,
    /// Which address is registered: the node’s (`host`), the allocation’s (`alloc`), the driver’s, or what fits (`auto`).
    #[field(
        json = "AddressMode",
        hcl = "address_mode",
        default = "auto",
        values = "auto alloc driver host alloc_ipv6",
        zero
    )]
    pub address_mode: Option<String>,
    /// Address to register in place of one that is found.
    #[field(json = "Address", hcl = "address", zero, interpolated)]
    pub address: Option<String>,
    /// A check of the service’s health.
    #[field(json = "Checks", hcl = "check")]
    pub checks: Option<Vec<ServiceCheck>>,
    /// Restart the task when its checks keep failing.
    #[field(json = "CheckRestart", hcl = "check_restart", stored = "absent")]
    pub check_restart: Option<CheckRestart>,
    /// group service only, consul provider.
    #[field(json = "Connect", hcl = "connect")]
    pub connect: Option<ConsulConnect>,
    /// Values registered with the service.
    #[field(json = "Meta", hcl = "meta", interpolated)]
    pub meta: Option<TextMap>,
    /// The `canary_meta` of this service.
    #[field(json = "CanaryMeta", hcl = "canary_meta", interpolated)]
    pub canary_meta: Option<TextMap>,
    /// The `tagged_addresses` of this service.
    #[field(json = "TaggedAddresses", hcl = "tagged_addresses", interpolated)]
    pub tagged_addresses: Option<TextMap>,
    /// group services that need one (script checks, connect native).
    #[field(json = "TaskName", hcl = "task", zero)]
    pub task_name: Option<String>,
    /// Which states of its checks count as healthy in an update.
    #[field(
        json = "OnUpdate",
        hcl = "on_update",
        default = "require_healthy",
        values = "require_healthy ignore_warnings ignore",
        zero
    )]
    pub on_update: Option<String>,
    /// aud required; consul.
    #[field(json = "Identity", hcl = "identity")]
    pub identity: Option<WorkloadIdentity>,
    /// passing/warning, consul.
    #[field(json = "Weights", hcl = "weights")]
    pub weights: Option<ServiceWeights>,
    /// Registry: `nomad` for the one built in, or `consul`.
    #[field(json = "Provider", hcl = "provider", default = "consul", values = "consul nomad", zero)]
    pub provider: Option<String>,
    /// Ent multi-cluster.
    #[field(json = "Cluster", hcl = "cluster", default = "default", zero)]
    pub cluster: Option<String>,
    /// consul service kinds.
    #[field(json = "Kind", hcl = "kind", zero)]
    pub kind: Option<String>,
}

/// The `weights` block, in service.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ServiceWeights")]
pub struct ServiceWeights {
    /// The `passing` of this weights.
    #[field(json = "Passing", hcl = "passing", default = "1", zero)]
    pub passing: Option<i64>,
    /// The `warning` of this weights.
    #[field(json = "Warning", hcl = "warning", default = "1", zero)]
    pub warning: Option<i64>,
}

/// The `check` block, in service.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ServiceCheck")]
pub struct ServiceCheck {
    /// The `name` of this check.
    #[field(json = "Name", hcl = "name", default = "service: \"<svc>\" check", zero, interpolated)]
    pub name: Option<String>,
    /// `http` asks for a page, `tcp` opens a connection; `grpc` and `script` with Consul.
    #[field(json = "Type", hcl = "type", zero, interpolated)]
    pub type_: Option<String>,
    /// script.
    #[field(json = "Command", hcl = "command", zero, interpolated)]
    pub command: Option<String>,
    /// script.
    #[field(json = "Args", hcl = "args", interpolated)]
    pub args: Option<Vec<String>>,
    /// Path of the page that is asked for.
    #[field(json = "Path", hcl = "path", zero, interpolated)]
    pub path: Option<String>,
    /// http or https (nomad too).
    #[field(json = "Protocol", hcl = "protocol", default = "http", zero, interpolated)]
    pub protocol: Option<String>,
    /// Label of the port to check; the service’s when left out.
    #[field(json = "PortLabel", hcl = "port", default = "service port", zero, interpolated)]
    pub port_label: Option<String>,
    /// consul http/grpc with sidecar.
    #[field(json = "Expose", hcl = "expose", default = "false", zero)]
    pub expose: Option<bool>,
    /// alloc, driver, host.
    #[field(
        json = "AddressMode",
        hcl = "address_mode",
        default = "service's or auto",
        values = "alloc driver host",
        zero
    )]
    pub address_mode: Option<String>,
    /// consul.
    #[field(json = "Advertise", hcl = "advertise", zero, stored = "given")]
    pub advertise: Option<String>,
    /// Time between two checks, 1s at least.
    #[field(json = "Interval", hcl = "interval", zero)]
    pub interval: Option<Dur>,
    /// How long an answer may take, 1s at least.
    #[field(json = "Timeout", hcl = "timeout", zero)]
    pub timeout: Option<Dur>,
    /// passing, warning, critical.
    #[field(
        json = "InitialStatus",
        hcl = "initial_status",
        default = "critical (nomad)",
        values = "passing warning critical",
        zero,
        interpolated
    )]
    pub initial_status: Option<String>,
    /// ≤255.
    #[field(json = "Notes", hcl = "notes", zero, interpolated)]
    pub notes: Option<String>,
    /// consul.
    #[field(json = "TLSServerName", hcl = "tls_server_name", zero)]
    pub tls_server_name: Option<String>,
    /// The `tls_skip_verify` of this check.
    #[field(json = "TLSSkipVerify", hcl = "tls_skip_verify", default = "false", zero)]
    pub tls_skip_verify: Option<bool>,
    /// Headers of the HTTP request.
    #[field(json = "Header", hcl = "header", interpolated)]
    pub header: Option<ListMap>,
    /// Method of the HTTP request.
    #[field(json = "Method", hcl = "method", default = "GET", zero, interpolated)]
    pub method: Option<String>,
    /// The `check_restart` of this check.
    #[field(json = "CheckRestart", hcl = "check_restart")]
    pub check_restart: Option<CheckRestart>,
    /// The `grpc_service` of this check.
    #[field(json = "GRPCService", hcl = "grpc_service", zero, interpolated)]
    pub grpc_service: Option<String>,
    /// The `grpc_use_tls` of this check.
    #[field(json = "GRPCUseTLS", hcl = "grpc_use_tls", default = "false", zero)]
    pub grpc_use_tls: Option<bool>,
    /// script/grpc in group services.
    #[field(json = "TaskName", hcl = "task", zero)]
    pub task_name: Option<String>,
    /// consul.
    #[field(json = "SuccessBeforePassing", hcl = "success_before_passing", default = "0", zero)]
    pub success_before_passing: Option<i64>,
    /// consul.
    #[field(json = "FailuresBeforeCritical", hcl = "failures_before_critical", default = "0", zero)]
    pub failures_before_critical: Option<i64>,
    /// consul.
    #[field(json = "FailuresBeforeWarning", hcl = "failures_before_warning", default = "0", zero)]
    pub failures_before_warning: Option<i64>,
    /// Body of the HTTP request.
    #[field(json = "Body", hcl = "body", zero)]
    pub body: Option<String>,
    /// require_healthy, ignore_warnings, ignore.
    #[field(
        json = "OnUpdate",
        hcl = "on_update",
        default = "service's",
        values = "require_healthy ignore_warnings ignore",
        zero
    )]
    pub on_update: Option<String>,
}

/// The `check_restart` block, in service, check.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "CheckRestart")]
pub struct CheckRestart {
    /// ≥0; 0 disables.
    #[field(json = "Limit", hcl = "limit", default = "0", zero)]
    pub limit: Option<i64>,
    /// ≥0.
    #[field(json = "Grace", hcl = "grace", default = "1s")]
    pub grace: Option<Dur>,
    /// consul only.
    #[field(json = "IgnoreWarnings", hcl = "ignore_warnings", default = "false", zero)]
    pub ignore_warnings: Option<bool>,
}
