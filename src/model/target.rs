//! What a user points at: one pod, or a thing that stands for a set of pods.
//!
//! `[NAMESPACE/]TYPE/NAME`, `NAME` (a pod) or a label selector. TYPE is any of kubectl's spellings: singular,
//! plural, short, and with version and group (`deployments.v1.apps/x`). No cluster is asked here.

use std::fmt;

/// The kinds of object that can be forwarded to (DESIGN §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One pod by name.
    Pod,
    /// A service: its selector, or its EndpointSlices where it has none.
    Service,
    /// A deployment's label selector.
    Deployment,
    /// A replica set's label selector.
    ReplicaSet,
    /// A stateful set's label selector.
    StatefulSet,
    /// A daemon set's label selector.
    DaemonSet,
    /// A job's label selector.
    Job,
    /// A replication controller's selector (a plain map).
    ReplicationController,
}

/// One row per kind: the kind, Kubernetes' name for it, API group, plural, singular and short names.
struct KindNames {
    kind: Kind,
    name: &'static str,
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static str,
}

const KINDS: [KindNames; 8] = [
    KindNames { kind: Kind::Pod, name: "Pod", group: "", plural: "pods", singular: "pod", short: "po" },
    KindNames {
        kind: Kind::Service,
        name: "Service",
        group: "",
        plural: "services",
        singular: "service",
        short: "svc",
    },
    KindNames {
        kind: Kind::Deployment,
        name: "Deployment",
        group: "apps",
        plural: "deployments",
        singular: "deployment",
        short: "deploy",
    },
    KindNames {
        kind: Kind::ReplicaSet,
        name: "ReplicaSet",
        group: "apps",
        plural: "replicasets",
        singular: "replicaset",
        short: "rs",
    },
    KindNames {
        kind: Kind::StatefulSet,
        name: "StatefulSet",
        group: "apps",
        plural: "statefulsets",
        singular: "statefulset",
        short: "sts",
    },
    KindNames {
        kind: Kind::DaemonSet,
        name: "DaemonSet",
        group: "apps",
        plural: "daemonsets",
        singular: "daemonset",
        short: "ds",
    },
    KindNames { kind: Kind::Job, name: "Job", group: "batch", plural: "jobs", singular: "job", short: "job" },
    KindNames {
        kind: Kind::ReplicationController,
        name: "ReplicationController",
        group: "",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short: "rc",
    },
];

impl Kind {
    /// Every kind, in the order in which help and suggestions name them.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|row| row.kind)
    }

    fn names(self) -> &'static KindNames {
        KINDS.iter().find(|row| row.kind == self).unwrap_or(&KINDS[0])
    }

    /// Reads a TYPE word as kubectl does: case-insensitive, any of its names, with an optional `[.VERSION].GROUP`.
    ///
    /// Returns `None` for a word that names no kind that can be forwarded to.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let (name, rest) = word.split_once('.').map_or((word.as_str(), None), |(n, r)| (n, Some(r)));
        let row = KINDS.iter().find(|row| [row.plural, row.singular, row.short].contains(&name))?;
        match rest {
            None => Some(row.kind),
            // `deployment.apps`, `deployments.v1.apps`; of the core group, whose name is empty, `pods.` and `pods.v1.`.
            Some(rest) => {
                let group = rest.strip_prefix("v1.").unwrap_or(rest);
                (group == row.group).then_some(row.kind)
            }
        }
    }

    /// Kubernetes' own name: `Deployment`.
    pub fn name(self) -> &'static str {
        self.names().name
    }

    /// The API group, empty for the core one: `apps`.
    pub fn group(self) -> &'static str {
        self.names().group
    }

    /// The resource as RBAC and URLs write it: `deployments`.
    pub fn plural(self) -> &'static str {
        self.names().plural
    }

    /// The word this tool prints before a slash: `deploy`, `svc`, `pod`.
    pub fn short(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            _ => self.names().short,
        }
    }

    /// The singular resource word: `deployment`.
    pub fn singular(self) -> &'static str {
        self.names().singular
    }
}

