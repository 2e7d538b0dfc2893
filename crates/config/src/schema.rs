//! Every key of the agent's configuration, with its kind and what it does here. Facts from `reference/agent-config.md`.
//!
//! A key without an effect is never passed over in silence: [`Effect`] says for each whether it is read, refused or warned of,
//! and [`crate::effects`] goes by it.

use Effect::{Guard, Idle, Read};
use Kind::{Appended, Block as B, Bool, Duration, Float, Free, Int, Labelled, List, Map, Options, Size, Str};

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Str,
    Int,
    Float,
    Bool,
    /// A text such as `30s`, or integer nanoseconds.
    Duration,
    /// A text such as `100GB`, or a number.
    Size,
    /// Texts; a later file replaces the list.
    List,
    /// Texts; a later file adds to the list.
    Appended,
    /// Texts by name, as a block or as an attribute.
    Map,
    /// A map whose names are known, too: those that are not in the table do nothing.
    Options(&'static Block),
    /// A block with a name: `host_volume "mysql" { … }`.
    Labelled(&'static Block),
    Block(&'static Block),
    /// Anything: the reader of the value knows.
    Free,
}

/// What setting a key does.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// A field of [`crate::AgentConfig`], and something reads it. Of a block: its keys say.
    Read,
    /// It would protect, and nothing does yet: refused, unless it has one of these values (or is empty), which ask for nothing.
    Guard { off: &'static [&'static str], would: &'static str },
    /// Nothing comes of it: a line of warning, unless it is empty or has one of these values, which hold in any case.
    Idle { given: &'static [&'static str] },
}

/// Off, for a switch that is off where nobody sets it.
const OFF: Effect = Idle { given: &["false"] };
/// Nothing comes of it whatever it says.
const IDLE: Effect = Idle { given: &[] };
/// It asks to leave out what is left out in any case, or not to do what is not done.
const MOOT: Effect = Idle { given: &["true", "false"] };

const fn given(values: &'static [&'static str]) -> Effect {
    Idle { given: values }
}

const fn guard(would: &'static str) -> Effect {
    Guard { off: &["false"], would }
}

/// The keys of one block, blank-separated, by kind and effect.
#[derive(Debug)]
pub struct Block(pub &'static [(Kind, Effect, &'static str)]);

impl Block {
    /// The kind of `key`.
    pub fn kind(&self, key: &str) -> Option<Kind> {
        self.entry(key).map(|(kind, _)| kind)
    }

    /// Kind and effect of `key`.
    pub fn entry(&self, key: &str) -> Option<(Kind, Effect)> {
        let row = self.0.iter().find(|(_, _, keys)| keys.split_whitespace().any(|k| k == key));
        row.map(|(kind, effect, _)| (*kind, *effect))
    }

    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(|(_, _, keys)| keys.split_whitespace())
    }
}

/// What `plugin "name" { config { … } }` may hold, by driver; `None`: a program of `plugin_dir` has that name, and knows.
pub fn plugin_config(name: &str) -> Option<&'static Block> {
    match name {
        "docker" => Some(&DOCKER),
        "raw_exec" => Some(&RAW_EXEC),
        "exec" => Some(&EXEC),
        "java" => Some(&JAVA),
        "qemu" => Some(&QEMU),
        "nvidia-gpu" => Some(&NVIDIA),
        _ => None,
    }
}

