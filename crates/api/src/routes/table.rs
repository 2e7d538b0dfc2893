//! The rows, by family. Special paths stand before general ones.
//!
//! Adding a route: a line here, its handler in the family's file of `server/src/http` (and of `agent/src/http` for [`OnNode`]):
//! until it has one, nothing compiles.

use super::{ANY, Capability, DELETE, GET, GET_POST, POST_ONLY, PUT, PUT_ONLY, Route, Where};

const READ: Capability = Capability::Namespace(&["read-job"]);

/// A row: `Name: METHODS "path", what it needs, where it is answered;`. With `acts` it does something even by GET.
macro_rules! routes {
    ($($(#[$doc:meta])* $family:ident {
        $($route:ident: $methods:ident $path:literal, $needs:expr, $answered:ident $(, $acts:ident)?;)+
    })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $family { $($route),+ }
        )+

        /// What a row is called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name { $($family($family)),+ }

        /// Every row of `/v1`, in the order in which paths are tried.
        pub static ROUTES: &[Route] = &[$($(Route {
            name: Name::$family($family::$route),
            methods: $methods,
            path: $path,
            needs: { #[allow(unused_imports)] use super::{Access::*, Capability::*}; $needs },
            answered: Where::$answered,
            acts: routes!(@acts $($acts)?),
        }),+),+];
    };
    (@acts) => { false };
    (@acts acts) => { true };
}

