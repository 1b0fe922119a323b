//! A kubeconfig for each user, in a directory that goes when the sandbox does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::api::meta;
use crate::identity::tls::Tls;
use crate::identity::users::{Credential, User};

/// The directory and what is in it.
#[derive(Debug)]
pub(crate) struct Kubeconfigs {
    directory: PathBuf,
}

impl Kubeconfigs {
    /// Writes one for each user, who starts in the namespace `default`.
    pub(crate) fn write(url: &str, tls: &Tls, users: &[User]) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("sandbox-{}", meta::new_uid()));
        private_directory(&directory)?;
        let kubeconfigs = Self { directory };
        for user in users {
            fs::write(kubeconfigs.path(&user.name), document(url, tls, user))?;
        }
        Ok(kubeconfigs)
    }

    pub(crate) fn path(&self, user: &str) -> PathBuf {
        self.directory.join(format!("{user}.kubeconfig"))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Kubeconfigs {
    fn drop(&mut self) {
        // Nothing can be done about a failure, and the system clears its temporary files anyway.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn private_directory(path: &Path) -> io::Result<()> {
    let builder = fs::DirBuilder::new();
    #[cfg(unix)]
    let builder = {
        let mut builder = builder;
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
    };
    builder.create(path)
}

/// JSON, which is YAML.
fn document(url: &str, tls: &Tls, user: &User) -> String {
    let credential = match (user.credential, tls.clients.get(&user.name)) {
        (Credential::Certificate, Some(client)) => json!({
            "client-certificate-data": STANDARD.encode(&client.certificate),
            "client-key-data": STANDARD.encode(&client.key),
        }),
        _ => json!({ "token": user.token }),
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "sandbox", "preferences": {},
        "clusters": [{ "name": "sandbox", "cluster": {
            "server": url, "certificate-authority-data": STANDARD.encode(&tls.ca_pem),
        } }],
        "users": [{ "name": user.name, "user": credential }],
        "contexts": [{ "name": "sandbox", "context": {
            "cluster": "sandbox", "user": user.name, "namespace": "default",
        } }],
    });
    format!("{config:#}\n")
}
