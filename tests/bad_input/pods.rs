//! Pods that do not serve.

use serde_json::json;

use crate::check::{check, sandbox};

#[tokio::test]
async fn not_ready_in_time() {
    let sandbox = sandbox().await;
    check(
        &sandbox.kubeconfig("admin"),
        &[
            (
                "svc/stuck :80 --pod-running-timeout 300ms",
                &[
                    "svc/stuck: no pod was ready within 300ms",
                    "pod stuck is Pending (ImagePullBackOff)",
                    "to see why, run: kubectl -n default describe pod stuck",
                ],
            ),
            (
                "pod/stuck :80 --pod-running-timeout 300ms",
                &["pod/stuck: no pod was ready", "pod stuck is Pending (ImagePullBackOff)"],
            ),
            (
                "svc/notready :80 --pod-running-timeout 300ms",
                &["svc/notready: no pod was ready", "pod notready is not ready", "--pod-running-timeout"],
            ),
            (
                "-l app=nothing :80 --pod-running-timeout 300ms",
                &[
                    "-l app=nothing: no pod was ready",
                    "no pods match",
                    "kubectl -n default get pods --show-labels",
                ],
            ),
            (
                "pod/stuck http --pod-running-timeout 300ms",
                &["cannot choose a local port for 'http'", "no pod was ready within 300ms", "8080:http"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn ended() {
    let sandbox = sandbox().await;
    for phase in ["Succeeded", "Failed"] {
        sandbox.patch("pod", "default", "notready", &json!({ "status": { "phase": phase } })).unwrap();
        let words = ["pod notready in namespace default has ended", phase, "another pod"];
        check(&sandbox.kubeconfig("admin"), &[("pod/notready :80", &words)]).await;
    }
}
