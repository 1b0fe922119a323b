//! Rights, targets, pods and applications that are missing.

use http::{Method, StatusCode};
use sandbox::faults::Denial;
use serde_json::json;

use crate::run::{examine, sandbox, sandbox_with};

const FORWARD: &str = "pods/portforward";

#[tokio::test]
async fn each_right_in_turn() {
    // What is granted besides, what is asked of, what is missing, how that comes out, and what it says.
    let reading = ("get", "services");
    let pods = ("list,watch", "pods");
    let forward = ("get,create", FORWARD);
    for (granted, line, missing, status, words) in [
        (vec![pods, forward], "svc/api", "may get services", "failed", "resources: [\"services\"]"),
        (
            vec![reading, ("watch", "pods"), forward],
            "svc/api",
            "may list pods",
            "failed",
            "\"list\", \"watch\"]",
        ),
        (
            vec![reading, ("list", "pods"), forward],
            "svc/api",
            "may watch pods",
            "warning",
            "listed every 2 s",
        ),
        (
            vec![reading, pods, ("get", FORWARD)],
            "svc/api",
            "may create pods/portforward",
            "failed",
            "[\"get\", \"create\"]",
        ),
        (
            vec![reading, pods, ("create", FORWARD)],
            "svc/api",
            "may get pods/portforward",
            "warning",
            "WebSockets",
        ),
        (vec![forward], "pod/solo", "may get pods", "failed", "verbs: [\"get\", \"list\", \"watch\"]"),
        (vec![("get", "pods"), forward], "pod/solo", "may list pods", "warning", "read every 2 s"),
        (
            vec![("get", "services,pods"), forward],
            "svc/manual",
            "may list endpointslices",
            "failed",
            "discovery.k8s.io",
        ),
        (vec![pods, forward], "deploy/api", "may get deployments", "failed", "apiGroups: [\"apps\"]"),
    ] {
        let sandbox = sandbox_with(&granted).await;
        let all = examine(&sandbox.kubeconfig("someone"), line).await;
        all.says(missing, status, &["not allowed in namespace default", words]);
        all.says("login", "ok", &["someone"]);
        let rule = all.checks().find(|check| check["name"] == missing).unwrap()["advice"].as_str().unwrap();
        assert!(rule.contains("bound to \"someone\""), "{rule}");
        assert_eq!(all.all["ok"], status == "warning", "{missing}: {:#}", all.all);
    }
}

#[tokio::test]
async fn only_spdy() {
    let sandbox = sandbox_with(&[("get", "services"), ("list,watch", "pods"), ("create", FORWARD)]).await;
    let all = examine(&sandbox.kubeconfig("someone"), "svc/api").await;
    all.fails(&[]);
    all.says("protocols", "warning", &["the WebSocket tunnel does not (403", "SPDY works"]);
    all.says("application port 8080", "ok", &["accepts connections"]);
    let sandbox = self::sandbox().await;
    sandbox.faults().deny(Denial::new(StatusCode::BAD_GATEWAY).path("/portforward").text("<html>"));
    let all = examine(&sandbox.kubeconfig("admin"), "svc/api").await;
    all.fails(&["protocols"]);
    all.says("protocols", "failed", &["the WebSocket tunnel does not", "SPDY does not", "every proxy"]);
    all.says("application", "skipped", &["protocols"]);
    sandbox.faults().clear();
    // A proxy that knows no SPDY.
    sandbox.faults().deny(Denial::new(StatusCode::BAD_GATEWAY).method(&Method::POST).path("/portforward"));
    let all = examine(&sandbox.kubeconfig("admin"), "svc/api").await;
    all.fails(&[]);
    all.says("protocols", "ok", &["the WebSocket tunnel works", "SPDY does not"]);
}

#[tokio::test]
async fn targets_that_are_not_there() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    let none = examine(&admin, "svc/apo").await;
    none.fails(&["target"]);
    none.says("target", "failed", &["there is no service apo in namespace default", "did you mean 'api'?"]);
    none.says("pods", "skipped", &["target"]);
    let pod = examine(&admin, "api :80").await;
    pod.fails(&["pods"]);
    pod.says("pods", "failed", &["there is no pod api", "run: kubectl fwd svc/api :80"]);
    let labels = examine(&admin, "-l app=nothing").await;
    labels.fails(&["pods"]);
    labels.says("pods", "failed", &["no pod", "kubectl -n default get pods --show-labels"]);
    let unready = examine(&admin, "svc/notready").await;
    unready.fails(&["pods"]);
    unready.says(
        "pods",
        "failed",
        &["pod notready is not ready", "run: kubectl -n default describe pod notready"],
    );
    // It runs, so the rest can be looked at.
    unready.says("application port 8080", "ok", &[]);
    let stuck = examine(&admin, "svc/stuck").await;
    stuck.fails(&["pods"]);
    stuck.says("pods", "failed", &["ImagePullBackOff"]);
    stuck.says("protocols", "skipped", &["pods"]);
    let outside = examine(&admin, "svc/ext").await;
    outside.fails(&["target"]);
    // Who names a pod means it, ready or not.
    let named = examine(&admin, "pod/notready").await;
    named.fails(&[]);
    named.says("pods", "warning", &["pod notready is not ready, and is forwarded to all the same"]);
}

#[tokio::test]
async fn ports_and_applications() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    let unknown = examine(&admin, "svc/api :81").await;
    unknown.fails(&["port 81"]);
    unknown.says("port 81", "failed", &["no port 81", "http (80), echo (9000)"]);
    let name = examine(&admin, "pod/solo :htpp").await;
    name.fails(&["port htpp"]);
    let udp = examine(&admin, "svc/api :53").await;
    udp.fails(&["port 53"]);
    // Nothing listens on it: the runtime says so.
    let refused = examine(&admin, "pod/solo :8081").await;
    refused.fails(&["application port 8081"]);
    let logs = "run: kubectl -n default logs solo";
    refused.says(
        "application port 8081",
        "failed",
        &["connection refused", "nothing listens on port 8081", logs],
    );

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let all = examine(&admin, &format!("svc/api {port}:80")).await;
    let name = format!("local port {port}");
    all.fails(&[&name]);
    all.says(&name, "failed", &["is taken"]);
    drop(taken);
    examine(&admin, &format!("svc/api {port}:80")).await.says(&name, "ok", &["free"]);
}

/// Names from the cluster are harmless to a terminal, and whole in JSON.
#[tokio::test]
async fn no_ready_pod_says_why() {
    let sandbox = sandbox().await;
    let reason = json!({ "status": { "conditions": [], "reason": "Evil\\u001b[2J" } });
    sandbox.patch("pod", "default", "notready", &reason).unwrap();
    let all = examine(&sandbox.kubeconfig("admin"), "svc/notready").await;
    all.fails(&["pods"]);
}
