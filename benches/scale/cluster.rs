//! The sandbox in a process of its own, which is told over its stdin what it is to hold.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use super::failure::Failure;

/// What it can be asked for: so many more pods on another node, or services that nobody forwards to; so many changes of
/// those pods; how many requests there were for each thing, and open sessions.
const PODS: &str = "pods";
const SERVICES: &str = "services";
const CHANGES: &str = "changes";
const COUNTS: &str = "counts";

/// What the lines of its answers begin with, and how each answer ends.
const KUBECONFIG: &str = "KUBECONFIG=";
const SESSIONS: &str = "SESSIONS=";
const REQUESTS: &str = "REQUESTS=";
const DONE: &str = "DONE";

/// Services with the same selector, of which there are as many as a series asks for.
pub(super) const SAME: usize = 100;

/// Where it all is.
const NAMESPACE: &str = "default";

/// The cluster, as the one who measures has it.
pub(super) struct Cluster {
    pub(super) program: PathBuf,
    pub(super) kubeconfig: PathBuf,
    child: Child,
    stdin: ChildStdin,
    stdout: io::Lines<BufReader<std::process::ChildStdout>>,
}

/// What the sandbox has counted.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) sessions: usize,
    /// By what was asked for.
    pub(super) requests: BTreeMap<String, usize>,
}

impl Counts {
    /// Requests since `before`, but for the upgrades, each of which is a session.
    pub(super) fn since(&self, before: &Self) -> usize {
        let asked = |counts: &Self| -> usize {
            let kinds = counts.requests.iter().filter(|(kind, _)| !kind.ends_with("/portforward"));
            kinds.map(|(_, count)| count).sum()
        };
        asked(self) - asked(before)
    }
}

impl Cluster {
    pub(super) fn start(program: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the sandbox has no streams".into());
        };
        let stdout = BufReader::new(stdout).lines();
        let mut cluster =
            Self { program: program.to_owned(), kubeconfig: PathBuf::new(), child, stdin, stdout };
        let lines = cluster.answer()?;
        let path = lines.iter().find_map(|line| line.strip_prefix(KUBECONFIG));
        cluster.kubeconfig = path.ok_or("the sandbox has no kubeconfig")?.into();
        Ok(cluster)
    }

    /// Adds pods to those of the service `crowd`.
    pub(super) fn add_pods(&mut self, count: usize) -> Result<(), Failure> {
        self.ask(&format!("{PODS} {count}")).map(drop)
    }

    /// Adds services that nobody forwards to.
    pub(super) fn add_services(&mut self, count: usize) -> Result<(), Failure> {
        self.ask(&format!("{SERVICES} {count}")).map(drop)
    }

    /// Changes so many of the pods, one after the other.
    pub(super) fn change_pods(&mut self, count: usize) -> Result<(), Failure> {
        self.ask(&format!("{CHANGES} {count}")).map(drop)
    }

    pub(super) fn counts(&mut self) -> Result<Counts, Failure> {
        let mut counts = Counts::default();
        for line in self.ask(COUNTS)? {
            if let Some(sessions) = line.strip_prefix(SESSIONS) {
                counts.sessions = sessions.parse()?;
            } else if let Some((count, kind)) =
                line.strip_prefix(REQUESTS).and_then(|rest| rest.split_once(' '))
            {
                counts.requests.insert(kind.to_owned(), count.parse()?);
            }
        }
        Ok(counts)
    }

    fn ask(&mut self, what: &str) -> Result<Vec<String>, Failure> {
        writeln!(self.stdin, "{what}")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for line in &mut self.stdout {
            match line? {
                line if line == DONE => return Ok(lines),
                line => lines.push(line),
            }
        }
        Err("the sandbox ended".into())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the sandbox, until stdin ends.
pub(super) async fn serve() -> Result<(), Failure> {
    let mut objects = vec![service("crowd", "crowd"), deployment("api", 2), deployment("crowd", 1)];
    objects.extend((0..SAME).map(|at| service(&format!("api-{at}"), "api")));
    let options = Options { objects, default_objects: false, ..Options::default() };
    let sandbox = Sandbox::start(options).await?;
    println!("{KUBECONFIG}{}\n{DONE}", sandbox.kubeconfig("admin").display());
    let (mut pods, mut services, mut changes) = (0, 0, 0);
    let lines = io::stdin().lines();
    for line in lines {
        let line = line?;
        let (what, count) = line.split_once(' ').unwrap_or((&line, "0"));
        let count: usize = count.parse()?;
        tokio::task::block_in_place(|| match what {
            PODS => {
                for at in pods..pods + count {
                    let name = format!("crowd-{at:05}");
                    sandbox.create(pod(&name))?;
                    sandbox.patch("pod", NAMESPACE, &name, &status(0))?;
                }
                pods += count;
                Ok(())
            }
            SERVICES => {
                for at in services..services + count {
                    sandbox.create(lone_service(&format!("lone-{at:05}")))?;
                }
                services += count;
                Ok(())
            }
            CHANGES => {
                for _ in 0..count {
                    changes += 1;
                    let name = format!("crowd-{:05}", changes * 7919 % pods);
                    sandbox.patch("pod", NAMESPACE, &name, &status(changes))?;
                }
                Ok(())
            }
            COUNTS => {
                println!("{SESSIONS}{}", sandbox.node().open_sessions());
                for (kind, count) in sandbox.requests() {
                    println!("{REQUESTS}{count} {kind}");
                }
                Ok(())
            }
            _ => Err(Failure::from(format!("the sandbox cannot be asked for {line:?}"))),
        })?;
        println!("{DONE}");
    }
    sandbox.stop().await;
    Ok(())
}

fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "selector": { "app": app }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
    })
}

/// One whose endpoints are nobody's business.
fn lone_service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "ports": [{ "name": "http", "port": 80 }] },
    })
}

fn deployment(name: &str, replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": spec(&Value::Null) },
        },
    })
}

fn spec(node: &Value) -> Value {
    // As much as an ordinary pod has.
    let env: Vec<Value> =
        (0..30).map(|at| json!({ "name": format!("SETTING_{at}"), "value": "x".repeat(40) })).collect();
    let mut spec = json!({ "containers": [{
        "name": "app", "image": "registry.example/app:1", "env": env,
        "ports": [{ "name": "http", "containerPort": 8080 }, { "name": "metrics", "containerPort": 9090 }],
        "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
    }] });
    if !node.is_null() {
        spec["nodeName"] = node.clone();
    }
    spec
}

/// A pod on a node that is not there: nothing of it runs, so that thousands cost nothing.
fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": { "app": "crowd" },
            // In the place of the managed fields, which the sandbox does not keep.
            "annotations": { "example.org/notes": "y".repeat(4 << 10) },
        },
        "spec": spec(&json!("node2")),
    })
}

/// It runs, and is not ready, so that nobody is sent there.
fn status(restarts: usize) -> Value {
    let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z" });
    json!({ "status": {
        "phase": "Running", "podIP": "10.244.1.1", "startTime": "2026-01-01T00:00:00Z",
        "conditions": [condition("PodScheduled", "True"), condition("Ready", "False")],
        "containerStatuses": [{
            "name": "app", "image": "registry.example/app:1", "imageID": format!("registry.example/app@sha256:{}", "a".repeat(64)),
            "containerID": format!("containerd://{}", "b".repeat(64)), "ready": false, "restartCount": restarts,
            "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } }, "lastState": {},
        }],
    } })
}
