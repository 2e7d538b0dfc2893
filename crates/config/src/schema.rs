//! Every key of the agent's configuration, with its kind. Facts from `reference/agent-config.md`.

use Kind::{Appended, Block as B, Bool, Duration, Float, Free, Int, Labelled, List, Map, Size, Str};

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
    /// A block with a name: `host_volume "mysql" { … }`.
    Labelled(&'static Block),
    Block(&'static Block),
    /// Anything: the reader of the value knows.
    Free,
}

/// The keys of one block, blank-separated, by kind.
#[derive(Debug)]
pub struct Block(pub &'static [(Kind, &'static str)]);

impl Block {
    /// The kind of `key`.
    pub fn kind(&self, key: &str) -> Option<Kind> {
        self.0.iter().find(|(_, keys)| keys.split_whitespace().any(|k| k == key)).map(|(kind, _)| *kind)
    }

    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(|(_, keys)| keys.split_whitespace())
    }
}

/// A whole file.
pub static AGENT: Block = Block(&[
    (
        Str,
        "region datacenter name data_dir plugin_dir log_level log_file log_rotate_duration bind_addr syslog_facility",
    ),
    (Int, "log_rotate_bytes log_rotate_max_files"),
    (
        Bool,
        "log_json log_include_location enable_debug leave_on_interrupt leave_on_terminate enable_syslog \
         disable_update_check disable_anonymous_signature",
    ),
    (B(&PORTS), "ports"),
    (B(&ADDRESSES), "addresses advertise"),
    (B(&CLIENT), "client"),
    (B(&SERVER), "server"),
    (B(&RPC), "rpc"),
    (B(&ACL), "acl"),
    (B(&TELEMETRY), "telemetry"),
    (B(&UI), "ui"),
    (B(&TLS), "tls"),
    (B(&LIMITS), "limits"),
    (B(&AUTOPILOT), "autopilot"),
    (B(&CONSUL), "consul"),
    (B(&VAULT), "vault"),
    (B(&EVENTLOG), "eventlog"),
    (B(&REPORTING), "reporting"),
    (Map, "http_api_response_headers"),
    (Labelled(&PLUGIN), "plugin"),
    (Free, "sentinel audit keyring"),
]);

static PORTS: Block = Block(&[(Int, "http rpc serf")]);
static ADDRESSES: Block = Block(&[(Str, "http rpc serf")]);

static SERVER: Block = Block(&[
    (Bool, "enabled rejoin_after_leave non_voting_server enable_event_broker non_production"),
    (
        Int,
        "bootstrap_expect protocol_version raft_protocol raft_multiplier num_schedulers retry_max plan_apply_pipeline \
         event_buffer_size raft_snapshot_threshold raft_trailing_logs job_default_priority job_max_priority \
         job_max_count job_tracked_versions",
    ),
    (Float, "max_heartbeats_per_second deploy_query_rate_limit"),
    (Str, "authoritative_region data_dir redundancy_zone upgrade_version encrypt license_path oidc_issuer log_file"),
    (
        Duration,
        "node_gc_threshold job_gc_interval job_gc_threshold eval_gc_threshold batch_eval_gc_threshold \
         deployment_gc_threshold csi_volume_claim_gc_interval csi_volume_claim_gc_threshold csi_plugin_gc_threshold \
         acl_token_gc_threshold root_key_gc_interval root_key_gc_threshold root_key_rotation_threshold heartbeat_grace \
         min_heartbeat_ttl failover_heartbeat_ttl retry_interval raft_snapshot_interval start_timeout",
    ),
    (Size, "job_max_source_size"),
    (List, "enabled_schedulers"),
    (Appended, "start_join retry_join"),
    (B(&SERVER_JOIN), "server_join"),
    (B(&CLIENT_INTRODUCTION), "client_introduction"),
    (B(&SCHEDULER_CONFIG), "default_scheduler_config"),
    (B(&PLAN_REJECTION), "plan_rejection_tracker"),
    (B(&SEARCH), "search"),
    (B(&RAFT_LOGSTORE), "raft_logstore"),
    (B(&BOLTDB), "raft_boltdb"),
]);

static SERVER_JOIN: Block =
    Block(&[(Appended, "start_join retry_join"), (Int, "retry_max"), (Duration, "retry_interval")]);
