//! Pods that differ in their ports, and pods that run and are not ready.

use std::collections::HashMap;

use sandbox::support::forward::Forward;
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::start::{fwd, working};
use sandbox::support::pods::a_pod;
use sandbox::support::{Failure, Test, ask, connect, send, within};

/// A pod of this app whose ports have these names.
fn pod(app: &str, name: &str, ports: &[(&str, u16)]) -> Value {
    let ports: Vec<_> = ports
        .iter()
        .map(|&(name, port)| match name {
            "" => json!({ "containerPort": port }),
            name => json!({ "name": name, "containerPort": port }),
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": app } },
        "spec": { "containers": [{ "name": "app", "image": "sandbox/app:1", "ports": ports }] },
    })
}

/// Brings pods up one after the other, so that the first is ready for longest.
async fn create(sandbox: &Sandbox, pods: impl IntoIterator<Item = Value>) -> Test {
    for pod in pods {
        sandbox.create(pod)?;
        sandbox.settled().await?;
    }
    Ok(())
}

fn service(name: &str, app: Option<&str>, ports: &Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": { "ports": ports },
    });
    if let Some(app) = app {
        service["spec"]["selector"] = json!({ "app": app });
    }
    service
}

/// A cluster with a service `named` whose port leads to the pods' port `http`.
async fn named() -> Result<Sandbox, Failure> {
    let sandbox = Sandbox::start(Options { default_objects: false, ..Options::default() }).await?;
    let ports = json!([{ "name": "web", "port": 80, "targetPort": "http" }]);
    sandbox.create(service("named", Some("named"), &ports))?;
    Ok(sandbox)
}

/// The local ports of a forward of several, by the port that they lead to.
async fn by_pod_port(forward: &mut Forward, count: usize) -> Result<HashMap<u16, u16>, Failure> {
    let mut ports = HashMap::new();
    for _ in 0..count {
        let line = forward.stdout("Forwarding from 127.0.0.1:").await?;
        let (local, remote) = line.rsplit_once(" -> ").ok_or("no arrow")?;
        ports.insert(remote.parse()?, local.rsplit_once(':').ok_or("no port")?.1.parse()?);
    }
    Ok(ports)
}

/// The pod that serves what is sent to a port that echoes: the one whose application has it.
async fn echoed_by(sandbox: &Sandbox, port: u16, pod_port: u16) -> Result<String, Failure> {
    let count = |pods: &[sandbox::node::Pod]| -> HashMap<String, u64> {
        pods.iter()
            .map(|pod| (pod.name.clone(), pod.ports.get(&pod_port).map_or(0, |s| s.connections)))
            .collect()
    };
    let before = count(&sandbox.node().pods());
    let mut stream = connect(port).await?;
    crate::traffic::echo(&mut stream, 1, 100).await?;
    let after = count(&sandbox.node().pods());
    let served = after.into_iter().find(|(name, now)| before.get(name).is_none_or(|then| now > then));
    served.map(|(name, _)| name).ok_or_else(|| "no pod was connected to".into())
}

#[tokio::test]
async fn a_pod_without_the_port_is_not_chosen() -> Test {
    let sandbox = named().await?;
    create(&sandbox, [pod("named", "a", &[("", 8080)]), pod("named", "b", &[("http", 8080)])]).await?;
    let (mut forward, port) = working(&sandbox, "svc/named :80").await?;
    assert_eq!(ask(port).await?, "b");
    // Nor is it moved to, while one that has the port is there; nor where none is.
    create(&sandbox, [pod("named", "c", &[("http", 8080)])]).await?;
    sandbox.delete("pod", "default", "b")?;
    forward.stderr("pod b is terminating, new connections go to c").await?;
    assert_eq!(ask(port).await?, "c");
    sandbox.delete("pod", "default", "c")?;
    let told = forward.stderr("waiting for a ready pod (").await?;
    assert!(told.contains("1 pod is ready, but without the port: pod a has no port named 'http'"), "{told}");
    create(&sandbox, [pod("named", "d", &[("http", 8080)])]).await?;
    forward.stderr("ready again, now using pod d").await?;
    assert_eq!(ask(port).await?, "d");
    Ok(())
}

