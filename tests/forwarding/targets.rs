//! The main job: every kind of target, port and local address, and kubectl's own line for each.

use std::net::TcpListener;

use tokio::net::UnixStream;

use crate::start::{fwd, working};
use sandbox::support::pods::{a_pod, cluster};
use sandbox::support::{Failure, Test, answer, ask, connect, post, rest};

/// The lines for a port on `localhost`.
fn both_loopbacks(port: u16, remote: u16) -> String {
    let v4 = format!("Forwarding from 127.0.0.1:{port} -> {remote}\n");
    if TcpListener::bind("[::1]:0").is_ok() {
        v4 + &format!("Forwarding from [::1]:{port} -> {remote}\n")
    } else {
        v4
    }
}

#[tokio::test]
async fn every_kind_of_target() -> Test {
    let sandbox = cluster().await?;
    let pods = |namespace: &str, app: &str| sandbox.ready_pods(namespace, &format!("app={app}"));
    let set = sandbox.pods("default", "app=web")?;
    let set = set[0]["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default().to_owned();
    for (line, namespace, app) in [
        ("svc/api :80", "default", "api"),
        ("service/api :http", "default", "api"),
        ("svc/web --port :80", "default", "web"),
        ("svc/manual :80", "default", "web"),
        ("-n prod svc/api :80", "prod", "api"),
        ("prod/services/api :80", "prod", "api"),
        ("deploy/web :8080", "default", "web"),
        ("prod/deployments.apps/api :http", "prod", "api"),
        (&format!("rs/{set} :http"), "default", "web"),
        ("sts/db :8080", "default", "db"),
        ("daemonset/agent :http", "default", "agent"),
        ("job/once :http", "default", "once"),
        ("rc/old :8080", "default", "old"),
        ("pod/solo :http", "default", "solo"),
        ("solo :8080", "default", "solo"),
        ("-l app=web :8080", "default", "web"),
    ] {
        let (forward, port) = working(&sandbox, line).await?;
        let pod = ask(port).await?;
        assert!(pods(namespace, app)?.contains(&pod), "{line}: {pod} answered");
        let ended = forward.end("INT").await?;
        assert_eq!(ended.stdout, both_loopbacks(port, 8080), "{line}");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn several_targets_and_ports_in_one_call() -> Test {
    let sandbox = cluster().await?;
    let line = "--address 127.0.0.1 svc/api :80 --port :9000 sts/db :pg prod/deploy/api :9002";
    let mut forward = fwd(&sandbox, line)?;
    let mut ports = std::collections::HashMap::new();
    for _ in 0..4 {
        let line = forward.stdout("Forwarding from 127.0.0.1:").await?;
        let (local, remote) = line.rsplit_once(" -> ").ok_or("no arrow")?;
        let port: u16 = local.rsplit_once(':').ok_or("no port")?.1.parse()?;
        ports.insert(remote.parse::<u16>()?, port);
    }
    assert!(ask(ports[&8080]).await?.starts_with("api-"));
    for echo in [9000, 5432] {
        let mut stream = connect(ports[&echo]).await?;
        crate::traffic::echo(&mut stream, 1, 1000).await?;
    }
    assert_eq!(rest(&mut connect(ports[&9002]).await?).await?, b"hello\n");
    let pods = sandbox.node().pods();
    let greeter = pods.iter().find(|pod| pod.ports[&9002].connections > 0).ok_or("nobody said hello")?;
    assert_eq!(greeter.namespace, "prod");
    assert_eq!(forward.end("INT").await?.stdout.lines().count(), 4);
    Ok(())
}

/// The line has the port in the pod, so a service's port, its target and the local one are three numbers.
#[tokio::test]
async fn a_local_port_of_ones_own() -> Test {
    let sandbox = cluster().await?;
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    for line in [format!("svc/api {free}:80"), format!("svc/api 127.0.0.1:{free}:http")] {
        let (forward, port) = working(&sandbox, &line).await?;
        assert_eq!(port, free, "{line}");
        assert!(ask(port).await?.starts_with("api-"), "{line}");
        forward.end("INT").await?;
    }
    // The local port of a name is known only from a pod; it may be taken here, and so may the next.
    let (_forward, port) = working(&sandbox, "--auto-port deploy/web http").await?;
    assert!(port >= 8080);
    assert!(ask(port).await?.starts_with("web-"));
    Ok(())
}

#[tokio::test]
async fn addresses() -> Test {
    let sandbox = cluster().await?;
    let has_v6 = TcpListener::bind("[::1]:0").is_ok();
    for (line, at, lines) in [
        ("--address 127.0.0.1 svc/api :80", "127.0.0.1", &["127.0.0.1"][..]),
        ("svc/api --address=0.0.0.0 :80", "127.0.0.1", &["0.0.0.0"]),
        ("--address ::1 svc/api :80", "::1", &["[::1]"]),
        ("--address 127.0.0.1,::1 svc/api :80", "::1", &["127.0.0.1", "[::1]"]),
        ("svc/api [::1]::80", "::1", &["[::1]"]),
    ] {
        if at == "::1" && !has_v6 {
            continue;
        }
        let mut forward = fwd(&sandbox, line)?;
        let first = forward.stdout("Forwarding from ").await?;
        let port = first.trim_end_matches(" -> 8080").rsplit_once(':').ok_or("no port")?.1.parse::<u16>()?;
        let mut stream = tokio::net::TcpStream::connect((at, port)).await?;
        assert!(post(&mut stream, "/", b"").await?.starts_with(b"api-"), "{line}");
        let said = forward.end("INT").await?.stdout;
        let expected: Vec<_> =
            lines.iter().map(|ip| format!("Forwarding from {ip}:{port} -> 8080")).collect();
        assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_unix_socket() -> Test {
    let sandbox = cluster().await?;
    let path = sandbox.directory().join("api.sock");
    let mut forward = fwd(&sandbox, &format!("svc/api unix:{}:80", path.display()))?;
    forward.stdout("Forwarding from unix:").await?;
    let mut stream = UnixStream::connect(&path).await?;
    assert!(post(&mut stream, "/", b"").await?.starts_with(b"api-"));
    let mut half = UnixStream::connect(&path).await?;
    tokio::io::AsyncWriteExt::write_all(&mut half, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    tokio::io::AsyncWriteExt::shutdown(&mut half).await?;
    assert!(answer(&mut half).await?.starts_with(b"api-"));
    let ended = forward.end("TERM").await?;
    assert_eq!(ended.stdout, format!("Forwarding from unix:{} -> 8080\n", path.display()));
    assert_eq!(ended.code, Some(0));
    assert!(!path.exists(), "the socket is left behind");
    Ok(())
}

/// Connections of one forward keep meeting the same pod.
#[tokio::test]
async fn one_pod_for_all() -> Test {
    let sandbox = cluster().await?;
    let (_forward, port) = working(&sandbox, "svc/web :80").await?;
    let first = ask(port).await?;
    for _ in 0..10 {
        assert_eq!(ask(port).await?, first);
    }
    assert!(!a_pod(&sandbox, "web")?.is_empty());
    Ok::<(), Failure>(())
}