static CLIENT_INTRODUCTION: Block = Block(&[(Str, "enforcement"), (Duration, "default_identity_ttl max_identity_ttl")]);
static SEARCH: Block = Block(&[(Bool, "fuzzy_enabled"), (Int, "limit_query limit_results min_term_length")]);
static PLAN_REJECTION: Block = Block(&[(Bool, "enabled"), (Int, "node_threshold"), (Duration, "node_window")]);
static RAFT_LOGSTORE: Block = Block(&[
    (Str, "backend"),
    (Bool, "disable_log_cache"),
    (B(&BOLTDB), "boltdb"),
    (B(&WAL), "wal"),
    (B(&VERIFICATION), "verification"),
]);
static BOLTDB: Block = Block(&[(Bool, "no_freelist_sync")]);
static WAL: Block = Block(&[(Int, "segment_size_mb")]);
static VERIFICATION: Block = Block(&[(Bool, "enabled"), (Duration, "interval")]);
static SCHEDULER_CONFIG: Block = Block(&[
    (Str, "scheduler_algorithm"),
    (Bool, "memory_oversubscription_enabled reject_job_registration pause_eval_broker"),
    (Int, "node_limit_for_feasibility_checks"),
    (B(&PREEMPTION), "preemption_config"),
]);
static PREEMPTION: Block = Block(&[(
    Bool,
    "system_scheduler_enabled service_scheduler_enabled batch_scheduler_enabled sysbatch_scheduler_enabled",
)]);

static CLIENT: Block = Block(&[
    (
        Bool,
        "enabled cpu_disable_dmidecode gc_volumes_on_node_gc no_host_uuid disable_remote_exec \
         bridge_network_hairpin_mode bind_wildcard_default_host_network nomad_service_discovery default_ineligible",
    ),
    (
        Str,
        "state_dir alloc_dir alloc_mounts_dir host_volumes_dir host_volume_plugin_dir common_plugin_dir node_class \
         node_pool network_interface preferred_address_family reservable_cores cni_path cni_config_dir \
         bridge_network_name bridge_network_subnet bridge_network_subnet_ipv6 cgroup_parent log_file",
    ),
    (
        Int,
        "network_speed cpu_total_compute memory_total_mb disk_total_mb disk_free_mb client_max_port client_min_port \
         max_dynamic_port min_dynamic_port gc_parallel_destroys gc_max_allocs node_max_allocs",
    ),
    (Float, "gc_disk_usage_threshold gc_inode_usage_threshold"),
    (Duration, "max_kill_timeout gc_interval"),
    (Appended, "servers"),
    (Map, "options meta chroot_env"),
    (B(&RESERVED), "reserved"),
    (B(&TEMPLATE), "template"),
    (B(&SERVER_JOIN), "server_join"),
    (B(&ARTIFACT), "artifact"),
    (B(&DRAIN), "drain_on_shutdown"),
    (B(&USERS), "users"),
    (Labelled(&HOST_VOLUME), "host_volume"),
    (Labelled(&HOST_NETWORK), "host_network"),
    (Labelled(&FINGERPRINT), "fingerprint"),
]);

static RESERVED: Block = Block(&[(Int, "cpu memory disk"), (Str, "reserved_ports cores")]);
static HOST_VOLUME: Block = Block(&[(Str, "path"), (Bool, "read_only")]);
static HOST_NETWORK: Block = Block(&[(Str, "cidr interface reserved_ports")]);
static FINGERPRINT: Block = Block(&[(Duration, "retry_interval"), (Int, "retry_attempts"), (Bool, "exit_on_failure")]);
static ARTIFACT: Block = Block(&[
    (Duration, "http_read_timeout gcs_timeout git_timeout hg_timeout s3_timeout"),
    (Size, "http_max_size decompression_size_limit"),
    (Int, "decompression_file_count_limit"),
    (Bool, "disable_artifact_inspection disable_filesystem_isolation"),
    (List, "filesystem_isolation_extra_paths"),
    (Str, "set_environment_variables"),
]);
static DRAIN: Block = Block(&[(Duration, "deadline"), (Bool, "ignore_system_jobs force")]);
static USERS: Block = Block(&[(Int, "dynamic_user_min dynamic_user_max")]);
static TEMPLATE: Block = Block(&[
    (List, "function_denylist function_blacklist"),
    (Bool, "disable_file_sandbox use_client_consul_token"),
    (Duration, "max_stale block_query_wait vault_default_lease_duration"),
    (B(&WAIT), "wait wait_bounds"),
    (B(&RETRY), "consul_retry vault_retry nomad_retry"),
]);
static WAIT: Block = Block(&[(Duration, "min max")]);
static RETRY: Block = Block(&[(Int, "attempts"), (Duration, "backoff max_backoff")]);

