//! Consul Connect: read, kept and shown as written; Tarpan runs no mesh itself.

use std::collections::BTreeMap;

use tarpan_model_derive::Block;

use super::{LogConfig, Resources, VolumeMount, WorkloadIdentity};
use crate::duration::Dur;
use crate::schema::{Free, TextMap};

/// The `connect` block, in service.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulConnect")]
pub struct ConsulConnect {
    /// The `native` of this connect.
    #[field(json = "Native", hcl = "native", default = "false", zero)]
    pub native: Option<bool>,
    /// The `gateway` of this connect.
    #[field(json = "Gateway", hcl = "gateway")]
    pub gateway: Option<ConsulGateway>,
    /// The `sidecar_service` of this connect.
    #[field(json = "SidecarService", hcl = "sidecar_service")]
    pub sidecar_service: Option<ConsulSidecarService>,
    /// The `sidecar_task` of this connect.
    #[field(json = "SidecarTask", hcl = "sidecar_task")]
    pub sidecar_task: Option<SidecarTask>,
}

/// The `sidecar_service` block, in connect.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulSidecarService")]
pub struct ConsulSidecarService {
    /// The `tags` of this sidecar_service.
    #[field(json = "Tags", hcl = "tags", interpolated)]
    pub tags: Option<Vec<String>>,
    /// The `port` of this sidecar_service.
    #[field(json = "Port", hcl = "port", zero, interpolated)]
    pub port: Option<String>,
    /// The `proxy` of this sidecar_service.
    #[field(json = "Proxy", hcl = "proxy")]
    pub proxy: Option<ConsulProxy>,
    /// The `disable_default_tcp_check` of this sidecar_service.
    #[field(json = "DisableDefaultTCPCheck", hcl = "disable_default_tcp_check", default = "false", zero)]
    pub disable_default_tcp_check: Option<bool>,
    /// The `meta` of this sidecar_service.
    #[field(json = "Meta", hcl = "meta")]
    pub meta: Option<TextMap>,
}

/// The `sidecar_task` block, in connect.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "SidecarTask")]
pub struct SidecarTask {
    /// The `name` of this sidecar_task.
    #[field(json = "Name", hcl = "name", default = "connect-proxy-<svc>", zero)]
    pub name: Option<String>,
    /// The `driver` of this sidecar_task.
    #[field(json = "Driver", hcl = "driver", default = "docker", zero)]
    pub driver: Option<String>,
    /// The `user` of this sidecar_task.
    #[field(json = "User", hcl = "user", zero)]
    pub user: Option<String>,
    /// The `config` of this sidecar_task.
    #[field(json = "Config", hcl = "config", default = "image ${meta.connect.sidecar_image} + args")]
    pub config: Option<Free>,
    /// The `env` of this sidecar_task.
    #[field(json = "Env", hcl = "env")]
    pub env: Option<TextMap>,
    /// The `resources` of this sidecar_task.
    #[field(json = "Resources", hcl = "resources", default = "cpu 250, memory 128")]
    pub resources: Option<Resources>,
    /// The `meta` of this sidecar_task.
    #[field(json = "Meta", hcl = "meta")]
    pub meta: Option<TextMap>,
    /// The `kill_timeout` of this sidecar_task.
    #[field(json = "KillTimeout", hcl = "kill_timeout", default = "5s")]
    pub kill_timeout: Option<Dur>,
    /// The `logs` of this sidecar_task.
    #[field(json = "LogConfig", hcl = "logs", default = "2 × 2 MB")]
    pub log_config: Option<LogConfig>,
    /// The `shutdown_delay` of this sidecar_task.
    #[field(json = "ShutdownDelay", hcl = "shutdown_delay", default = "5s")]
    pub shutdown_delay: Option<Dur>,
    /// The `kill_signal` of this sidecar_task.
    #[field(json = "KillSignal", hcl = "kill_signal", zero)]
    pub kill_signal: Option<String>,
    /// The `volume_mount` of this sidecar_task.
    #[field(json = "VolumeMounts", hcl = "volume_mount")]
    pub volume_mounts: Option<Vec<VolumeMount>>,
    /// The `identity` of this sidecar_task.
    #[field(json = "Identities", hcl = "identity")]
    pub identities: Option<Vec<WorkloadIdentity>>,
}