routes! {
    /// Jobs.
    Jobs {
        List: GET "/v1/jobs", Namespace(&["list-jobs"]), Server;
        Register: PUT "/v1/jobs", Namespace(&["submit-job", "register-job"]), Leader;
        Parse: PUT "/v1/jobs/parse", Namespace(&["parse-job", "submit-job"]), Agent;
        Overview: GET "/v1/jobs/overview", Namespace(&["list-jobs"]), Server;
        Statuses: GET_POST "/v1/jobs/statuses", READ, Server;
        Validate: PUT "/v1/validate/job", READ, Server;
        Allocations: GET "/v1/job/*job/allocations", READ, Server;
        Evaluations: GET "/v1/job/*job/evaluations", READ, Server;
        Deployments: GET "/v1/job/*job/deployments", READ, Server;
        LatestDeployment: GET "/v1/job/*job/deployment", READ, Server;
        Summary: GET "/v1/job/*job/summary", READ, Server;
        Services: GET "/v1/job/*job/services", READ, Server;
        Actions: GET "/v1/job/*job/actions", READ, Server;
        Action: GET "/v1/job/*job/action", Namespace(&["alloc-exec"]), Node, acts;
        Submission: GET "/v1/job/*job/submission", READ, Server;
        Tag: PUT "/v1/job/*job/versions/:tag/tag", Namespace(&["submit-job", "tag-job-version"]), Leader;
        Untag: DELETE "/v1/job/*job/versions/:tag/tag", Namespace(&["submit-job", "tag-job-version"]), Leader;
        Versions: GET "/v1/job/*job/versions", READ, Server;
        ScaleStatus: GET "/v1/job/*job/scale", Namespace(&["read-job", "read-job-scaling"]), Server;
        Scale: PUT "/v1/job/*job/scale", Namespace(&["scale-job", "submit-job"]), Leader;
        Evaluate: PUT "/v1/job/*job/evaluate", Namespace(&["submit-job", "evaluate-job"]), Leader;
        Plan: PUT "/v1/job/*job/plan", Namespace(&["submit-job", "plan-job"]), Server;
        DispatchPayload: PUT "/v1/job/*job/dispatch/payload", Namespace(&["dispatch-job"]), Leader;
        Dispatch: PUT "/v1/job/*job/dispatch", Namespace(&["dispatch-job"]), Leader;
        PeriodicForce: PUT "/v1/job/*job/periodic/force", Namespace(&["dispatch-job", "submit-job", "force-periodic-job"]), Leader;
        Revert: PUT "/v1/job/*job/revert", Namespace(&["submit-job", "revert-job"]), Leader;
        Stable: PUT "/v1/job/*job/stable", Namespace(&["submit-job", "stable-job"]), Leader;
        Get: GET "/v1/job/*job", READ, Server;
        RegisterNamed: PUT "/v1/job/*job", Namespace(&["submit-job", "register-job"]), Leader;
        Deregister: DELETE "/v1/job/*job", Namespace(&["submit-job", "deregister-job", "purge-job"]), Leader;
    }
    /// Allocations, as the servers know them.
    Allocs {
        List: GET "/v1/allocations", READ, Server;
        Stop: PUT "/v1/allocation/:alloc/stop", Namespace(&["alloc-lifecycle"]), Leader;
        Services: GET "/v1/allocation/:alloc/services", READ, Server;
        Checks: GET "/v1/allocation/:alloc/checks", READ, Node;
        Get: GET "/v1/allocation/:alloc", READ, Server;
    }
    /// Evaluations.
    Evals {
        List: GET "/v1/evaluations", READ, Server;
        Delete: DELETE "/v1/evaluations", Management, Leader;
        Count: GET "/v1/evaluations/count", READ, Server;
        Allocations: GET "/v1/evaluation/:eval/allocations", READ, Server;
        Get: GET "/v1/evaluation/:eval", READ, Server;
    }
    /// Deployments.
    Deployments {
        List: GET "/v1/deployments", READ, Server;
        Allocations: GET "/v1/deployment/allocations/:deployment", READ, Server;
        Fail: PUT "/v1/deployment/fail/:deployment", Namespace(&["submit-job", "fail-deployment"]), Leader;
        Pause: PUT "/v1/deployment/pause/:deployment", Namespace(&["submit-job", "pause-deployment"]), Leader;
        Promote: PUT "/v1/deployment/promote/:deployment", Namespace(&["submit-job", "promote-deployment"]), Leader;
        Unblock: PUT "/v1/deployment/unblock/:deployment", Namespace(&["submit-job", "unblock-deployment"]), Leader;
        AllocationHealth: PUT "/v1/deployment/allocation-health/:deployment", Namespace(&["submit-job", "set-alloc-health-deployment"]), Leader;
        Get: GET "/v1/deployment/:deployment", READ, Server;
    }
    /// Nodes and node pools.
    Nodes {
        List: GET "/v1/nodes", Node(Read), Server;
        Pools: GET "/v1/node/pools", NodePool(Read), Server;
        PoolNodes: GET "/v1/node/pool/:pool/nodes", NodePool(Read), Server;
        PoolJobs: GET "/v1/node/pool/:pool/jobs", NodePool(Read), Server;
        Pool: GET "/v1/node/pool/:pool", NodePool(Read), Server;
        Allocations: GET "/v1/node/:node/allocations", Node(Read), Server;
        Drain: PUT "/v1/node/:node/drain", Node(Write), Leader;
        Eligibility: PUT "/v1/node/:node/eligibility", Node(Write), Leader;
        Evaluate: PUT "/v1/node/:node/evaluate", Node(Write), Leader;
        Purge: PUT "/v1/node/:node/purge", Node(Write), Leader;
        Get: GET "/v1/node/:node", Node(Read), Server;
    }
    /// What only a node knows or does. Servers carry these to the node, whose agent has a handler for each.
    OnNode {
        List: GET "/v1/client/fs/ls/:alloc", Namespace(&["read-fs"]), Node;
        Stat: GET "/v1/client/fs/stat/:alloc", Namespace(&["read-fs"]), Node;
        ReadAt: GET "/v1/client/fs/readat/:alloc", Namespace(&["read-fs"]), Node;
        Cat: GET "/v1/client/fs/cat/:alloc", Namespace(&["read-fs"]), Node;
        Stream: GET "/v1/client/fs/stream/:alloc", Namespace(&["read-fs"]), Node;
        Logs: GET "/v1/client/fs/logs/:alloc", Namespace(&["read-logs", "read-fs"]), Node;
        AllocStats: GET "/v1/client/allocation/:alloc/stats", READ, Node;
        // Ours.
        AllocHistory: GET "/v1/client/allocation/:alloc/history", READ, Node;
        Checks: GET "/v1/client/allocation/:alloc/checks", READ, Node;
        Exec: GET "/v1/client/allocation/:alloc/exec", Namespace(&["alloc-exec"]), Node, acts;
        Restart: ANY "/v1/client/allocation/:alloc/restart", Namespace(&["alloc-lifecycle"]), Node, acts;
        AllocGc: ANY "/v1/client/allocation/:alloc/gc", Namespace(&["submit-job", "gc-allocation"]), Node, acts;
        Signal: PUT "/v1/client/allocation/:alloc/signal", Namespace(&["alloc-lifecycle"]), Node;
        Gc: ANY "/v1/client/gc", Node(Write), Node, acts;
        Stats: GET "/v1/client/stats", Node(Read), Node;
        // Ours.
        History: GET "/v1/client/history", Node(Read), Node;
        Metadata: GET "/v1/client/metadata", Node(Read), Node;
        SetMetadata: POST_ONLY "/v1/client/metadata", Node(Write), Node;
    }
    /// The agent that is asked, and the cluster as it sees it.
    Agent {
        AgentSelf: GET "/v1/agent/self", Agent(Read), Agent;
        Members: GET "/v1/agent/members", Node(Read), Agent;
        Health: GET "/v1/agent/health", Open, Agent;
        Servers: GET "/v1/agent/servers", Agent(Read), Agent;
        SetServers: PUT "/v1/agent/servers", Agent(Write), Agent;
        Join: PUT "/v1/agent/join", Agent(Write), Agent;
        ForceLeave: PUT "/v1/agent/force-leave", Agent(Write), Agent;
        GossipKeys: ANY "/v1/agent/keyring/list", Agent(Write), Agent, acts;
        InstallGossipKey: ANY "/v1/agent/keyring/install", Agent(Write), Agent, acts;
        UseGossipKey: ANY "/v1/agent/keyring/use", Agent(Write), Agent, acts;
        RemoveGossipKey: ANY "/v1/agent/keyring/remove", Agent(Write), Agent, acts;
        Schedulers: GET "/v1/agent/schedulers", Agent(Read), Agent;
        SchedulersConfig: GET "/v1/agent/schedulers/config", Agent(Read), Agent;
        Host: GET "/v1/agent/host", Agent(Read), Agent;
        Metrics: GET "/v1/metrics", Open, Agent;
        Counts: GET "/v1/status/counts", Namespace(&["list-jobs"]), Server;
        Leader: GET "/v1/status/leader", Open, Agent;
        Peers: GET "/v1/status/peers", Open, Agent;
        Trouble: GET "/v1/status/trouble", Open, Agent;
        Regions: GET "/v1/regions", Open, Agent;
    }
    /// Operators' own: the scheduler's settings, raft, garbage.
    Operator {
        Scheduler: GET "/v1/operator/scheduler/configuration", Operator(Read), Server;
        SetScheduler: PUT "/v1/operator/scheduler/configuration", Operator(Write), Leader;
        Raft: GET "/v1/operator/raft/configuration", Management, Agent;
        RemovePeer: DELETE "/v1/operator/raft/peer", Management, Lead;
        TransferLeadership: PUT "/v1/operator/raft/transfer-leadership", Management, Lead;
        Autopilot: GET "/v1/operator/autopilot/configuration", Operator(Read), Server;
        AutopilotHealth: GET "/v1/operator/autopilot/health", Operator(Read), Lead;
        Snapshot: GET "/v1/operator/snapshot", Management, Server;
        Restore: PUT "/v1/operator/snapshot", Management, Leader;
        License: GET "/v1/operator/license", Open, Agent;
        Gc: PUT_ONLY "/v1/system/gc", Management, Leader;
        ReconcileSummaries: PUT_ONLY "/v1/system/reconcile/summaries", Management, Leader;
    }
    /// Root keys, and what others check signatures by.
    Keyring {
        List: GET "/v1/operator/keyring/keys", Operator(Read), Server;
        PublicKeys: GET "/.well-known/jwks.json", Open, Server;
        Discovery: GET "/.well-known/openid-configuration", Open, Agent;
    }
    /// Search by prefix and by text.
    Search {
        ByPrefix: PUT "/v1/search", ByContent, Server;
        ByText: PUT "/v1/search/fuzzy", ByContent, Server;
    }
    /// The event stream.
    Events {
        Stream: GET "/v1/event/stream", ByContent, Stream;
    }
    /// Services that the servers keep themselves.
    Services {
        List: GET "/v1/services", READ, Server;
        Delete: DELETE "/v1/service/:service/:id", Namespace(&["submit-job", "delete-service-registration"]), Leader;
        Instances: GET "/v1/service/:service", READ, Server;
    }
    /// Namespaces.
    Namespaces {
        List: GET "/v1/namespaces", Open, Server;
        Get: GET "/v1/namespace/:namespace", Open, Server;
    }
    /// Scaling policies.
    Scaling {
        List: GET "/v1/scaling/policies", Namespace(&["list-scaling-policies", "list-jobs"]), Server;
        Get: GET "/v1/scaling/policy/:policy", Namespace(&["read-scaling-policy", "read-job"]), Server;
    }
    /// Editions and subsystems that this server does not have.
    Unsupported {
        SentinelPolicies: ANY "/v1/sentinel/policies", Open, Agent;
        SentinelPolicy: ANY "/v1/sentinel/policy/*rest", Open, Agent;
        Quotas: ANY "/v1/quotas", Open, Agent;
        QuotaUsages: ANY "/v1/quota-usages", Open, Agent;
        NewQuota: ANY "/v1/quota", Open, Agent;
        Quota: ANY "/v1/quota/*rest", Open, Agent;
        NewRecommendation: ANY "/v1/recommendation", Open, Agent;
        Recommendation: ANY "/v1/recommendation/*rest", Open, Agent;
        Recommendations: ANY "/v1/recommendations", Open, Agent;
        ApplyRecommendations: ANY "/v1/recommendations/apply", Open, Agent;
        Utilization: ANY "/v1/operator/utilization", Open, Agent;
        Acl: ANY "/v1/acl/*rest", Open, Agent;
    }
    /// Volumes of every type, host volumes, and claims to them.
    Volumes {
        List: GET "/v1/volumes", Namespace(&["csi-list-volume", "host-volume-read"]), Server;
        Claims: GET "/v1/volumes/claims", Namespace(&["host-volume-read"]), Server;
        DeleteClaim: DELETE "/v1/volumes/claim/:claim", Namespace(&["host-volume-delete"]), Leader;
        CreateHost: PUT "/v1/volume/host/create", Namespace(&["host-volume-create"]), Leader;
        RegisterHost: PUT "/v1/volume/host/register", Namespace(&["host-volume-register"]), Leader;
        DeleteHostNamed: DELETE "/v1/volume/host/:volume/delete", Namespace(&["host-volume-delete"]), Leader;
        Host: GET "/v1/volume/host/:volume", Namespace(&["host-volume-read"]), Server;
        DeleteHost: DELETE "/v1/volume/host/:volume", Namespace(&["host-volume-delete"]), Leader;
    }
    /// CSI: volumes and the plugins that have them.
    Csi {
        RegisterAll: PUT "/v1/volumes", Namespace(&["csi-write-volume"]), Leader;
        External: GET "/v1/volumes/external", Namespace(&["csi-list-volume"]), Server;
        ListSnapshots: GET "/v1/volumes/snapshot", Namespace(&["csi-list-volume"]), Server;
        CreateSnapshot: PUT "/v1/volumes/snapshot", Namespace(&["csi-write-volume"]), Leader;
        DeleteSnapshot: DELETE "/v1/volumes/snapshot", Namespace(&["csi-write-volume"]), Leader;
        Create: PUT_ONLY "/v1/volume/csi/*volume/create", Namespace(&["csi-write-volume"]), Leader;
        Delete: DELETE "/v1/volume/csi/*volume/delete", Namespace(&["csi-write-volume"]), Leader;
        Detach: DELETE "/v1/volume/csi/*volume/detach", Namespace(&["csi-mount-volume"]), Leader;
        Volume: GET "/v1/volume/csi/*volume", Namespace(&["csi-read-volume"]), Server;
        Register: PUT_ONLY "/v1/volume/csi/*volume", Namespace(&["csi-write-volume"]), Leader;
        Deregister: DELETE "/v1/volume/csi/*volume", Namespace(&["csi-write-volume"]), Leader;
        Plugins: GET "/v1/plugins", Plugin(List), Server;
        Plugin: GET "/v1/plugin/csi/:plugin", Plugin(Read), Server;
    }
}
