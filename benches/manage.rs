//! Two hundred forwards in one process: how long it takes to start, list and stop them.
//!
//! `cargo bench --bench manage`. The sandbox is in the same process, on threads of its own, so its work counts as well.
#![expect(clippy::print_stdout, reason = "a table on stdout is what it is for")]

use std::{
    error::Error,
    process::Stdio,
    time::{Duration, Instant},
};

use kubectl_fwd::{
    ClusterEnvironment, Flags, ForwardId, ForwardSpec, Kind, LocalPort, PortSpec, Registry, RemotePort,
    Target,
};
use sandbox::{Sandbox, support::forward::Forward};
use serde_json::{Value, json};
use tokio::runtime;

type Failure = Box<dyn Error + Send + Sync>;

/// As many as the goal names: ten services with twenty ports each.
const SERVICES: usize = 10;
const PORTS: u16 = 20;
const ROUNDS: usize = 7;

fn service(number: usize) -> Value {
    let ports =
        (1..=PORTS).map(|port| json!({ "name": format!("p{port}"), "port": port, "targetPort": 8080 }));
    let app = ["api", "web", "solo"][number % 3];
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": format!("many-{number}"), "namespace": "default" },
        "spec": { "selector": { "app": app }, "ports": ports.collect::<Vec<_>>() },
    })
}

fn wanted(number: usize, ports: impl Iterator<Item = u16>) -> ForwardSpec {
    let spec = |port| PortSpec { address: None, local: LocalPort::Any, remote: RemotePort::Number(port) };
    ForwardSpec::new(Target::object(Kind::Service, format!("many-{number}")), ports.map(spec))
}

fn registry(sandbox: &Sandbox) -> Registry {
    let flags = Flags { kubeconfig: Some(sandbox.kubeconfig("admin")), ..Flags::default() };
    Registry::new(flags, ClusterEnvironment::default())
}

/// One kind of measurement.
struct Row {
    what: &'static str,
    times: Vec<Duration>,
}

impl Row {
    fn new(what: &'static str) -> Self {
        Self { what, times: Vec::new() }
    }

    async fn time<T>(&mut self, step: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let outcome = step.await;
        self.times.push(begun.elapsed());
        outcome
    }

    fn print(mut self) {
        self.times.sort();
        let millis = |at: usize| self.times[at].as_secs_f64() * 1000.0;
        let last = self.times.len() - 1;
        println!("| {} | {:.2} | {:.2} to {:.2} |", self.what, millis(last / 2), millis(0), millis(last));
    }
}

async fn measure(sandbox: &Sandbox) -> Result<Vec<Row>, Failure> {
    let mut together = Row::new("start 200 at once, from nothing (10 services, 20 ports each)");
    let mut each = Row::new("start them one by one, each");
    let mut one_more = Row::new("start one beside 199");
    let mut list = Row::new("list 200");
    let mut stop_one = Row::new("stop one of 200");
    let mut stop_all = Row::new("stop 200");
    for _ in 0..ROUNDS {
        let forwards = registry(sandbox);
        let all = (0..SERVICES).map(|number| wanted(number, 1..=PORTS)).collect();
        let ids: Vec<ForwardId> = together.time(forwards.start(all)).await?;
        assert_eq!(ids.len(), SERVICES * usize::from(PORTS));
        assert_eq!(list.time(async { forwards.list() }).await.len(), ids.len());
        let stopped = stop_one.time(forwards.stop(&ids[..1], Duration::ZERO)).await;
        stopped.map_err(|id| format!("{id} is gone"))?;
        one_more.time(forwards.start(vec![wanted(0, 1..=1)])).await?;
        assert_eq!(stop_all.time(forwards.stop_all(Duration::ZERO)).await, ids.len());
        forwards.shutdown(Duration::ZERO).await;

        let forwards = registry(sandbox);
        for number in 0..SERVICES {
            for port in 1..=PORTS {
                each.time(forwards.start(vec![wanted(number, std::iter::once(port))])).await?;
            }
        }
        forwards.shutdown(Duration::ZERO).await;
    }
    Ok(vec![together, each, one_more, list, stop_one, stop_all])
}

/// The same from outside: another process asks the one that has them.
async fn commands(sandbox: &Sandbox) -> Result<Vec<Row>, Failure> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
    let mut list = Row::new("`kubectl fwd list`, the whole process");
    let mut stop = Row::new("`kubectl fwd stop ID`, the whole process");
    let mut line = Vec::new();
    for number in 0..SERVICES {
        line.push(format!("svc/many-{number}"));
        line.extend((1..=PORTS).map(|port| format!(":{port}")));
    }
    let mut forward = Forward::start(program, &sandbox.kubeconfig("admin"), &line)?;
    for _ in 0..SERVICES * usize::from(PORTS) {
        forward.port().await?;
    }
    let run = |words: Vec<String>| async move {
        let mut command = sandbox::support::forward::command(program, &sandbox.kubeconfig("admin"), &words);
        command.stderr(Stdio::inherit()).output().await
    };
    for _ in 0..ROUNDS {
        let output = list.time(run(vec!["list".into(), "-o".into(), "name".into()])).await?;
        let names = String::from_utf8(output.stdout)?;
        let id = names.lines().next().ok_or("nothing is listed")?.to_owned();
        assert!(stop.time(run(vec!["stop".into(), id])).await?.status.success());
    }
    Ok(vec![list, stop])
}

fn main() -> Result<(), Failure> {
    let cluster = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sandbox = cluster.block_on(Sandbox::start(sandbox::Options::default()))?;
    for number in 0..SERVICES {
        sandbox.create(service(number))?;
    }
    let forwarder = runtime::Builder::new_current_thread().enable_all().build()?;
    println!("| ms, of {ROUNDS} rounds | median | least to most |\n|---|---|---|");
    for row in forwarder.block_on(measure(&sandbox))?.into_iter().chain(cluster.block_on(commands(&sandbox))?)
    {
        row.print();
    }
    Ok(())
}