static RPC: Block = Block(&[
    (Int, "accept_backlog"),
    (Duration, "keep_alive_interval connection_write_timeout stream_open_timeout stream_close_timeout dial_timeout"),
]);
static ACL: Block = Block(&[
    (Bool, "enabled"),
    (Str, "replication_token"),
    (Duration, "token_ttl policy_ttl role_ttl token_min_expiration_ttl token_max_expiration_ttl"),
]);
static TLS: Block = Block(&[
    (Bool, "http rpc verify_server_hostname rpc_upgrade_mode verify_https_client"),
    (Str, "ca_file cert_file key_file tls_cipher_suites tls_min_version"),
    // Older files still say it; it has had no effect for long.
    (Bool, "tls_prefer_server_cipher_suites"),
]);
static TELEMETRY: Block = Block(&[
    (Duration, "in_memory_collection_interval in_memory_retention_period collection_interval"),
    (Str, "statsite_address statsd_address datadog_address"),
    (List, "datadog_tags allowed_metadata_keys_in_metrics prefix_filter"),
    (
        Bool,
        "prometheus_metrics disable_hostname use_node_name publish_allocation_metrics publish_node_metrics \
         include_alloc_metadata_in_metrics filter_default disable_dispatched_job_summary_metrics \
         disable_quota_utilization_metrics disable_rpc_rate_metrics_labels disable_allocation_hook_metrics",
    ),
]);
/// The log rotation keys stand here in older guides; they mean the same as at top level.
static LIMITS: Block = Block(&[
    (Duration, "https_handshake_timeout rpc_handshake_timeout"),
    (Int, "http_max_conns_per_client rpc_max_conns_per_client log_rotate_bytes log_rotate_max_files"),
    (Str, "log_rotate_duration"),
]);
static AUTOPILOT: Block = Block(&[
    (Bool, "cleanup_dead_servers enable_redundancy_zones disable_upgrade_migration enable_custom_upgrades"),
    (Duration, "server_stabilization_time last_contact_threshold"),
    (Int, "max_trailing_logs min_quorum"),
]);
static UI: Block = Block(&[
    (Bool, "enabled show_cli_hints"),
    (B(&CSP), "content_security_policy"),
    (B(&UI_URL), "consul vault"),
    (B(&UI_LABEL), "label"),
]);
static CSP: Block =
    Block(&[(List, "connect_src default_src form_action frame_ancestors img_src script_src style_src")]);
static UI_URL: Block = Block(&[(Str, "ui_url")]);
static UI_LABEL: Block = Block(&[(Str, "text background_color text_color")]);
static PLUGIN: Block = Block(&[(List, "args"), (Free, "config")]);
static EVENTLOG: Block = Block(&[(Bool, "enabled"), (Str, "level")]);
static REPORTING: Block = Block(&[
    (Free, "license"),
    (Str, "address"),
    (Duration, "export_interval snapshot_retention_time"),
    (Bool, "disable_product_usage_reporting"),
]);
static CONSUL: Block = Block(&[
    (
        Str,
        "name server_service_name server_http_check_name server_serf_check_name server_rpc_check_name \
         client_service_name client_http_check_name address grpc_address token auth grpc_ca_file ca_file cert_file \
         key_file namespace service_auth_method task_auth_method",
    ),
    (
        Int,
        "server_failures_before_critical server_failures_before_warning client_failures_before_critical \
         client_failures_before_warning",
    ),
    (
        Bool,
        "auto_advertise checks_use_advertise ssl share_ssl verify_ssl server_auto_join client_auto_join \
         allow_unauthenticated",
    ),
    (List, "tags"),
    (Duration, "timeout"),
    (B(&IDENTITY), "service_identity task_identity"),
]);
static VAULT: Block = Block(&[
    (
        Str,
        "name create_from_role namespace address jwt_auth_backend_path ca_file ca_path cert_file key_file \
         tls_server_name token task_token_ttl",
    ),
    (Bool, "enabled tls_skip_verify allow_unauthenticated"),
    (B(&IDENTITY), "default_identity"),
]);
static IDENTITY: Block =
    Block(&[(List, "aud"), (Bool, "env file"), (Str, "filepath"), (Duration, "ttl"), (Map, "extra_claims")]);

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
        for (kind, keys) in block.0 {
            if let B(inner) | Labelled(inner) = kind {
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
