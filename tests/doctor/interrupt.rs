//! Ctrl-C while something is waited for.

use std::process::{Command, Stdio};

use sandbox::support::forward::Forward;
use sandbox::support::kubeconfig::{cluster_of, kubeconfig};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::run::{doctor, sandbox};

/// Ctrl-C ends it at once, and what it has started with it.
#[tokio::test]
async fn an_interrupt() {
    let sandbox = sandbox().await;
    let waits = sandbox.directory().join("waits");
    // The plugin holds this pipe open for as long as it runs.
    let script = format!("echo started > {}; exec cat", waits.display());
    let made = Command::new("mkfifo").arg(&waits).status().unwrap();
    assert!(made.success());
    let user = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "sh", "args": ["-c", script],
    } });
    let path = kubeconfig(&sandbox, "slow-plugin", &cluster_of(&sandbox), &user);
    let mut command = doctor(&path, "svc/api");
    command.stdin(Stdio::null());
    let running = Forward::spawn(command).unwrap();
    let mut started = tokio::fs::File::open(&waits).await.unwrap();
    let mut text = String::new();
    started.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "started\n");
    let ended = running.end("INT").await.unwrap();
    assert_eq!(ended.code, Some(130), "{ended:?}");
}
