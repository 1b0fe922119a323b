//! All is well.

use serde_json::Value;

use crate::run::{doctor, examine, run, sandbox};

#[tokio::test]
async fn with_and_without_a_target() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    let all = examine(&admin, "").await;
    all.fails(&[]);
    assert_eq!(all.all["target"], Value::Null);
    all.says("context", "ok", &["sandbox, namespace default"]);
    all.says("cluster", "ok", &[&sandbox.url()]);
    all.says("tcp", "ok", &[&sandbox.address().to_string()]);
    all.says("tls", "ok", &["TLS 1.3", "accepted"]);
    all.says("certificate", "ok", &["valid for ", " days"]);
    all.says("version", "ok", &["v1."]);
    all.says("clock", "ok", &["the same time"]);
    all.says("login", "ok", &["admin"]);
    all.says("may get pods/portforward", "ok", &["in namespace default"]);
    all.says("protocols", "ok", &["the WebSocket tunnel and SPDY"]);
    for check in all
        .checks()
        .filter(|check| ["dns", "tcp", "tls", "http", "login"].contains(&check["name"].as_str().unwrap()))
    {
        assert!(check["milliseconds"].is_u64(), "{check}");
    }

    for (line, target, words) in [
        ("svc/api", "svc/api", ["with the labels app=api", "2 of 2 ready: api-"]),
        ("deploy/web :8080", "deploy/web", ["with the labels app=web", "3 of 3 ready: web-"]),
        ("solo", "pod/solo", ["pod solo in namespace default", "1 of 1 ready: solo"]),
        ("-l app=db", "-l app=db", ["with the labels app=db", "2 of 2 ready: db-0, db-1"]),
        ("svc/manual:80", "svc/manual", ["EndpointSlices of service manual", "3 of 3 ready: web-"]),
        ("-n prod svc/api:http", "svc/api", ["namespace prod", "1 of 1 ready: api-"]),
        ("prod/svc/api", "prod/svc/api", ["namespace prod", "1 of 1 ready: api-"]),
    ] {
        let all = examine(&admin, line).await;
        all.fails(&[]);
        assert_eq!(all.all["target"], target);
        all.says("target", "ok", &[words[0]]);
        all.says("pods", "ok", &[words[1]]);
        all.says("protocols", "ok", &["the WebSocket tunnel works", "SPDY works"]);
        let applications =
            all.with("ok").into_iter().filter(|name| name.starts_with("application port ")).count();
        assert!(applications > 0, "{:#}", all.all);
    }
    // Each port of the service, to the pod's own.
    let all = examine(&admin, "svc/api").await;
    all.says("port 80", "ok", &["port 8080 of pod api-"]);
    all.says("port 9000", "ok", &["of pod api-"]);
    all.says("application port 8080", "ok", &["accepts connections"]);
    all.says("application port 9000", "ok", &["accepts connections"]);
}

#[tokio::test]
async fn for_people() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    let ended = run(doctor(&admin, "svc/api :80")).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    assert!(ended.stdout.starts_with("✔ kubeconfig "), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n✔ application port 8080"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n\nEverything that is needed to forward is there"), "{}", ended.stdout);
    assert!(ended.stdout.lines().all(|line| line == line.trim_end()), "{}", ended.stdout);
    let mut plain = doctor(&admin, "svc/api");
    plain.env("LC_ALL", "C");
    let ended = run(plain).await;
    assert!(ended.stdout.is_ascii() && ended.stdout.starts_with("ok     kubeconfig "), "{}", ended.stdout);
    let ended = run(doctor(&admin, "svc/api -q")).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stdout);
    let ended = run(doctor(&admin, "svc/notready --quiet")).await;
    assert!(ended.stdout.starts_with("✘ pods ") && ended.stdout.lines().count() == 2, "{}", ended.stdout);
    let ended = run(doctor(&sandbox.kubeconfig("nothing"), "svc/api")).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("✘ may get services"), "{}", ended.stdout);
    // One role grants all of it, and is shown once.
    assert_eq!(ended.stdout.matches("\n    kind: Role\n").count(), 1, "{}", ended.stdout);
    for resource in ["services", "pods", "pods/portforward"] {
        assert!(ended.stdout.contains(&format!("\n      resources: [\"{resource}\"]\n")), "{}", ended.stdout);
    }
    assert!(ended.stdout.contains(" checks failed"), "{}", ended.stdout);
}

#[tokio::test]
async fn words_that_make_no_sense() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    for (line, words) in [
        ("8080:80", "is a port without a target"),
        ("svc/api svc/db", "'svc/db' is a second target"),
        ("scv/api", "did you mean 'svc'?"),
        ("svc/api -o yaml", "invalid value 'yaml' for --output"),
    ] {
        let ended = run(doctor(&admin, line)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{line}");
        assert!(ended.stderr.contains(words), "{line}: {}", ended.stderr);
    }
}
