//! Many forwards, connections and pods at once: all of them work, and what is asked of the API server does not grow with them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use sandbox::support::{Failure, Test, World, answer, send, within};

/// Forwards to the pods of one selector, and connections over them that are open together.
const FORWARDS: usize = 300;
const CONNECTIONS: usize = 500;

/// Connections that are being opened at a time.
const AT_ONCE: usize = 20;

/// Pods of the selector beside those that run: three pages of a list with them.
const PODS: usize = 1000;

/// A pod on a node that nobody runs. It is not ready, so that nobody is sent there.
fn crowd(world: &World, at: usize) -> Result<(), Failure> {
    let name = format!("crowd-{at:04}");
    world.sandbox.create(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": "api" } },
        "spec": { "nodeName": "node2", "containers": [{ "name": "app", "image": "app", "ports": [{ "containerPort": 8080 }] }] },
    }))?;
    world.sandbox.patch("pod", "default", &name, &json!({ "status": { "phase": "Running" } }))?;
    Ok(())
}

/// What was asked of the API server, but for the upgrades.
fn asked(world: &World) -> BTreeMap<String, usize> {
    let mut asked = world.sandbox.requests();
    asked.retain(|kind, _| !kind.ends_with("/portforward"));
    asked
}

#[tokio::test]
async fn forwards_connections_and_pods() -> Test {
    // Each connection has one descriptor of this process at its client and two at the sandbox.
    rlimit::increase_nofile_limit(4 * CONNECTIONS as u64)?;
    let world = World::new(crate::PROGRAM).await?;
    for at in 0..PODS {
        crowd(&world, at)?;
    }
    let mut forward = world.start(&format!("--address 127.0.0.1 svc/api{}", " :80".repeat(FORWARDS)))?;
    let mut ports = Vec::new();
    for _ in 0..FORWARDS {
        ports.push(forward.port().await?);
    }
    let mut once = asked(&world);
    assert_eq!(once.get("get services"), Some(&1), "{once:?}");
    assert_eq!(once.get("list pods"), Some(&(PODS / 500 + 1)), "{once:?}");
    assert_eq!(once.get("watch pods"), Some(&1), "{once:?}");

    let answered = |at: usize| {
        let port = ports[at % FORWARDS];
        async move {
            let mut stream = send(port, "/").await?;
            answer(&mut stream).await?;
            Ok::<TcpStream, Failure>(stream)
        }
    };
    let open: Vec<TcpStream> =
        stream::iter((0..CONNECTIONS).map(answered)).buffer_unordered(AT_ONCE).try_collect().await?;
    let listed = world.list().await?;
    assert_eq!(listed.len(), FORWARDS);
    assert!(listed.iter().all(|one| one["state"] == "active"), "{listed:?}");
    let count = |what: &str| listed.iter().filter_map(|one| one["connections"][what].as_u64()).sum::<u64>();
    assert_eq!((count("open"), count("failed")), (CONNECTIONS as u64, 0));
    assert!(world.told("list").await?.lines().count() > FORWARDS);
    // The service is followed once its forwards work, which may be meanwhile: by one list and one watch.
    let mut now = asked(&world);
    for follows in ["list services", "watch services"] {
        assert!(now.remove(follows).is_none_or(|count| count == 1), "{now:?}");
        once.remove(follows);
    }
    assert_eq!(now, once, "connections and lists ask nothing of the API server");

    // What happens to all of them is told of each.
    let mut client = world.client().await?;
    client.call("portforward:subscribe", json!({})).await?;
    let pod = listed[0]["pod"].as_str().ok_or("no pod")?;
    world.sandbox.delete("pod", "default", pod)?;
    let mut told = BTreeSet::new();
    while told.len() < FORWARDS {
        let event = client.event(|event| event["event"] == "retargeted").await?;
        told.insert(event["id"].as_str().unwrap_or_default().to_owned());
    }

    drop(open);
    world.succeed("stop --all").await?;
    let ended = forward.wait().await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(world.list().await?, Vec::<Value>::new());
    within("every session to end", world.sandbox.node().sessions_are(|open| open == 0)).await?;
    Ok(())
}

/// Forwards of other services with the same pods, each started on its own, share one list and one watch.
#[tokio::test]
async fn services_of_one_selector() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let names: Vec<String> = (0..10).map(|at| format!("same-{at}")).collect();
    for name in &names {
        world.sandbox.create(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "default" },
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        }))?;
    }
    let (serve, mut client) = world.served().await?;
    for at in 0..4 * names.len() {
        client.forward("svc", &names[at % names.len()], json!(80)).await?;
        let asked = asked(&world);
        assert_eq!([asked.get("list pods"), asked.get("watch pods")], [Some(&1); 2], "{asked:?}");
        assert_eq!(asked.get("get services"), Some(&(at + 1)), "the service is asked once for each start");
    }
    // The end of each is told before the connection ends.
    client.call("portforward:subscribe", json!({})).await?;
    assert_eq!(serve.end("TERM").await?.code, Some(0));
    for _ in 0..4 * names.len() {
        client.event(|event| event["event"] == "stopped").await?;
    }
    Ok(())
}
