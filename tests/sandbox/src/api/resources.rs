//! The kinds of object this cluster knows, as one table. Discovery, routing, RBAC names and error texts all read it,
//! so a new kind is one more entry here.

/// One kind of object and how it is spelled in paths, lists and messages.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) version: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) short: &'static [&'static str],
    pub(crate) namespaced: bool,
    /// Shown by `kubectl get all`.
    pub(crate) in_all: bool,
    /// Subresources beside the object itself, each with its verbs in [`Resource::subresource_verbs`].
    pub(crate) subresources: &'static [&'static str],
}

/// The verbs of every kind.
pub(crate) const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

macro_rules! resources {
    ($($ident:ident = $group:literal / $version:literal $plural:literal $singular:literal $kind:literal
        [$($short:literal),*] $namespaced:literal $all:literal [$($sub:literal),*];)*) => {
        $(pub(crate) static $ident: Resource = Resource {
            group: $group, plural: $plural, version: $version, singular: $singular, kind: $kind,
            short: &[$($short),*], namespaced: $namespaced, in_all: $all, subresources: &[$($sub),*],
        };)*
        /// Every kind, the core group first.
        pub(crate) static ALL: &[&Resource] = &[$(&$ident),*];
    };
}

resources! {
    CONFIGMAP = ""/"v1" "configmaps" "configmap" "ConfigMap" ["cm"] true false [];
    ENDPOINTS = ""/"v1" "endpoints" "endpoints" "Endpoints" ["ep"] true false [];
    EVENT = ""/"v1" "events" "event" "Event" ["ev"] true false [];
    NAMESPACE = ""/"v1" "namespaces" "namespace" "Namespace" ["ns"] false false ["status"];
    NODE = ""/"v1" "nodes" "node" "Node" ["no"] false false ["status"];
    POD = ""/"v1" "pods" "pod" "Pod" ["po"] true true ["log", "portforward", "status"];
    CONTROLLER = ""/"v1" "replicationcontrollers" "replicationcontroller" "ReplicationController" ["rc"] true true ["scale", "status"];
    SECRET = ""/"v1" "secrets" "secret" "Secret" [] true false [];
    SERVICE_ACCOUNT = ""/"v1" "serviceaccounts" "serviceaccount" "ServiceAccount" ["sa"] true false ["token"];
    SERVICE = ""/"v1" "services" "service" "Service" ["svc"] true true ["status"];
    DAEMON_SET = "apps"/"v1" "daemonsets" "daemonset" "DaemonSet" ["ds"] true true ["status"];
    DEPLOYMENT = "apps"/"v1" "deployments" "deployment" "Deployment" ["deploy"] true true ["scale", "status"];
    REPLICA_SET = "apps"/"v1" "replicasets" "replicaset" "ReplicaSet" ["rs"] true true ["scale", "status"];
    STATEFUL_SET = "apps"/"v1" "statefulsets" "statefulset" "StatefulSet" ["sts"] true true ["scale", "status"];
    CRON_JOB = "batch"/"v1" "cronjobs" "cronjob" "CronJob" ["cj"] true true ["status"];
    JOB = "batch"/"v1" "jobs" "job" "Job" [] true true ["status"];
    CLUSTER_ROLE = "rbac.authorization.k8s.io"/"v1" "clusterroles" "clusterrole" "ClusterRole" [] false false [];
    CLUSTER_ROLE_BINDING = "rbac.authorization.k8s.io"/"v1" "clusterrolebindings" "clusterrolebinding" "ClusterRoleBinding" [] false false [];
    ROLE = "rbac.authorization.k8s.io"/"v1" "roles" "role" "Role" [] true false [];
    ROLE_BINDING = "rbac.authorization.k8s.io"/"v1" "rolebindings" "rolebinding" "RoleBinding" [] true false [];
    ENDPOINT_SLICE = "discovery.k8s.io"/"v1" "endpointslices" "endpointslice" "EndpointSlice" [] true false [];
}

impl Resource {
    /// `deployments.apps`, or `pods` in the core group: how messages name the kind.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `apps/v1`, or `v1`.
    pub(crate) fn api_version(&self) -> String {
        group_version(self.group, self.version)
    }

    /// The kind that `subresource` speaks, as `(group, version, kind)`.
    pub(crate) fn subresource_kind(&self, subresource: &str) -> (&'static str, &'static str, &'static str) {
        match subresource {
            "scale" => ("autoscaling", "v1", "Scale"),
            "portforward" => ("", "v1", "PodPortForwardOptions"),
            "token" => ("authentication.k8s.io", "v1", "TokenRequest"),
            _ => (self.group, self.version, self.kind),
        }
    }

    /// The verbs of `subresource`.
    pub(crate) fn subresource_verbs(subresource: &str) -> &'static [&'static str] {
        match subresource {
            "portforward" => &["create", "get"],
            "token" => &["create"],
            "log" => &["get"],
            _ => &["get", "patch", "update"],
        }
    }
}

/// `group/version`, without the slash in the core group.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The kind at `group`/`version` whose path segment is `plural`.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The kind that a manifest's `apiVersion` and `kind` mean.
pub(crate) fn by_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|r| r.kind == kind && r.api_version() == api_version)
}

/// The kind that a user's word means: plural, singular, short name or qualified name.
pub(crate) fn by_word(word: &str) -> Option<&'static Resource> {
    ALL.iter()
        .copied()
        .find(|r| r.plural == word || r.singular == word || r.short.contains(&word) || r.qualified() == word)
}
