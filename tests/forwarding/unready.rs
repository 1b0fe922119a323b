//! Pods that run and are not ready: named, published all the same, or allowed.

use sandbox::Sandbox;
use serde_json::json;

use crate::start::working;
use sandbox::support::pods::cluster;
use sandbox::support::{Test, ask};

/// One more pod of the service `notready`, which gets ready.
fn ready_pod(sandbox: &Sandbox, name: &str) -> Test {
    let ports = json!([{ "name": "http", "containerPort": 8080 }]);
    sandbox.create(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": "notready" } },
        "spec": { "containers": [{ "name": "app", "image": "sandbox/app:1", "ports": ports }] },
    }))?;
    Ok(())
}

/// As with kubectl, who names a pod means that one.
#[tokio::test]
async fn a_named_pod_is_forwarded_to_once_it_runs() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "pod/notready :8080").await?;
    let told = "pod/notready: pod notready is not ready; forwarding to it anyway, because you named it";
    assert_eq!(forward.stderr("not ready").await?, told);
    assert_eq!(ask(port).await?, "notready");
    Ok(())
}

#[tokio::test]
async fn a_named_pod_stays_when_it_is_no_longer_ready() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "pod/solo :http").await?;
    sandbox.mark_ready("default", "solo", false)?;
    forward.stderr("pod solo is not ready; forwarding to it anyway").await?;
    assert_eq!(ask(port).await?, "solo");
    // It may come and go: that is told once.
    for ready in [true, false, true] {
        sandbox.mark_ready("default", "solo", ready)?;
    }
    sandbox.delete("pod", "default", "solo")?;
    forward.stderr("waiting for a ready pod (pod solo is being deleted").await?;
    let said = forward.end("INT").await?.stderr;
    assert_eq!(said.lines().count(), 2, "{said}");
    Ok(())
}

/// What its EndpointSlice calls ready is what the service serves.
#[tokio::test]
async fn a_service_that_publishes_pods_that_are_not_ready() -> Test {
    let sandbox = cluster().await?;
    sandbox.patch("svc", "default", "notready", &json!({ "spec": { "publishNotReadyAddresses": true } }))?;
    let (forward, port) = working(&sandbox, "svc/notready :80").await?;
    assert_eq!(ask(port).await?, "notready");
    ready_pod(&sandbox, "ready")?;
    sandbox.settled().await?;
    assert_eq!(ask(port).await?, "notready");
    assert_eq!(forward.end("INT").await?.stderr, "");
    Ok(())
}

#[tokio::test]
async fn an_unready_pod_is_allowed_while_none_is_ready() -> Test {
    let sandbox = cluster().await?;
    let (mut forward, port) = working(&sandbox, "svc/notready :80 --allow-unready").await?;
    forward.stderr("svc/notready: no pod is ready; using notready, which is running").await?;
    assert_eq!(ask(port).await?, "notready");
    ready_pod(&sandbox, "ready")?;
    forward.stderr("svc/notready: pod notready is not ready, new connections go to ready").await?;
    assert_eq!(ask(port).await?, "ready");
    // With none that is ready, the one in use is as good as any.
    sandbox.mark_ready("default", "ready", false)?;
    forward.stderr("svc/notready: no pod is ready; using ready, which is running").await?;
    assert_eq!(ask(port).await?, "ready");
    Ok(())
}