/// A whole file.
pub static AGENT: Block = Block(&[
    (Str, Read, "region datacenter name data_dir log_level log_file bind_addr plugin_dir"),
    (Str, IDLE, "syslog_facility"),
    (Duration, Read, "log_rotate_duration"),
    (Int, Read, "log_rotate_bytes log_rotate_max_files"),
    (Bool, Read, "log_json log_include_location"),
    (Bool, Read, "leave_on_interrupt leave_on_terminate"),
    (Bool, OFF, "enable_debug enable_syslog"),
    (Bool, MOOT, "disable_update_check disable_anonymous_signature"),
    (B(&PORTS), Read, "ports"),
    (B(&ADDRESSES), Read, "addresses advertise"),
    (B(&CLIENT), Read, "client"),
    (B(&SERVER), Read, "server"),
    (B(&RPC), IDLE, "rpc"),
    (B(&ACL), Read, "acl"),
    (B(&TELEMETRY), Read, "telemetry"),
    (B(&UI), Read, "ui"),
    (B(&TLS), Read, "tls"),
    (B(&LIMITS), Read, "limits"),
    (B(&AUTOPILOT), Read, "autopilot"),
    (B(&CONSUL), IDLE, "consul"),
    (B(&VAULT), IDLE, "vault"),
    (B(&EVENTLOG), IDLE, "eventlog"),
    (B(&REPORTING), IDLE, "reporting"),
    (Map, Read, "http_api_response_headers"),
    // Not the field's: names, beside its own, that requests to this agent may be sent to.
    (List, Read, "http_allowed_hosts"),
    (Labelled(&PLUGIN), Read, "plugin"),
    (Free, guard("enforce policies on jobs"), "sentinel"),
    (Free, guard("write who did what to an audit log"), "audit"),
    (Free, IDLE, "keyring"),
]);

static PORTS: Block = Block(&[(Int, Read, "http rpc serf")]);
static ADDRESSES: Block = Block(&[(Str, Read, "http rpc serf")]);

static SERVER: Block = Block(&[
    (Bool, Read, "enabled"),
    (Bool, OFF, "rejoin_after_leave non_voting_server non_production"),
    (Bool, given(&["true"]), "enable_event_broker"),
    (Int, Read, "bootstrap_expect num_schedulers event_buffer_size job_max_count retry_max"),
    (Int, given(&["1"]), "protocol_version raft_multiplier plan_apply_pipeline"),
    (Int, given(&["3"]), "raft_protocol"),
    (Int, given(&["50"]), "job_default_priority"),
    (Int, given(&["100"]), "job_max_priority"),
    (Int, given(&["6"]), "job_tracked_versions"),
    (Int, Read, "raft_snapshot_threshold raft_trailing_logs"),
    (Float, Read, "max_heartbeats_per_second"),
    (Float, IDLE, "deploy_query_rate_limit"),
    (Str, Read, "data_dir encrypt"),
    (Str, IDLE, "authoritative_region redundancy_zone upgrade_version license_path oidc_issuer log_file"),
    (
        Duration,
        Read,
        "node_gc_threshold job_gc_threshold eval_gc_threshold batch_eval_gc_threshold deployment_gc_threshold \
         csi_plugin_gc_threshold csi_volume_claim_gc_interval heartbeat_grace min_heartbeat_ttl failover_heartbeat_ttl retry_interval",
    ),
    (
        Duration,
        IDLE,
        "job_gc_interval csi_volume_claim_gc_threshold \
         acl_token_gc_threshold root_key_gc_interval root_key_gc_threshold root_key_rotation_threshold \
         raft_snapshot_interval start_timeout",
    ),
    (Size, Read, "job_max_source_size"),
    (List, IDLE, "enabled_schedulers"),
    (Appended, Read, "start_join retry_join"),
    (B(&SERVER_JOIN), Read, "server_join"),
    (B(&CLIENT_INTRODUCTION), Read, "client_introduction"),
    (B(&SCHEDULER_CONFIG), IDLE, "default_scheduler_config"),
    (B(&PLAN_REJECTION), IDLE, "plan_rejection_tracker"),
    (B(&SEARCH), IDLE, "search"),
    (B(&RAFT_LOGSTORE), IDLE, "raft_logstore"),
    (B(&BOLTDB), IDLE, "raft_boltdb"),
]);

static SERVER_JOIN: Block =
    Block(&[(Appended, Read, "start_join retry_join"), (Int, Read, "retry_max"), (Duration, Read, "retry_interval")]);
