//! What decides which cluster is reached, as kubectl has it: its flags, and what it reads of the environment.

use std::{borrow::Cow, ffi::OsString, fmt, path::PathBuf, time::Duration};

use secrecy::SecretString;

/// kubectl's flags that say which cluster to reach, as whom, and how. By default there are none of them: the kubeconfig's
/// current context decides.
#[derive(Clone, Default)]
pub struct Flags {
    /// `--kubeconfig`: the one file to read; it must exist.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `-n`, `--namespace`.
    pub namespace: Option<String>,
    /// `-s`, `--server`.
    pub server: Option<String>,
    /// `--token`.
    pub token: Option<SecretString>,
    /// `--as`.
    pub as_user: Option<String>,
    /// `--as-group`, each of them.
    pub as_groups: Vec<String>,
    /// `--as-uid`.
    pub as_uid: Option<String>,
    /// `--as-user-extra`, each `KEY=VALUE`.
    pub as_user_extra: Vec<String>,
    /// `--certificate-authority`.
    pub certificate_authority: Option<PathBuf>,
    /// `--client-certificate`.
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`.
    pub client_key: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`.
    pub insecure_skip_tls_verify: Option<bool>,
    /// `--tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `--username`.
    pub username: Option<String>,
    /// `--password`.
    pub password: Option<SecretString>,
    /// `--request-timeout`; `None` and zero mean none.
    pub request_timeout: Option<Duration>,
    /// `--disable-compression`.
    pub disable_compression: bool,
}

impl Flags {
    /// The beginning of a command line that reaches the same cluster as the same user: `program` and these flags. The namespace
    /// is `namespace`. What is secret, and what only says how to ask, is left out.
    pub(in crate::cluster) fn command(&self, program: &str, namespace: Option<&str>) -> String {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        // A user may stand in it, with a password.
        let server = self.server.as_deref().filter(|server| !server.contains('@')).map(str::to_owned);
        let flags = [
            ("--kubeconfig", path(&self.kubeconfig)),
            ("--context", self.context.clone()),
            ("--cluster", self.cluster.clone()),
            ("--user", self.user.clone()),
            ("--server", server),
            ("--as", self.as_user.clone()),
            ("-n", namespace.map(str::to_owned)),
        ];
        flags.into_iter().fold(program.to_owned(), |line, (flag, value)| match value {
            Some(value) => format!("{line} {flag} {}", shell_word(&value)),
            None => line,
        })
    }
}

/// One word for a shell: in quotes where a shell would take it for something else.
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@%+=,~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''")).into()
    }
}

// Written by hand so that a new secret has to be thought about: names and places are shown, credentials are not.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("cluster", &self.cluster)
            .field("user", &self.user)
            .field("namespace", &self.namespace)
            .field("server", &self.server.as_deref().map(super::server::shown))
            .field("as_user", &self.as_user)
            .finish_non_exhaustive()
    }
}

/// What decides of the environment which cluster is reached. By default it is empty; [`ClusterEnvironment::read`] is
/// the process's.
#[derive(Clone, Default)]
pub struct ClusterEnvironment {
    /// `KUBECONFIG`: a list in the system's path-list form.
    pub kubeconfig: Option<OsString>,
    /// The home directory, for `~/.kube/config`.
    pub home: Option<PathBuf>,
    /// `HTTPS_PROXY` or `https_proxy`.
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY` or `http_proxy`.
    pub http_proxy: Option<String>,
    /// `NO_PROXY` or `no_proxy`.
    pub no_proxy: Option<String>,
    /// Whether a person can answer a credential plugin's questions.
    pub stdin_is_terminal: bool,
    /// What a pod is told of the cluster that it runs in; `None` outside of pods.
    pub pod: Option<InClusterConfig>,
}

/// What a pod is told of the cluster that it runs in.
#[derive(Debug, Clone)]
pub struct InClusterConfig {
    /// `KUBERNETES_SERVICE_HOST`.
    pub host: String,
    /// `KUBERNETES_SERVICE_PORT`.
    pub port: String,
    /// `POD_NAMESPACE`.
    pub namespace: Option<String>,
    /// The directory of the service account.
    pub account: PathBuf,
}

/// Where a service account is mounted.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

// Proxy URLs carry passwords.
impl fmt::Debug for ClusterEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("kubeconfig", &self.kubeconfig)
            .field("home", &self.home)
            .field("no_proxy", &self.no_proxy)
            .field("stdin_is_terminal", &self.stdin_is_terminal)
            .field("pod", &self.pod)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_reaches_the_same_cluster() {
        let flags = Flags {
            kubeconfig: Some("/tmp/my config".into()),
            context: Some("arn:aws:eks:eu-1:1:cluster/x".into()),
            server: Some("https://u:s3cret@a".into()),
            token: Some("s3cret".into()),
            as_user: Some("o'hara".into()),
            ..Flags::default()
        };
        assert_eq!(
            flags.command("kubectl", Some("prod")),
            "kubectl --kubeconfig '/tmp/my config' --context arn:aws:eks:eu-1:1:cluster/x --as 'o'\\''hara' -n prod"
        );
        assert_eq!(Flags::default().command("kubectl fwd", None), "kubectl fwd");
    }

    #[test]
    fn secrets_are_not_shown() {
        let flags = Flags {
            token: Some("s3cret".into()),
            server: Some("https://u:s3cret@a".into()),
            username: Some("u".into()),
            password: Some("s3cret".into()),
            ..Flags::default()
        };
        assert!(!format!("{flags:?}").contains("s3cret"));
        let environment = ClusterEnvironment {
            https_proxy: Some("http://u:s3cret@p".into()),
            ..ClusterEnvironment::default()
        };
        assert!(!format!("{environment:?}").contains("s3cret"));
    }
}
