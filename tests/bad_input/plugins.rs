//! Credential plugins that give none.
#![cfg(unix)]

use sandbox::support::kubeconfig::{cluster_of, kubeconfig};
use serde_json::{Value, json};

use crate::check::{check, sandbox};

fn shell(script: &str, extra: &Value) -> Value {
    let mut exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "sh", "args": ["-c", script],
    });
    for (key, value) in extra.as_object().unwrap() {
        exec[key] = value.clone();
    }
    json!({ "exec": exec })
}

#[tokio::test]
async fn plugins() {
    let sandbox = sandbox().await;
    let none = json!({});
    let hint =
        json!({ "command": "no-such-login", "installHint": "install it with: brew install no-such-login" });
    for (name, user, words) in [
        (
            "missing",
            shell("", &hint),
            &["plugin no-such-login failed", "not installed", "help: install it with: brew install"][..],
        ),
        ("unnamed", shell("", &json!({ "command": "" })), &["no command", "users[].user.exec.command"]),
        (
            "fails",
            shell("echo 'your session has ended' >&2; exit 3", &none),
            &["plugin sh failed", "status 3", "your session has ended", "a new login"],
        ),
        ("killed", shell("kill -KILL $$", &none), &["plugin sh failed", "it was killed", "by hand"]),
        ("garbage", shell("echo s3cret", &none), &["plugin sh failed", "not an ExecCredential", "by hand"]),
        ("empty", shell("echo '{\"status\": {}}'", &none), &["plugin sh failed", "neither a token nor"]),
        ("endless", shell("yes s3cret", &none), &["plugin sh failed", "more than 1 MiB", "by hand"]),
        (
            "line-break",
            shell("printf '{\"status\": {\"token\": \"s3\\\\ncret\"}}'", &none),
            &["the token cannot be sent", "a line break"],
        ),
        (
            "asks",
            shell("", &json!({ "interactiveMode": "Always" })),
            &["plugin sh cannot run", "interactiveMode: Always", "run this in a terminal"],
        ),
        (
            "refused",
            shell("echo '{\"status\": {\"token\": \"s3cret\"}}'", &none),
            &["cannot read service api", "401", "log in"],
        ),
    ] {
        let path = kubeconfig(&sandbox, name, &cluster_of(&sandbox), &user);
        check(&path, &[("svc/api :80", words)]).await;
    }
}

#[tokio::test]
async fn auth_providers() {
    let sandbox = sandbox().await;
    let provider =
        |name: &str, config: &Value| json!({ "auth-provider": { "name": name, "config": config } });
    let gcp = json!({ "cmd-path": "/bin/echo", "cmd-args": "s3cret", "access-token": "s3cret" });
    // {"exp": 1}, which has ended.
    let issuer = json!({
        "idp-issuer-url": "https://127.0.0.1:1", "client-id": "c", "client-secret": "s3cret",
        "refresh-token": "s3cret", "id-token": "e30.eyJleHAiOiAxfQ.s3cret",
    });
    for (name, user, words) in [
        ("gcp", provider("gcp", &gcp), &["auth-provider 'gcp'", "removed it", "gke-gcloud-auth-plugin"][..]),
        ("azure", provider("azure", &json!({})), &["auth-provider 'azure'", "kubelogin"]),
        ("other", provider("openstack", &json!({})), &["auth-provider 'openstack'", "not known"]),
        (
            "issuer",
            provider("oidc", &issuer),
            &["the OIDC issuer https://127.0.0.1:1 gave no token", "connection refused", "log in"],
        ),
        ("no-issuer", provider("oidc", &json!({})), &["auth-provider oidc", "no idp-issuer-url"]),
    ] {
        let path = kubeconfig(&sandbox, name, &cluster_of(&sandbox), &user);
        check(&path, &[("svc/api :80", words)]).await;
    }
}
