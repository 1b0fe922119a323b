//! Kubeconfigs and credentials that are of no use.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use sandbox::support::kubeconfig::{base64, cluster_of, kubeconfig};
use sandbox::{Options, Sandbox, ServerCertificate};
use serde_json::json;

use crate::run::{doctor, examine, examine_with, sandbox};

/// Everything that depends on the server.
const LATER: [&str; 9] = ["dns", "tcp", "tls", "http", "version", "clock", "login", "rights", "protocols"];

#[tokio::test]
async fn no_cluster_to_talk_to() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    let none = examine(&sandbox.directory().join("no-such-file"), "svc/api").await;
    none.fails(&["kubeconfig"]);
    none.says("kubeconfig", "failed", &["no cluster is configured", "no-such-file", "set KUBECONFIG"]);
    let skipped = none.with("skipped");
    assert!(LATER.iter().all(|name| skipped.contains(name)), "{skipped:?}");
    for name in ["context", "cluster", "credentials", "target", "pods", "application"] {
        assert!(skipped.contains(&name), "{name}: {skipped:?}");
    }
    // This machine is looked at all the same.
    none.says("kubectl", "ok", &[]);

    let unknown = examine(&admin, "--context nope").await;
    unknown.fails(&["context"]);
    unknown.says("context", "failed", &["there is no context 'nope'", "contexts: sandbox"]);
    unknown.says("kubeconfig", "ok", &["admin.kubeconfig"]);

    let broken = sandbox.directory().join("broken");
    std::fs::write(&broken, "clusters: [").unwrap();
    let broken = examine(&broken, "").await;
    broken.fails(&["kubeconfig"]);

    let mut listed = doctor(&admin, "");
    let paths = std::env::join_paths([sandbox.directory().join("gone"), admin.clone()]).unwrap();
    listed.env("KUBECONFIG", paths);
    examine_with(listed).await.says("kubeconfig", "ok", &["admin.kubeconfig", "not there: ", "gone"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_kubeconfig_that_everybody_can_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let sandbox = sandbox().await;
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // Where the directory for temporary files is the user's own, nobody else gets that far.
    if std::env::temp_dir().metadata().unwrap().permissions().mode() & 1 == 0 {
        return;
    }
    set(sandbox.directory(), 0o755);
    set(&sandbox.kubeconfig("admin"), 0o644);
    let all = examine(&sandbox.kubeconfig("admin"), "").await;
    all.fails(&[]);
    all.says("kubeconfig", "warning", &["every user of this machine can read it", "run: chmod 600 "]);
    set(&sandbox.kubeconfig("admin"), 0o600);
    examine(&sandbox.kubeconfig("admin"), "").await.says("kubeconfig", "ok", &[]);
    set(sandbox.directory(), 0o700);
}

#[tokio::test]
async fn the_clusters_entry() {
    let sandbox = sandbox().await;
    let token = json!({ "token": sandbox.token("admin").unwrap() });
    let broken = json!({ "server": sandbox.url(), "certificate-authority-data": base64("none") });
    let all = examine(&kubeconfig(&sandbox, "no-ca", &broken, &token), "svc/api").await;
    all.fails(&["cluster"]);
    all.says("cluster", "failed", &["CA", "PEM"]);
    all.says("credentials", "skipped", &["cluster"]);
    let insecure = json!({ "server": sandbox.url(), "insecure-skip-tls-verify": true });
    let all = examine(&kubeconfig(&sandbox, "insecure", &insecure, &token), "").await;
    all.fails(&[]);
    all.says("cluster", "warning", &["its certificate is not checked", "remove insecure-skip-tls-verify"]);
}

#[tokio::test]
async fn credentials() {
    let sandbox = sandbox().await;
    let of = |name: &str, user| kubeconfig(&sandbox, name, &cluster_of(&sandbox), &user);

    let refused = examine(&sandbox.kubeconfig("expired"), "svc/api").await;
    refused.fails(&["login"]);
    refused.says("login", "failed", &["401", "log in to the cluster again"]);
    refused.says("rights", "skipped", &["login"]);

    // What is of no use is no reason not to look at the way.
    let plugin = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "interactiveMode": "Never",
    } });
    let plugin = examine(&of("plugin", plugin), "svc/api").await;
    plugin.fails(&["credentials"]);
    plugin.says("credentials", "failed", &["credential plugin no-such-plugin failed", "not installed"]);
    plugin.says("tls", "ok", &[]);
    plugin.says("login", "skipped", &["credentials"]);

    let jwt = |end: i64| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        format!("s3cret.{}.s3cret", URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{end}}}")))
    };
    let old = examine(&of("old-token", json!({ "token": jwt(1_000_000_000) })), "").await;
    old.fails(&["credentials", "login"]);
    old.says("credentials", "failed", &["token: it expired", "2001-09-09", "log in to the cluster again"]);

    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let user = json!({
        "client-certificate-data": base64(&certificate.pem()), "client-key-data": base64(&key.serialize_pem()),
    });
    let old = examine(&of("old-certificate", user), "").await;
    old.says("credentials", "failed", &["client certificate: it expired", "2002-01-01", "log in"]);
    assert!(!old.all["ok"].as_bool().unwrap());

    let nobody = examine(&of("nobody", json!({})), "").await;
    nobody.says("credentials", "warning", &["requests are anonymous"]);
    nobody.says("login", "failed", &["401"]);

    let certificate = examine(&sandbox.kubeconfig("cert-admin"), "svc/api").await;
    certificate.fails(&[]);
    certificate.says("credentials", "ok", &["client certificate, valid for "]);
    let acting = examine(&sandbox.kubeconfig("admin"), "svc/api --as dev").await;
    acting.says("cluster", "ok", &["acting as dev"]);
    acting.says("login", "ok", &["knows the user as dev"]);
}

#[tokio::test]
async fn certificates_of_the_server() {
    let shown = async |server_certificate| {
        let options = Options { server_certificate, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        examine(&sandbox.kubeconfig("admin"), "svc/api").await
    };
    let expired = shown(ServerCertificate::Expired).await;
    expired.fails(&["tls"]);
    expired.says("tls", "failed", &["the server's certificate has expired", "administrator has to replace"]);
    expired.says("http", "skipped", &["tls"]);
    let ending = shown(ServerCertificate::Ending).await;
    ending.fails(&[]);
    ending.says("certificate", "warning", &["it expires in 23 h", "has to renew it"]);
}