static CLIENT_JOIN: Block =
    Block(&[(Appended, Read, "start_join retry_join"), (Int, Read, "retry_max"), (Duration, Read, "retry_interval")]);
static CLIENT_INTRODUCTION: Block = Block(&[
    (Str, Guard { off: &["none", "warn"], would: "turn away clients that nobody introduced" }, "enforcement"),
    (Duration, IDLE, "default_identity_ttl max_identity_ttl"),
]);
static SEARCH: Block =
    Block(&[(Bool, IDLE, "fuzzy_enabled"), (Int, IDLE, "limit_query limit_results min_term_length")]);
static PLAN_REJECTION: Block =
    Block(&[(Bool, IDLE, "enabled"), (Int, IDLE, "node_threshold"), (Duration, IDLE, "node_window")]);
static RAFT_LOGSTORE: Block = Block(&[
    (Str, IDLE, "backend"),
    (Bool, IDLE, "disable_log_cache"),
    (B(&BOLTDB), IDLE, "boltdb"),
    (B(&WAL), IDLE, "wal"),
    (B(&VERIFICATION), IDLE, "verification"),
]);
static BOLTDB: Block = Block(&[(Bool, IDLE, "no_freelist_sync")]);
static WAL: Block = Block(&[(Int, IDLE, "segment_size_mb")]);
static VERIFICATION: Block = Block(&[(Bool, IDLE, "enabled"), (Duration, IDLE, "interval")]);
static SCHEDULER_CONFIG: Block = Block(&[
    (Str, IDLE, "scheduler_algorithm"),
    (Bool, IDLE, "memory_oversubscription_enabled reject_job_registration pause_eval_broker"),
    (Int, IDLE, "node_limit_for_feasibility_checks"),
    (B(&PREEMPTION), IDLE, "preemption_config"),
]);
static PREEMPTION: Block = Block(&[(
    Bool,
    IDLE,
    "system_scheduler_enabled service_scheduler_enabled batch_scheduler_enabled sysbatch_scheduler_enabled",
)]);

static CLIENT: Block = Block(&[
    (
        Bool,
        Read,
        "enabled disable_remote_exec default_ineligible bridge_network_hairpin_mode \
         bind_wildcard_default_host_network gc_volumes_on_node_gc",
    ),
    (Bool, given(&["true"]), "no_host_uuid nomad_service_discovery"),
    (Bool, MOOT, "cpu_disable_dmidecode"),
    (
        Str,
        Read,
        "state_dir alloc_dir host_volumes_dir host_volume_plugin_dir node_class node_pool network_interface preferred_address_family reservable_cores \
         cgroup_parent bridge_network_name bridge_network_subnet bridge_network_subnet_ipv6 cni_path cni_config_dir",
    ),
    (Str, IDLE, "alloc_mounts_dir common_plugin_dir log_file"),
    (
        Int,
        Read,
        "network_speed cpu_total_compute memory_total_mb disk_total_mb disk_free_mb max_dynamic_port \
         min_dynamic_port gc_parallel_destroys gc_max_allocs gc_keep_logs_mb node_max_allocs",
    ),
    (Int, IDLE, "client_max_port client_min_port"),
    (Float, Read, "gc_disk_usage_threshold gc_inode_usage_threshold"),
    (Duration, Read, "max_kill_timeout gc_interval gc_keep_logs_for"),
    (Appended, Read, "servers"),
    (Map, Read, "meta"),
    (Map, Read, "chroot_env"),
    (Options(&OPTIONS), Read, "options"),
    (B(&RESERVED), Read, "reserved"),
    (B(&TEMPLATE), Read, "template"),
    (B(&CLIENT_JOIN), Read, "server_join"),
    (B(&DNS), Read, "dns"),
    (B(&ARTIFACT), Read, "artifact"),
    (B(&DRAIN), Read, "drain_on_shutdown"),
    (B(&USERS), IDLE, "users"),
    (Labelled(&HOST_VOLUME), Read, "host_volume"),
    (Labelled(&HOST_NETWORK), Read, "host_network"),
    (Labelled(&FINGERPRINT), Read, "fingerprint"),
]);

