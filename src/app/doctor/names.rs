//! What the checks are called. Programs know them by these names: docs/DOCTOR.md has each.

pub(super) const KUBECONFIG: &str = "kubeconfig";
pub(super) const CONTEXT: &str = "context";
pub(super) const CLUSTER: &str = "cluster";
pub(super) const CREDENTIALS: &str = "credentials";
pub(super) const PROXY_DNS: &str = "proxy dns";
pub(super) const PROXY_TCP: &str = "proxy tcp";
pub(super) const PROXY_TLS: &str = "proxy tls";
pub(super) const PROXY_CONNECT: &str = "proxy connect";
pub(super) const DNS: &str = "dns";
pub(super) const TCP: &str = "tcp";
pub(super) const TLS: &str = "tls";
pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const HTTP: &str = "http";
pub(super) const VERSION: &str = "version";
pub(super) const CLOCK: &str = "clock";
pub(super) const LOGIN: &str = "login";
pub(super) const RIGHTS: &str = "rights";
pub(super) const TARGET: &str = "target";
pub(super) const PODS: &str = "pods";
pub(super) const PORT: &str = "port";
pub(super) const PROTOCOLS: &str = "protocols";
pub(super) const APPLICATION: &str = "application";
pub(super) const LOCAL_PORT: &str = "local port";
pub(super) const OPEN_FILES: &str = "open files";
pub(super) const CONTROL_DIRECTORY: &str = "control directory";
pub(super) const KUBECTL: &str = "kubectl";
pub(super) const TIME: &str = "time";

#[cfg(test)]
const ALL: [&str; 27] = [
    KUBECONFIG,
    CONTEXT,
    CLUSTER,
    CREDENTIALS,
    PROXY_DNS,
    PROXY_TCP,
    PROXY_TLS,
    PROXY_CONNECT,
    DNS,
    TCP,
    TLS,
    CERTIFICATE,
    HTTP,
    VERSION,
    CLOCK,
    LOGIN,
    RIGHTS,
    TARGET,
    PODS,
    PORT,
    PROTOCOLS,
    APPLICATION,
    LOCAL_PORT,
    OPEN_FILES,
    CONTROL_DIRECTORY,
    KUBECTL,
    TIME,
];

/// What is checked at the server once it is reached.
pub(super) const AT_THE_SERVER: [&str; 4] = [HTTP, VERSION, CLOCK, LOGIN];

/// What is checked once the server knows the user. A right is called `may VERB RESOURCE`.
pub(super) const OF_THE_USER: [&str; 2] = [RIGHTS, PROTOCOLS];

/// What is checked of a target besides.
pub(super) const OF_THE_TARGET: [&str; 4] = [TARGET, PODS, PORT, APPLICATION];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_documented() {
        // It is not in the package.
        let Ok(document) = std::fs::read_to_string("docs/DOCTOR.md") else { return };
        for name in ALL {
            let stands = [format!("`{name}`"), format!("`{name} PORT`"), format!("`{name} port PORT`")];
            assert!(stands.iter().any(|text| document.contains(text)), "{name}");
        }
    }
}
