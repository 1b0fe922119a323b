//! Kubeconfigs that a test writes beside the sandbox's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::Sandbox;

/// Writes a kubeconfig beside the sandbox's own: this cluster, this user.
pub fn kubeconfig(sandbox: &Sandbox, name: &str, cluster: &Value, user: &Value) -> PathBuf {
    let path = sandbox.directory().join(name);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{ "name": "there", "cluster": cluster }],
        "users": [{ "name": "me", "user": user }],
        "contexts": [{ "name": "here", "context": { "cluster": "there", "user": "me" } }],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// The cluster entry that leads to the sandbox.
pub fn cluster_of(sandbox: &Sandbox) -> Value {
    json!({ "server": sandbox.url(), "certificate-authority-data": base64(sandbox.ca_pem()) })
}

/// A kubeconfig for another server, whose certificate is not known.
pub fn for_server(sandbox: &Sandbox, name: &str, server: &str) -> PathBuf {
    kubeconfig(sandbox, name, &json!({ "server": server }), &json!({ "token": "s3cret" }))
}

/// As the `-data` fields of a kubeconfig have it.
pub fn base64(text: &str) -> String {
    STANDARD.encode(text)
}