/// Names of the older `client.options`.
static OPTIONS: Block = Block(&[
    (
        Str,
        Read,
        "driver.allowlist driver.whitelist driver.denylist driver.blacklist driver.raw_exec.enable env.denylist \
         user.denylist user.blacklist user.checked_drivers docker.volumes.enabled docker.privileged.enabled",
    ),
    (Str, MOOT, "test.tighten_network_timeouts"),
]);

/// Ours: where a node answers names of services.
static DNS: Block = Block(&[(Bool, Read, "enabled"), (Int, Read, "port")]);
static RESERVED: Block = Block(&[(Int, Read, "cpu memory disk"), (Str, Read, "reserved_ports cores")]);
static HOST_VOLUME: Block = Block(&[(Str, Read, "path"), (Bool, Read, "read_only")]);
static HOST_NETWORK: Block = Block(&[(Str, Read, "cidr interface reserved_ports")]);
static FINGERPRINT: Block =
    Block(&[(Duration, Read, "retry_interval"), (Int, Read, "retry_attempts"), (Bool, Read, "exit_on_failure")]);
static ARTIFACT: Block = Block(&[
    (Duration, Read, "http_read_timeout git_timeout s3_timeout"),
    (Duration, IDLE, "gcs_timeout hg_timeout"),
    (Size, Read, "http_max_size decompression_size_limit"),
    (Int, Read, "decompression_file_count_limit"),
    (Bool, Read, "disable_artifact_inspection disable_filesystem_isolation"),
    (List, Read, "filesystem_isolation_extra_paths"),
    (Str, Read, "set_environment_variables"),
]);
static DRAIN: Block = Block(&[(Duration, Read, "deadline"), (Bool, Read, "ignore_system_jobs force")]);
static USERS: Block = Block(&[(Int, IDLE, "dynamic_user_min dynamic_user_max")]);
static TEMPLATE: Block = Block(&[
    (List, Read, "function_denylist function_blacklist"),
    (Bool, Read, "disable_file_sandbox"),
    (Bool, OFF, "use_client_consul_token"),
    (Duration, Read, "block_query_wait"),
    (Duration, IDLE, "max_stale vault_default_lease_duration"),
    (B(&WAIT), Read, "wait wait_bounds"),
    (B(&RETRY), IDLE, "consul_retry vault_retry nomad_retry"),
]);
static WAIT: Block = Block(&[(Duration, Read, "min max")]);
static RETRY: Block = Block(&[(Int, IDLE, "attempts"), (Duration, IDLE, "backoff max_backoff")]);

