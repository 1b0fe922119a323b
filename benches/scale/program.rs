//! The program at work, and what it takes.

use std::{
    ffi::OsString,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use sandbox::support::{
    ControlClient,
    forward::{self, Ended, Forward},
};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{cluster::Cluster, failure::Failure, process};

/// After what was begun had its effect: dials are made, events are taken in, memory was asked for.
const SETTLE: Duration = Duration::from_secs(2);

/// The context of the second of two clusters.
const SECOND: &str = "second";

/// A `kubectl-fwd` that forwards.
pub(super) struct Program {
    forward: Forward,
    pub(super) ports: Vec<u16>,
    /// From its start until every forward worked.
    pub(super) ready: Duration,
}

/// What it takes at one moment.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    /// Resident, in KiB.
    pub(super) memory: f64,
    /// The most of it that there ever was.
    pub(super) peak: f64,
    /// Processor time so far, in ms.
    pub(super) cpu: f64,
}

impl Program {
    /// Starts it for these targets with their ports, and waits until each of `forwards` works.
    pub(super) async fn start(cluster: &Cluster, words: &[String], forwards: usize) -> Result<Self, Failure> {
        let begun = Instant::now();
        let mut all = vec!["--address".to_owned(), "127.0.0.1".to_owned()];
        all.extend_from_slice(words);
        let mut forward = Forward::start(&cluster.program, &cluster.kubeconfig, &all)?;
        let mut ports = Vec::new();
        for _ in 0..forwards {
            ports.push(forward.port().await?);
        }
        Ok(Self { forward, ports, ready: begun.elapsed() })
    }

    /// Starts one that forwards to the pods of two clusters, to each of them half of `forwards`.
    pub(super) async fn serve(clusters: &[Cluster; 2], forwards: usize) -> Result<Self, Failure> {
        let begun = Instant::now();
        let [first, second] = clusters;
        let kubeconfig = beside(&first.kubeconfig, &second.kubeconfig)?;
        let mut command = forward::command(&first.program, &first.kubeconfig, &["serve"]);
        command.env("KUBECONFIG", kubeconfig);
        let mut forward = Forward::spawn(command)?;
        let line = forward.stdout("Serving on ").await?;
        let socket = line.trim_start_matches("Serving on ").trim();
        let mut client = ControlClient::connect(Path::new(socket)).await?;
        for at in 0..forwards {
            let context = ["sandbox", SECOND][at % 2];
            let params = json!({
                "resource_type": "selector", "name": "app=api", "remote_port": 8080, "context": context,
                "address": "127.0.0.1",
            });
            client.call("portforward:start", params).await?;
        }
        let listed = client.call("portforward:list", json!({})).await?;
        let listed = listed.as_array().map(Vec::as_slice).unwrap_or_default();
        let ports = listed.iter().filter_map(|one| one["localPort"].as_u64()).map(u16::try_from);
        Ok(Self { forward, ports: ports.collect::<Result<_, _>>()?, ready: begun.elapsed() })
    }

    /// Starts the picker, in a terminal of its own.
    pub(super) fn picker(cluster: &Cluster) -> Result<Self, Failure> {
        let own = forward::command(&cluster.program, &cluster.kubeconfig, &[""; 0]);
        let variables = own.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut command = Command::new("script");
        let line = format!("stty rows 40 cols 120; exec '{}'", cluster.program.display());
        command.args(["-qec", &line, "/dev/null"]).envs(variables).env("TERM", "xterm-256color");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { forward: Forward::spawn(command)?, ports: Vec::new(), ready: Duration::ZERO })
    }

    /// The same once it has done what there is to do: it has taken no processor time for a while.
    pub(super) async fn at_rest(&self) -> Result<Taken, Failure> {
        let mut taken = self.taken().await?;
        loop {
            let later = self.taken().await?;
            if later.cpu - taken.cpu < 10.0 {
                return Ok(later);
            }
            taken = later;
        }
    }

    /// What it takes once what was begun had its effect.
    pub(super) async fn taken(&self) -> Result<Taken, Failure> {
        tokio::time::sleep(SETTLE).await;
        let mut pid = self.forward.pid().ok_or("the program has ended")?;
        // Of the picker, the process that has the terminal.
        while let Some(child) = process::child(pid) {
            pid = child;
        }
        let known =
            || Some((process::resident_mib(pid)?, process::peak_mib(pid)?, process::cpu_seconds(pid)?));
        let (memory, peak, cpu) = known().ok_or("/proc does not tell what a process takes")?;
        Ok(Taken { memory: memory * 1024.0, peak: peak * 1024.0, cpu: cpu * 1000.0 })
    }

    /// Ends it.
    pub(super) async fn end(self) -> Result<(), Failure> {
        self.forward.end("TERM").await?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    pub(super) async fn ended(self) -> Result<(), Failure> {
        self.forward.wait().await?;
        Ok(())
    }
}

/// A kubeconfig of both clusters: that of the second is put beside the first, by other names.
fn beside(first: &Path, second: &Path) -> Result<OsString, Failure> {
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(second)?)?;
    for kind in ["clusters", "users", "contexts"] {
        config[kind][0]["name"] = json!(SECOND);
    }
    config["contexts"][0]["context"]["cluster"] = json!(SECOND);
    config["contexts"][0]["context"]["user"] = json!(SECOND);
    let path = first.with_file_name("second.kubeconfig");
    std::fs::write(&path, config.to_string())?;
    Ok(std::env::join_paths([first, &path])?)
}

/// Runs a command of the program to its end, and says how long that took.
pub(super) async fn run(cluster: &Cluster, words: &[&str]) -> Result<(Duration, Ended), Failure> {
    let begun = Instant::now();
    let output = forward::command(&cluster.program, &cluster.kubeconfig, words).output().await?;
    Ok((begun.elapsed(), output.try_into()?))
}