/// The `proxy` block, in sidecar_service.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulProxy")]
pub struct ConsulProxy {
    /// The `local_service_address` of this proxy.
    #[field(json = "LocalServiceAddress", hcl = "local_service_address", zero, interpolated)]
    pub local_service_address: Option<String>,
    /// The `local_service_port` of this proxy.
    #[field(json = "LocalServicePort", hcl = "local_service_port", default = "service port", zero)]
    pub local_service_port: Option<i64>,
    /// The `expose` of this proxy.
    #[field(json = "Expose", hcl = "expose")]
    pub expose: Option<ConsulExposeConfig>,
    /// The `upstreams` of this proxy.
    #[field(json = "Upstreams", hcl = "upstreams")]
    pub upstreams: Option<Vec<ConsulUpstream>>,
    /// The `transparent_proxy` of this proxy.
    #[field(json = "TransparentProxy", hcl = "transparent_proxy")]
    pub transparent_proxy: Option<ConsulTransparentProxy>,
    /// The `config` of this proxy.
    #[field(json = "Config", hcl = "config", interpolated)]
    pub config: Option<Free>,
    /// Old name of Expose.
    #[field(json = "ExposeConfig")]
    pub expose_config: Option<ConsulExposeConfig>,
}

/// The `expose` block, in proxy.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulExposeConfig")]
pub struct ConsulExposeConfig {
    /// The `path` of this expose.
    #[field(json = "Paths", hcl = "path")]
    pub paths: Option<Vec<ConsulExposePath>>,
    /// Old name of Paths.
    #[field(json = "Path")]
    pub path: Option<Vec<ConsulExposePath>>,
}

/// The `path` block, in expose.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulExposePath")]
pub struct ConsulExposePath {
    /// The `path` of this path.
    #[field(json = "Path", hcl = "path", zero)]
    pub path: Option<String>,
    /// The `protocol` of this path.
    #[field(json = "Protocol", hcl = "protocol", zero)]
    pub protocol: Option<String>,
    /// The `local_path_port` of this path.
    #[field(json = "LocalPathPort", hcl = "local_path_port", zero)]
    pub local_path_port: Option<i64>,
    /// The `listener_port` of this path.
    #[field(json = "ListenerPort", hcl = "listener_port", zero)]
    pub listener_port: Option<String>,
}

/// The `upstreams` block, in proxy.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulUpstream")]
pub struct ConsulUpstream {
    /// The `destination_name` of this upstreams.
    #[field(json = "DestinationName", hcl = "destination_name", zero, interpolated)]
    pub destination_name: Option<String>,
    /// The `destination_namespace` of this upstreams.
    #[field(json = "DestinationNamespace", hcl = "destination_namespace", zero)]
    pub destination_namespace: Option<String>,
    /// The `destination_peer` of this upstreams.
    #[field(json = "DestinationPeer", hcl = "destination_peer", zero)]
    pub destination_peer: Option<String>,
    /// The `destination_partition` of this upstreams.
    #[field(json = "DestinationPartition", hcl = "destination_partition", zero)]
    pub destination_partition: Option<String>,
    /// The `destination_type` of this upstreams.
    #[field(json = "DestinationType", hcl = "destination_type", default = "service", zero)]
    pub destination_type: Option<String>,
    /// required unless socket.
    #[field(json = "LocalBindPort", hcl = "local_bind_port", zero)]
    pub local_bind_port: Option<i64>,
    /// The `datacenter` of this upstreams.
    #[field(json = "Datacenter", hcl = "datacenter", zero, interpolated)]
    pub datacenter: Option<String>,
    /// The `local_bind_address` of this upstreams.
    #[field(json = "LocalBindAddress", hcl = "local_bind_address", zero, interpolated)]
    pub local_bind_address: Option<String>,
    /// The `local_bind_socket_path` of this upstreams.
    #[field(json = "LocalBindSocketPath", hcl = "local_bind_socket_path", zero)]
    pub local_bind_socket_path: Option<String>,
    /// The `local_bind_socket_mode` of this upstreams.
    #[field(json = "LocalBindSocketMode", hcl = "local_bind_socket_mode", zero)]
    pub local_bind_socket_mode: Option<String>,
    /// mode none/local/remote.
    #[field(json = "MeshGateway", hcl = "mesh_gateway")]
    pub mesh_gateway: Option<ConsulMeshGateway>,
    /// The `config` of this upstreams.
    #[field(json = "Config", hcl = "config", interpolated)]
    pub config: Option<Free>,
}

/// The `mesh_gateway` block, in upstreams.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulMeshGateway")]
pub struct ConsulMeshGateway {
    /// The `mode` of this mesh_gateway.
    #[field(json = "Mode", hcl = "mode", zero)]
    pub mode: Option<String>,
}

