//! A cluster whose pods pass their ports on to a server of this machine.

use std::net::SocketAddr;
use std::time::Duration;

use sandbox::support::forward::{self, Forward};
use sandbox::support::{Failure, Test, World, pods};
use sandbox::{Options, Sandbox};
use serde_json::json;

/// How long a pod that is deleted may finish what is in flight: all of it, on any machine.
const DELETION: Duration = Duration::from_secs(20);

/// A service of two pods, both of which lead to the same server.
pub(crate) struct Behind {
    pub(crate) world: World,
}

/// A server that a port of the pods is passed on to.
pub(crate) type Passed = (u16, SocketAddr);

impl Behind {
    /// The service `app` before these servers, with the ports of the pods as its own.
    pub(crate) async fn start(servers: &[Passed]) -> Result<Self, Failure> {
        let ports = |name: &str| -> Vec<_> {
            servers.iter().map(|(port, _)| json!({ "name": format!("p{port}"), name: port })).collect()
        };
        let passes_on: Vec<_> = servers.iter().map(|(port, process)| format!("{port}={process}")).collect();
        let labels = json!({ "app": "app" });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "app", "labels": labels },
            "spec": {
                "replicas": 2, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": {
                        "labels": labels, "annotations": { "sandbox/passes-on": passes_on.join(" ") },
                    },
                    "spec": { "containers": [{
                        "name": "app", "image": "app:1", "ports": ports("containerPort"),
                    }] },
                },
            },
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "app" },
            "spec": { "selector": labels, "ports": ports("port") },
        });
        let objects = vec![deployment, service];
        let options = Options { default_objects: false, deletion: DELETION, objects, ..Options::default() };
        let program = forward::program(super::PROGRAM).to_str().ok_or("the program's name is no text")?;
        Ok(Self { world: World::of(Sandbox::start(options).await?, program) })
    }

    /// A forward to a port of the service, and its local port.
    pub(crate) async fn forward(&self, port: u16) -> Result<(Forward, u16), Failure> {
        self.world.working(&format!("svc/app :{port}")).await
    }

    /// The pod whose port was connected to, which is the only one unless a pod was deleted.
    pub(crate) fn serving(&self, port: u16) -> Result<String, Failure> {
        let pods = self.world.sandbox.node().pods();
        let used = pods.into_iter().find(|pod| pod.ports.get(&port).is_some_and(|port| port.connections > 0));
        used.map(|pod| pod.name).ok_or_else(|| "no pod was connected to".into())
    }

    /// Deletes the pod that serves once `more` connections came to it, and waits until so many came to another.
    pub(crate) async fn delete_in_the_middle(&self, forward: &mut Forward, port: u16, more: u64) -> Test {
        let sandbox = &self.world.sandbox;
        let first = self.serving(port)?;
        let enough = pods::seen(sandbox, &first, port, |_| true).await?.connections + more;
        pods::seen(sandbox, &first, port, |stats| stats.connections >= enough).await?;
        sandbox.delete("pod", "default", &first)?;
        let told = forward.stderr(&format!("pod {first} is terminating, new connections go to ")).await?;
        let second = told.split(" go to ").nth(1).unwrap_or_default().trim();
        pods::seen(sandbox, second, port, |stats| stats.connections >= more).await?;
        Ok(())
    }

    /// Deletes the pod that has connections to this port now.
    pub(crate) fn delete_serving(&self, port: u16) -> Test {
        let pods = self.world.sandbox.node().pods();
        let busy = pods.iter().find(|pod| pod.ports.get(&port).is_some_and(|port| port.open > 0));
        let busy = busy.ok_or("no pod is connected to")?;
        Ok(self.world.sandbox.delete("pod", "default", &busy.name)?)
    }

    /// How many connections there were to this port of the pods that are there.
    pub(crate) fn connections(&self, port: u16) -> u64 {
        let pods = self.world.sandbox.node().pods();
        pods.iter().filter_map(|pod| pod.ports.get(&port)).map(|port| port.connections).sum()
    }
}