/// At the start a port that no pod has, and that none will have, is an error; one that a pod will have is waited for.
#[tokio::test]
async fn no_pod_has_the_port() -> Test {
    let sandbox = named().await?;
    create(&sandbox, [pod("named", "a", &[("web", 8080)]), pod("named", "b", &[])]).await?;
    for line in ["svc/named :80", "-l app=named :http", "-l app=named http"] {
        let ended = fwd(&sandbox, line)?.wait().await?;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{line}");
        for said in ["cannot forward to port ", "pod a has no port named 'http'; it has web (8080)"] {
            assert!(ended.stderr.contains(said), "{line}: {}", ended.stderr);
        }
    }
    sandbox.create(pod("named", "c", &[("http", 8080)]))?;
    let (_forward, port) = working(&sandbox, "svc/named :80").await?;
    assert_eq!(ask(port).await?, "c");
    Ok(())
}

/// Where one pod has all ports it gets them all, and they move together; where none has, they go to several.
#[tokio::test]
async fn ports_of_one_target_on_several_pods() -> Test {
    let sandbox = named().await?;
    let (web, echo) = (("http", 8080), ("echo", 9000));
    let both = |name| pod("named", name, &[web, echo]);
    create(&sandbox, [pod("named", "web", &[web]), pod("named", "echo", &[echo]), both("x"), both("y")])
        .await?;
    let mut forward = fwd(&sandbox, "--address 127.0.0.1 -l app=named :http :echo")?;
    let ports = by_pod_port(&mut forward, 2).await?;
    assert_eq!(
        (ask(ports[&8080]).await?.as_str(), echoed_by(&sandbox, ports[&9000], 9000).await?),
        ("x", "x".into())
    );
    sandbox.delete("pod", "default", "x")?;
    forward.stderr("-l app=named: pod x is terminating, new connections go to y").await?;
    assert_eq!(
        (ask(ports[&8080]).await?.as_str(), echoed_by(&sandbox, ports[&9000], 9000).await?),
        ("y", "y".into())
    );
    sandbox.delete("pod", "default", "y")?;
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(forward.stderr(": pod y is terminating, new connections go to ").await?);
    }
    told.sort();
    for (line, (port, pod)) in told.iter().zip([("echo", "echo"), ("http", "web")]) {
        let expected = format!("-l app=named:{port}: pod y is terminating, new connections go to {pod}");
        assert_eq!(*line, expected);
    }
    assert_eq!(ask(ports[&8080]).await?, "web");
    assert_eq!(echoed_by(&sandbox, ports[&9000], 9000).await?, "echo");
    // Back on one pod they move together again.
    create(&sandbox, [both("z"), both("zz")]).await?;
    for (gone, port) in [("web", "http"), ("echo", "echo")] {
        sandbox.delete("pod", "default", gone)?;
        forward
            .stderr(&format!("app=named:{port}: pod {gone} is terminating, new connections go to z"))
            .await?;
    }
    assert_eq!(
        (ask(ports[&8080]).await?.as_str(), echoed_by(&sandbox, ports[&9000], 9000).await?),
        ("z", "z".into())
    );
    sandbox.delete("pod", "default", "z")?;
    forward.stderr("-l app=named: pod z is terminating, new connections go to zz").await?;
    let said = forward.end("INT").await?.stderr;
    assert_eq!(said.matches("new connections go to").count(), 6, "{said}");
    Ok(())
}

/// A slice of a service without a selector: these pods have this port.
fn slice(service: &str, suffix: u32, port: (&str, u16), pods: &[&str]) -> Value {
    let endpoints: Vec<_> = pods
        .iter()
        .map(|pod| json!({
            "addresses": ["10.9.9.9"], "targetRef": { "kind": "Pod", "namespace": "default", "name": pod },
        }))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{suffix}"), "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{ "name": port.0, "port": port.1, "protocol": "TCP" }],
    })
}

