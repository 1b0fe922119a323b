//! The environment of this process, as far as it decides which cluster is reached.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use super::flags::{ClusterEnvironment, InClusterConfig, SERVICE_ACCOUNT};

impl ClusterEnvironment {
    /// Reads what kubectl reads: `KUBECONFIG`, the home directory, the proxies, and in a pod what it is told of its cluster.
    pub fn read() -> Self {
        // As Go does: the upper-case spelling first, and an empty variable is none.
        let either = |upper: &str| {
            let read = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
            read(upper).or_else(|| read(&upper.to_ascii_lowercase()))
        };
        Self {
            kubeconfig: env::var_os("KUBECONFIG").filter(|value| !value.is_empty()),
            home: env::home_dir(),
            https_proxy: either("HTTPS_PROXY"),
            http_proxy: either("HTTP_PROXY"),
            no_proxy: either("NO_PROXY"),
            stdin_is_terminal: io::stdin().is_terminal(),
            pod: env::var("KUBERNETES_SERVICE_HOST").ok().map(|host| InClusterConfig {
                host,
                port: env::var("KUBERNETES_SERVICE_PORT").unwrap_or_default(),
                namespace: env::var("POD_NAMESPACE").ok(),
                account: SERVICE_ACCOUNT.into(),
            }),
        }
    }
}