/// The `transparent_proxy` block, in proxy.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulTransparentProxy")]
pub struct ConsulTransparentProxy {
    /// The `uid` of this transparent_proxy.
    #[field(json = "UID", hcl = "uid", zero)]
    pub uid: Option<String>,
    /// The `outbound_port` of this transparent_proxy.
    #[field(json = "OutboundPort", hcl = "outbound_port", zero)]
    pub outbound_port: Option<i64>,
    /// The `exclude_inbound_ports` of this transparent_proxy.
    #[field(json = "ExcludeInboundPorts", hcl = "exclude_inbound_ports")]
    pub exclude_inbound_ports: Option<Vec<String>>,
    /// The `exclude_outbound_ports` of this transparent_proxy.
    #[field(json = "ExcludeOutboundPorts", hcl = "exclude_outbound_ports")]
    pub exclude_outbound_ports: Option<Vec<i64>>,
    /// The `exclude_outbound_cidrs` of this transparent_proxy.
    #[field(json = "ExcludeOutboundCIDRs", hcl = "exclude_outbound_cidrs")]
    pub exclude_outbound_cidrs: Option<Vec<String>>,
    /// The `exclude_uids` of this transparent_proxy.
    #[field(json = "ExcludeUIDs", hcl = "exclude_uids")]
    pub exclude_uids: Option<Vec<String>>,
    /// The `no_dns` of this transparent_proxy.
    #[field(json = "NoDNS", hcl = "no_dns", zero)]
    pub no_dns: Option<bool>,
}

/// The `gateway` block, in connect.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulGateway")]
pub struct ConsulGateway {
    /// The `proxy` of this gateway.
    #[field(json = "Proxy", hcl = "proxy")]
    pub proxy: Option<ConsulGatewayProxy>,
    /// The `ingress` of this gateway.
    #[field(json = "Ingress", hcl = "ingress")]
    pub ingress: Option<ConsulIngressConfigEntry>,
    /// The `terminating` of this gateway.
    #[field(json = "Terminating", hcl = "terminating")]
    pub terminating: Option<ConsulTerminatingConfigEntry>,
    /// The `mesh` of this gateway.
    #[field(json = "Mesh", hcl = "mesh")]
    pub mesh: Option<ConsulMeshConfigEntry>,
}

/// The `gateway proxy` block, in gateway.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulGatewayProxy")]
pub struct ConsulGatewayProxy {
    /// The `connect_timeout` of this gateway proxy.
    #[field(json = "ConnectTimeout", hcl = "connect_timeout", default = "5s")]
    pub connect_timeout: Option<Dur>,
    /// The `envoy_gateway_bind_tagged_addresses` of this gateway proxy.
    #[field(
        json = "EnvoyGatewayBindTaggedAddresses",
        hcl = "envoy_gateway_bind_tagged_addresses",
        default = "false",
        zero
    )]
    pub envoy_gateway_bind_tagged_addresses: Option<bool>,
    /// The `envoy_gateway_bind_addresses` of this gateway proxy.
    #[field(json = "EnvoyGatewayBindAddresses", hcl = "envoy_gateway_bind_addresses")]
    pub envoy_gateway_bind_addresses: Option<BTreeMap<String, ConsulGatewayBindAddress>>,
    /// The `envoy_gateway_no_default_bind` of this gateway proxy.
    #[field(json = "EnvoyGatewayNoDefaultBind", hcl = "envoy_gateway_no_default_bind", default = "false", zero)]
    pub envoy_gateway_no_default_bind: Option<bool>,
    /// LOGICAL_DNS, STRICT_DNS.
    #[field(json = "EnvoyDNSDiscoveryType", hcl = "envoy_dns_discovery_type", zero)]
    pub envoy_dns_discovery_type: Option<String>,
    /// The `config` of this gateway proxy.
    #[field(json = "Config", hcl = "config", interpolated)]
    pub config: Option<Free>,
}

/// The `envoy_gateway_bind_addresses` block, in gateway proxy (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulGatewayBindAddress")]
pub struct ConsulGatewayBindAddress {
    /// The block's label.
    #[field(json = "Name", label, zero)]
    pub name: Option<String>,
    /// The `address` of this envoy_gateway_bind_addresses.
    #[field(json = "Address", hcl = "address", zero)]
    pub address: Option<String>,
    /// The `port` of this envoy_gateway_bind_addresses.
    #[field(json = "Port", hcl = "port", zero)]
    pub port: Option<i64>,
}

/// The `ingress` block, in gateway.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulIngressConfigEntry")]
pub struct ConsulIngressConfigEntry {
    /// The `tls` of this ingress.
    #[field(json = "TLS", hcl = "tls")]
    pub tls: Option<ConsulGatewayTLSConfig>,
    /// The `listener` of this ingress.
    #[field(json = "Listeners", hcl = "listener")]
    pub listeners: Option<Vec<ConsulIngressListener>>,
}