#[tokio::test]
async fn slices_with_different_ports() -> Test {
    let sandbox = named().await?;
    create(&sandbox, [pod("p", "a", &[]), pod("p", "b", &[])]).await?;
    sandbox.create(service(
        "sliced",
        None,
        &json!([{ "name": "web", "port": 80 }, { "name": "echo", "port": 90 }]),
    ))?;
    sandbox.create(slice("sliced", 1, ("web", 8080), &["a"]))?;
    sandbox.create(slice("sliced", 2, ("echo", 9000), &["b"]))?;
    let mut forward = fwd(&sandbox, "--address 127.0.0.1 svc/sliced :80 :90")?;
    let ports = by_pod_port(&mut forward, 2).await?;
    assert_eq!(ask(ports[&8080]).await?, "a");
    assert_eq!(echoed_by(&sandbox, ports[&9000], 9000).await?, "b");
    // The port moves to the other pod, and its number with it.
    sandbox.patch("endpointslices", "default", "sliced-1", &json!({ "endpoints": [] }))?;
    forward.stderr("svc/sliced:80: waiting for a ready pod (1 pod is ready, but without the port: ").await?;
    sandbox.create(slice("sliced", 3, ("web", 8080), &["b"]))?;
    forward.stderr("svc/sliced:80: ready again, now using pod b").await?;
    assert_eq!(ask(ports[&8080]).await?, "b");
    sandbox.patch(
        "endpointslices",
        "default",
        "sliced-3",
        &json!({ "ports": [{ "name": "web", "port": 9000, "protocol": "TCP" }] }),
    )?;
    // The same pod, by another number: what is sent comes back.
    within("the other number", async {
        let mut first = [0; 3];
        while first != *b"GET" {
            send(ports[&8080], "/").await?.read_exact(&mut first).await?;
        }
        Ok::<_, Failure>(())
    })
    .await?
}

/// A slice is anyone's who may write one: what it names beyond its own namespace is nothing to forward to, though the
/// user may.
#[tokio::test]
async fn slices_lead_to_no_other_namespace() -> Test {
    let sandbox = sandbox::support::pods::cluster().await?;
    let elsewhere = sandbox.ready_pods("prod", "app=api")?.remove(0);
    let here = a_pod(&sandbox, "web")?;
    let ports = json!([{ "name": "web", "port": 80 }]);
    sandbox.create(service("sliced", None, &ports))?;
    let targets = [("prod", elsewhere.as_str()), ("default", &format!("../../prod/pods/{elsewhere}"))];
    let endpoints = targets.map(|(namespace, name)| {
        let target = json!({ "kind": "Pod", "namespace": namespace, "name": name });
        json!({ "addresses": ["10.9.9.9"], "targetRef": target })
    });
    let mut only = slice("sliced", 1, ("web", 8080), &[]);
    only["endpoints"] = json!(endpoints);
    sandbox.create(only)?;
    let ended = fwd(&sandbox, "svc/sliced :80")?.wait().await?;
    assert!(ended.code == Some(1) && ended.stderr.contains("leads to no pods"), "{}", ended.stderr);
    // Nor in life.
    sandbox.create(slice("sliced", 2, ("web", 8080), &[&here]))?;
    let (mut forward, port) = working(&sandbox, "svc/sliced :80").await?;
    assert_eq!(ask(port).await?, here);
    sandbox.delete("endpointslices", "default", "sliced-2")?;
    forward.stderr("svc/sliced: waiting for a ready pod (no pods match").await?;
    let pods = sandbox.node().pods();
    let prod = pods.iter().find(|pod| pod.name == elsewhere).ok_or("no such pod")?;
    assert!(prod.ports.values().all(|stats| stats.connections == 0));
    Ok(())
}
