//! Users who may do less than everything.

use sandbox::{Options, Sandbox, User};

use crate::start::fwd_as;
use sandbox::support::pods::{a_pod, cluster};
use sandbox::support::{Test, ask};

/// Each role that is enough, for each rule about WebSockets.
#[tokio::test]
async fn roles_that_are_enough() -> Test {
    for strict_websocket_create in [true, false] {
        let get_only =
            User::new("getonly").may("get,list,watch", "pods,services").may("get", "pods/portforward");
        let options = Options { strict_websocket_create, users: vec![get_only], ..Options::default() };
        let sandbox = Sandbox::start(options).await?;
        for (user, line, app) in [
            ("cert-admin", "svc/api :80", "api"),
            // Refused on every WebSocket, welcome on plain SPDY.
            ("dev", "svc/api :80", "api"),
            ("dev", "deploy/web :8080", "web"),
            ("podonly", "pod/solo :http", "solo"),
            ("podonly", "solo :8080", "solo"),
            ("nowatch", "svc/api :80", "api"),
            // Enough for a WebSocket before Kubernetes 1.35.
            ("getonly", "svc/api :80", "api"),
        ] {
            if user == "getonly" && strict_websocket_create {
                continue;
            }
            let mut forward = fwd_as(&sandbox, user, line)?;
            let port = forward.port().await?;
            let pod = ask(port).await?;
            assert!(pod.starts_with(app), "{user} {line}: {pod} answered");
            assert_eq!(forward.end("INT").await?.code, Some(0), "{user} {line}");
        }
    }
    Ok(())
}

/// Where pods may not be watched they are polled, which is told, and does the same a little later.
#[tokio::test]
async fn without_watching() -> Test {
    let sandbox = cluster().await?;
    for (user, line, app) in [("nowatch", "svc/api :80", "api"), ("nowatch", "sts/db :8080", "db")] {
        let mut forward = fwd_as(&sandbox, user, line)?;
        let port = forward.port().await?;
        forward.stderr("listed every 2 s").await?;
        let pod = ask(port).await?;
        sandbox.mark_ready("default", &pod, false)?;
        forward.stderr(&format!("pod {pod} is not ready, new connections go to ")).await?;
        let other = ask(port).await?;
        assert!(other != pod && other.starts_with(app), "{other}");
    }
    Ok(())
}

/// With `get pods` alone, the one pod is still seen to go, and to come back under its name.
#[tokio::test]
async fn one_pod_by_name() -> Test {
    let sandbox = cluster().await?;
    let pod = a_pod(&sandbox, "db")?;
    let mut forward = fwd_as(&sandbox, "podonly", &format!("{pod} :8080"))?;
    let port = forward.port().await?;
    assert_eq!(ask(port).await?, pod);
    sandbox.delete("pod", "default", &pod)?;
    forward.stderr("the new ").await?;
    assert_eq!(ask(port).await?, pod);
    Ok(())
}