static RPC: Block = Block(&[
    (Int, IDLE, "accept_backlog"),
    (
        Duration,
        IDLE,
        "keep_alive_interval connection_write_timeout stream_open_timeout stream_close_timeout dial_timeout",
    ),
]);
static ACL: Block = Block(&[
    (Bool, guard("let in only who has a token"), "enabled"),
    (Str, IDLE, "replication_token"),
    (Duration, IDLE, "token_ttl policy_ttl role_ttl token_min_expiration_ttl token_max_expiration_ttl"),
]);
static TLS: Block = Block(&[
    (Bool, Read, "http rpc verify_server_hostname verify_https_client rpc_upgrade_mode"),
    (Str, Read, "ca_file cert_file key_file tls_cipher_suites tls_min_version"),
    // Older files still say it; it has had no effect for long.
    (Bool, MOOT, "tls_prefer_server_cipher_suites"),
]);
static TELEMETRY: Block = Block(&[
    (Duration, IDLE, "in_memory_collection_interval in_memory_retention_period collection_interval"),
    (Str, IDLE, "statsite_address statsd_address datadog_address"),
    (List, IDLE, "datadog_tags allowed_metadata_keys_in_metrics prefix_filter"),
    (Bool, given(&["true"]), "prometheus_metrics filter_default"),
    (
        Bool,
        OFF,
        "disable_hostname use_node_name publish_allocation_metrics publish_node_metrics \
         include_alloc_metadata_in_metrics",
    ),
    (
        Bool,
        MOOT,
        "disable_dispatched_job_summary_metrics disable_quota_utilization_metrics disable_rpc_rate_metrics_labels \
         disable_allocation_hook_metrics",
    ),
]);
/// The log rotation keys stand here in older guides; they mean the same as at top level.
static LIMITS: Block = Block(&[
    (Duration, Read, "https_handshake_timeout rpc_handshake_timeout"),
    (Int, Read, "http_max_conns_per_client rpc_max_conns_per_client"),
    (Int, Read, "log_rotate_bytes log_rotate_max_files"),
    (Duration, Read, "log_rotate_duration"),
]);
static AUTOPILOT: Block = Block(&[
    (Bool, Read, "cleanup_dead_servers"),
    (Bool, IDLE, "enable_redundancy_zones disable_upgrade_migration enable_custom_upgrades"),
    (Duration, Read, "server_stabilization_time last_contact_threshold"),
    (Int, Read, "max_trailing_logs min_quorum"),
]);
static UI: Block = Block(&[
    (Bool, Read, "enabled"),
    (Bool, IDLE, "show_cli_hints"),
    (B(&CSP), IDLE, "content_security_policy"),
    (B(&UI_URL), IDLE, "consul vault"),
    (B(&UI_LABEL), IDLE, "label"),
]);
static CSP: Block =
    Block(&[(List, IDLE, "connect_src default_src form_action frame_ancestors img_src script_src style_src")]);
static UI_URL: Block = Block(&[(Str, IDLE, "ui_url")]);
static UI_LABEL: Block = Block(&[(Str, IDLE, "text background_color text_color")]);
static PLUGIN: Block = Block(&[(List, Read, "args"), (Free, Read, "config")]);
/// The block of a driver that this program has itself: there is no program to give arguments to.
pub(crate) static OWN_PLUGIN: Block = Block(&[(List, IDLE, "args"), (Free, Read, "config")]);
/// Devices, not a driver.
static NVIDIA: Block =
    Block(&[(Bool, Read, "enabled"), (List, Read, "ignored_gpu_ids"), (Duration, IDLE, "fingerprint_period")]);