/// What of the cluster is meant: a named object or the pods of a selector.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetRef {
    /// `TYPE/NAME`.
    Object(Kind, String),
    /// `-l SELECTOR`.
    Selector(String),
}

/// What to forward to. Its text, [`FromStr`](std::str::FromStr), is `NAME` (a pod), `TYPE/NAME` or `NAMESPACE/TYPE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// `NAMESPACE/` before the type; `None` means the namespace of the command.
    pub namespace: Option<String>,
    /// What is meant in that namespace.
    pub subject: TargetRef,
}

/// Why a word is not a target. The words are meant for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Empty text, or an empty part between slashes.
    #[error("'{0}' is not a target: a part of it is empty")]
    Empty(String),
    /// More than two slashes.
    #[error("'{0}' is not a target: it has more than three parts")]
    TooManyParts(String),
    /// The TYPE is not one that can be forwarded to.
    #[error("'{word}' is not a type of object that can be forwarded to")]
    UnknownKind {
        /// The word in the place of TYPE.
        word: String,
    },
}

impl Target {
    /// A target of an object in the command's namespace.
    pub fn object(kind: Kind, name: impl Into<String>) -> Self {
        Self { namespace: None, subject: TargetRef::Object(kind, name.into()) }
    }

    /// Reads `NAME`, `TYPE/NAME` or `NAMESPACE/TYPE/NAME`; what the names may be is not looked at.
    #[doc(hidden)]
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(TargetError::Empty(text.to_owned()));
        }
        let kind =
            |word: &str| Kind::parse(word).ok_or_else(|| TargetError::UnknownKind { word: word.to_owned() });
        match parts.as_slice() {
            [name] => Ok(Self::object(Kind::Pod, *name)),
            [ty, name] => Ok(Self::object(kind(ty)?, *name)),
            [namespace, ty, name] => {
                Ok(Self { namespace: Some((*namespace).to_owned()), ..Self::object(kind(ty)?, *name) })
            }
            _ => Err(TargetError::TooManyParts(text.to_owned())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{}", self.subject)
    }
}

impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(kind, name) => write!(f, "{}/{name}", kind.short()),
            Self::Selector(selector) => write!(f, "-l {selector}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_kind() {
        for (word, kind) in [
            ("po", Kind::Pod),
            ("pod", Kind::Pod),
            ("Pods", Kind::Pod),
            ("pods.v1.", Kind::Pod),
            ("pods.", Kind::Pod),
            ("svc", Kind::Service),
            ("services", Kind::Service),
            ("deploy", Kind::Deployment),
            ("deployment.apps", Kind::Deployment),
            ("deployments.v1.apps", Kind::Deployment),
            ("rs", Kind::ReplicaSet),
            ("sts", Kind::StatefulSet),
            ("ds", Kind::DaemonSet),
            ("job.batch", Kind::Job),
            ("jobs", Kind::Job),
            ("rc", Kind::ReplicationController),
        ] {
            assert_eq!(Kind::parse(word), Some(kind), "{word}");
        }
        for word in
            ["", "cronjob", "deployment.batch", "deploymentz", "pod.apps", "v1", "pods.v1", "deploy.v1"]
        {
            assert_eq!(Kind::parse(word), None, "{word}");
        }
    }

    #[test]
    fn targets() {
        assert_eq!(Target::parse("web-0"), Ok(Target::object(Kind::Pod, "web-0")));
        assert_eq!(Target::parse("svc/api"), Ok(Target::object(Kind::Service, "api")));
        let full = Target::parse("prod/deploy/web");
        assert_eq!(full.as_ref().ok().and_then(|t| t.namespace.as_deref()), Some("prod"));
        assert_eq!(full.map(|t| t.to_string()), Ok("prod/deploy/web".to_owned()));
        assert!(matches!(Target::parse("cronjob/x"), Err(TargetError::UnknownKind { .. })));
        assert!(matches!(Target::parse("a/svc/b/c"), Err(TargetError::TooManyParts(_))));
        for empty in ["", "/", "svc/", "/api", "a//b"] {
            assert!(matches!(Target::parse(empty), Err(TargetError::Empty(_))), "{empty}");
        }
    }
}
