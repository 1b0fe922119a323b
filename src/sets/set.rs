//! What a set says: the nouns of `fwd.yaml`. [`super::read`] makes one of a text, [`super::write`] a text of one.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::model::{
    forward::RetryMode,
    ports::{Address, PortSpec},
    target::Target,
};

/// Forwards that are started together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardSet {
    /// Kept current while forwards come and go (`save --auto`).
    pub auto: bool,
    /// The kubeconfig that its contexts are looked up in; relative to the file.
    pub kubeconfig: Option<PathBuf>,
    /// The forwards, in their order.
    pub entries: Vec<SetEntry>,
}

/// A target with some of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetEntry {
    /// What to forward to.
    pub target: Target,
    /// Its ports, at least one.
    pub ports: Vec<PortSpec>,
    /// What the user calls it.
    pub label: Option<String>,
    /// Where and how, the defaults of its set included.
    pub scope: EntryOptions,
    /// The line at which it begins; 0 for one that was never written.
    pub line: usize,
}

/// Where and how to forward. What is not said is as it is on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryOptions {
    /// The context of the kubeconfig.
    pub context: Option<String>,
    /// The namespace, for a target that names none itself.
    pub namespace: Option<String>,
    /// Where to listen.
    pub addresses: Option<Vec<Address>>,
    /// How long a connection waits for a ready pod.
    pub hold: Option<Duration>,
    /// How long the start waits for one.
    pub pod_running_timeout: Option<Duration>,
    /// Whether a taken local port is replaced by the next free one.
    pub auto_port: Option<bool>,
    /// Whether a pod that runs and is not ready will do while none is ready.
    pub allow_unready: Option<bool>,
    /// Which requests are sent again when the connection to the pod is lost under them.
    pub retry: Option<RetryMode>,
}

impl ForwardSet {
    /// How many forwards it is: one per port.
    pub fn forwards(&self) -> usize {
        self.entries.iter().map(|entry| entry.ports.len()).sum()
    }

    /// Whether its kubeconfig is this one, where the set's file is in `directory`. None stands for the usual ones, and
    /// equals None alone.
    pub fn is_of(&self, kubeconfig: Option<&Path>, directory: &Path) -> bool {
        // Two ways to write it may lead to the same file; one that is gone is known by its path alone.
        let real = |path: PathBuf| fs::canonicalize(&path).unwrap_or(path);
        let own = self.kubeconfig.as_ref().map(|path| real(directory.join(path)));
        own == kubeconfig.map(|path| real(path.to_owned()))
    }
}

impl EntryOptions {
    /// With what `self` does not say taken from `defaults`.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        Self {
            context: self.context.or(defaults.context),
            namespace: self.namespace.or(defaults.namespace),
            addresses: self.addresses.or(defaults.addresses),
            hold: self.hold.or(defaults.hold),
            pod_running_timeout: self.pod_running_timeout.or(defaults.pod_running_timeout),
            auto_port: self.auto_port.or(defaults.auto_port),
            allow_unready: self.allow_unready.or(defaults.allow_unready),
            retry: self.retry.or(defaults.retry),
        }
    }
}
