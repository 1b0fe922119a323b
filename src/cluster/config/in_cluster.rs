//! The cluster that this process runs in, where it runs in a pod, as client-go finds it.

use std::{fs, path::PathBuf};

use kube::config::{AuthInfo, Cluster};

use super::flags::InClusterConfig;
use crate::cluster::tls::certificate_authority;

impl InClusterConfig {
    /// Whether there is an account to use.
    pub(super) fn has_account(&self) -> bool {
        !self.host.is_empty()
            && !self.port.is_empty()
            && fs::metadata(self.token()).is_ok_and(|token| !token.is_dir())
    }

    fn token(&self) -> PathBuf {
        self.account.join("token")
    }

    /// The API server's URL.
    pub(in crate::cluster) fn server(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") }
    }

    /// The cluster, without its server. A CA that is missing or broken leaves the system's authorities.
    pub(in crate::cluster) fn cluster(&self) -> Cluster {
        let path = self.account.join("ca.crt").display().to_string();
        let cluster = Cluster { certificate_authority: Some(path), ..Cluster::default() };
        match certificate_authority(&cluster) {
            Ok(_) => cluster,
            Err(error) => {
                tracing::warn!("{error}: the system's authorities are used");
                Cluster::default()
            }
        }
    }

    /// The account as a user.
    pub(in crate::cluster) fn user(&self) -> AuthInfo {
        AuthInfo { token_file: Some(self.token().display().to_string()), ..AuthInfo::default() }
    }

    /// The pod's own namespace.
    pub(in crate::cluster) fn namespace(&self) -> Option<String> {
        let read = || fs::read_to_string(self.account.join("namespace")).ok();
        let given = |text: &String| !text.is_empty();
        let own = || read().map(|text| text.trim().to_owned());
        self.namespace.clone().filter(given).or_else(own).filter(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_taken_as_it_is_found() {
        let account = std::env::temp_dir().join(format!("kubectl-fwd-account-{}", std::process::id()));
        fs::create_dir_all(&account).unwrap();
        let pod = |host: &str| InClusterConfig {
            host: host.into(),
            port: "443".into(),
            namespace: None,
            account: account.clone(),
        };
        assert!(!pod("10.0.0.1").has_account());
        fs::write(account.join("token"), "t\n").unwrap();
        assert!(pod("10.0.0.1").has_account() && !pod("").has_account());
        assert_eq!(pod("10.0.0.1").server(), "https://10.0.0.1:443");
        assert_eq!(pod("fd00::1").server(), "https://[fd00::1]:443");
        assert_eq!(pod("x").namespace(), None);
        fs::write(account.join("namespace"), "prod\n").unwrap();
        assert_eq!(pod("x").namespace().as_deref(), Some("prod"));
        let told = InClusterConfig { namespace: Some("told".into()), ..pod("x") };
        assert_eq!(told.namespace().as_deref(), Some("told"));
        // Neither a missing CA nor a broken one keeps the pod from trying.
        assert_eq!(pod("x").cluster().certificate_authority, None);
        fs::write(account.join("ca.crt"), "no certificate").unwrap();
        assert_eq!(pod("x").cluster().certificate_authority, None);
        fs::remove_dir_all(account).unwrap();
    }
}