static DOCKER: Block = Block(&[
    (Str, Read, "endpoint"),
    (Duration, Read, "image_pull_timeout pull_activity_timeout"),
    (B(&DOCKER_AUTH), Read, "auth"),
    (B(&DOCKER_TLS), Read, "tls"),
    (List, Read, "extra_labels allow_caps allow_runtimes allow_devices allow_security_opts"),
    (B(&DOCKER_LOGGING), Read, "logging"),
    (B(&DOCKER_GC), Read, "gc"),
    (B(&DOCKER_VOLUMES), Read, "volumes"),
    (B(&DOCKER_MODES), Read, "allowed_modes"),
    (Bool, Read, "allow_privileged disable_log_collection"),
    (Int, Read, "container_exists_attempts pids_limit oom_score_adj"),
    (Str, given(&["nvidia"]), "nvidia_runtime"),
    (Str, IDLE, "infra_image"),
    (Duration, IDLE, "infra_image_pull_timeout"),
    (Bool, OFF, "windows_allow_insecure_container_admin"),
]);
static DOCKER_AUTH: Block = Block(&[(Str, Read, "config helper")]);
static DOCKER_TLS: Block = Block(&[(Str, Read, "cert key ca")]);
static DOCKER_LOGGING: Block = Block(&[(Str, Read, "type"), (Free, Read, "config")]);
static DOCKER_GC: Block = Block(&[
    (Bool, Read, "image container"),
    (Duration, Read, "image_delay"),
    (B(&DOCKER_DANGLING), Read, "dangling_containers"),
]);
static DOCKER_DANGLING: Block = Block(&[(Bool, Read, "enabled dry_run"), (Duration, Read, "period creation_grace")]);
static DOCKER_VOLUMES: Block = Block(&[(Bool, Read, "enabled"), (Str, Read, "selinuxlabel selinux_label")]);
static DOCKER_MODES: Block = Block(&[(List, Read, "pid ipc userns uts")]);
static RAW_EXEC: Block = Block(&[
    (Bool, Read, "enabled"),
    (List, Read, "denied_envvars"),
    (Str, Read, "denied_host_uids denied_host_gids"),
    (Bool, OFF, "no_cgroups"),
]);
static EXEC: Block = Block(&[
    (Bool, Read, "no_pivot_root"),
    (List, Read, "allow_caps"),
    (Str, Read, "default_pid_mode default_ipc_mode denied_host_uids denied_host_gids"),
]);
static JAVA: Block = Block(&[(List, Read, "allow_caps"), (Str, Read, "default_pid_mode default_ipc_mode")]);
static QEMU: Block = Block(&[(List, Read, "image_paths args_allowlist emulators_allowlist")]);
static EVENTLOG: Block = Block(&[(Bool, IDLE, "enabled"), (Str, IDLE, "level")]);
static REPORTING: Block = Block(&[
    (Free, IDLE, "license"),
    (Str, IDLE, "address"),
    (Duration, IDLE, "export_interval snapshot_retention_time"),
    (Bool, IDLE, "disable_product_usage_reporting"),
]);
static CONSUL: Block = Block(&[
    (
        Str,
        IDLE,
        "name server_service_name server_http_check_name server_serf_check_name server_rpc_check_name \
         client_service_name client_http_check_name address grpc_address token auth grpc_ca_file ca_file cert_file \
         key_file namespace service_auth_method task_auth_method",
    ),
    (
        Int,
        IDLE,
        "server_failures_before_critical server_failures_before_warning client_failures_before_critical \
         client_failures_before_warning",
    ),
    (
        Bool,
        IDLE,
        "auto_advertise checks_use_advertise ssl share_ssl verify_ssl server_auto_join client_auto_join \
         allow_unauthenticated",
    ),
    (List, IDLE, "tags"),
    (Duration, IDLE, "timeout"),
    (B(&IDENTITY), IDLE, "service_identity task_identity"),
]);
static VAULT: Block = Block(&[
    (
        Str,
        IDLE,
        "name create_from_role namespace address jwt_auth_backend_path ca_file ca_path cert_file key_file \
         tls_server_name token task_token_ttl",
    ),
    (Bool, IDLE, "enabled tls_skip_verify allow_unauthenticated"),
    (B(&IDENTITY), IDLE, "default_identity"),
]);
static IDENTITY: Block = Block(&[
    (List, IDLE, "aud"),
    (Bool, IDLE, "env file"),
    (Str, IDLE, "filepath"),
    (Duration, IDLE, "ttl"),
    (Map, IDLE, "extra_claims"),
]);

#[cfg(test)]
mod tests {
    use super::*;

    /// No block names a key twice.
    fn unique(block: &'static Block, path: &str) {
        let mut keys: Vec<&str> = block.keys().collect();
        keys.sort_unstable();
        let all = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), all, "{path}");
        for (kind, _, keys) in block.0 {
            if let B(inner) | Labelled(inner) | Options(inner) = kind {
                unique(inner, &format!("{path}.{keys}"));
            }
        }
    }

    #[test]
    fn keys_are_unique() {
        unique(&AGENT, "agent");
        assert!(matches!(CLIENT.kind("meta"), Some(Map)));
        assert!(CLIENT.kind("metaa").is_none());
    }
}