/// The `tls` block, in ingress, ingress service.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulGatewayTLSConfig")]
pub struct ConsulGatewayTLSConfig {
    /// The `enabled` of this tls.
    #[field(json = "Enabled", hcl = "enabled", zero)]
    pub enabled: Option<bool>,
    /// The `tls_min_version` of this tls.
    #[field(json = "TLSMinVersion", hcl = "tls_min_version", zero)]
    pub tls_min_version: Option<String>,
    /// The `tls_max_version` of this tls.
    #[field(json = "TLSMaxVersion", hcl = "tls_max_version", zero)]
    pub tls_max_version: Option<String>,
    /// The `cipher_suites` of this tls.
    #[field(json = "CipherSuites", hcl = "cipher_suites")]
    pub cipher_suites: Option<Vec<String>>,
    /// The `sds` of this tls.
    #[field(json = "SDS", hcl = "sds")]
    pub sds: Option<ConsulGatewayTLSSDSConfig>,
}

/// The `sds` block, in tls.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulGatewayTLSSDSConfig")]
pub struct ConsulGatewayTLSSDSConfig {
    /// The `cluster_name` of this sds.
    #[field(json = "ClusterName", hcl = "cluster_name", zero)]
    pub cluster_name: Option<String>,
    /// The `cert_resource` of this sds.
    #[field(json = "CertResource", hcl = "cert_resource", zero)]
    pub cert_resource: Option<String>,
}

/// The `listener` block, in ingress.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulIngressListener")]
pub struct ConsulIngressListener {
    /// The `port` of this listener.
    #[field(json = "Port", hcl = "port", zero)]
    pub port: Option<i64>,
    /// The `protocol` of this listener.
    #[field(json = "Protocol", hcl = "protocol", zero)]
    pub protocol: Option<String>,
    /// The `service` of this listener.
    #[field(json = "Services", hcl = "service")]
    pub services: Option<Vec<ConsulIngressService>>,
}

/// The `ingress service` block, in listener.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulIngressService")]
pub struct ConsulIngressService {
    /// The `name` of this ingress service.
    #[field(json = "Name", hcl = "name", zero)]
    pub name: Option<String>,
    /// The `hosts` of this ingress service.
    #[field(json = "Hosts", hcl = "hosts")]
    pub hosts: Option<Vec<String>>,
    /// The `tls` of this ingress service.
    #[field(json = "TLS", hcl = "tls")]
    pub tls: Option<ConsulGatewayTLSConfig>,
    /// The `request_headers` of this ingress service.
    #[field(json = "RequestHeaders", hcl = "request_headers")]
    pub request_headers: Option<ConsulHTTPHeaderModifiers>,
    /// The `response_headers` of this ingress service.
    #[field(json = "ResponseHeaders", hcl = "response_headers")]
    pub response_headers: Option<ConsulHTTPHeaderModifiers>,
    /// The `max_connections` of this ingress service.
    #[field(json = "MaxConnections", hcl = "max_connections")]
    pub max_connections: Option<i64>,
    /// The `max_pending_requests` of this ingress service.
    #[field(json = "MaxPendingRequests", hcl = "max_pending_requests")]
    pub max_pending_requests: Option<i64>,
    /// The `max_concurrent_requests` of this ingress service.
    #[field(json = "MaxConcurrentRequests", hcl = "max_concurrent_requests")]
    pub max_concurrent_requests: Option<i64>,
}

/// The `request_headers / response_headers` block, in ingress service.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulHTTPHeaderModifiers")]
pub struct ConsulHTTPHeaderModifiers {
    /// The `add` of this request_headers.
    #[field(json = "Add", hcl = "add")]
    pub add: Option<TextMap>,
    /// The `set` of this request_headers.
    #[field(json = "Set", hcl = "set")]
    pub set: Option<TextMap>,
    /// The `remove` of this request_headers.
    #[field(json = "Remove", hcl = "remove")]
    pub remove: Option<Vec<String>>,
}

/// The `terminating` block, in gateway.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulTerminatingConfigEntry")]
pub struct ConsulTerminatingConfigEntry {
    /// The `service` of this terminating.
    #[field(json = "Services", hcl = "service")]
    pub services: Option<Vec<ConsulLinkedService>>,
}

/// The `terminating service` block, in terminating.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulLinkedService")]
pub struct ConsulLinkedService {
    /// The `name` of this terminating service.
    #[field(json = "Name", hcl = "name", zero)]
    pub name: Option<String>,
    /// The `ca_file` of this terminating service.
    #[field(json = "CAFile", hcl = "ca_file", zero)]
    pub ca_file: Option<String>,
    /// The `cert_file` of this terminating service.
    #[field(json = "CertFile", hcl = "cert_file", zero)]
    pub cert_file: Option<String>,
    /// The `key_file` of this terminating service.
    #[field(json = "KeyFile", hcl = "key_file", zero)]
    pub key_file: Option<String>,
    /// The `sni` of this terminating service.
    #[field(json = "SNI", hcl = "sni", zero)]
    pub sni: Option<String>,
}

/// The `mesh` block, in gateway (empty).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "ConsulMeshConfigEntry")]
pub struct ConsulMeshConfigEntry {}
