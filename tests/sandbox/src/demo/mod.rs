//! The demo: requests without pause through one `kubectl fwd`, while its pods are deleted and rolled underneath.
//!
//! It is a play in five acts on a cluster of its own, and prints what happens in each. What counts is the last line: how
//! many requests failed.

mod program;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use crate::support::forward::{self, Forward};
use crate::support::load::{Load, LoadCounts};
use crate::{Options, Sandbox};

/// The deployment whose pods go, behind the service of the same name.
const DEPLOYMENT: &str = "api";

/// Where it is.
const NAMESPACE: &str = "default";

/// Answers between one act and the next, to show that traffic flows.
const INTERLUDE: u64 = 200;

/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error + Send + Sync>;

/// Runs the demo. With `stay` the cluster and the forward go on until Ctrl-C.
pub async fn run(stay: bool) -> ExitCode {
    match play(stay).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the count of failed requests.
async fn play(stay: bool) -> Result<u64, Failure> {
    let program = program::build().await?;
    say("Starting a cluster in this process ...");
    let cluster = Sandbox::start(Options::default()).await?;
    let kubeconfig = cluster.kubeconfig("admin");
    let target = format!("svc/{DEPLOYMENT}");
    let port = program::free_port()?;
    let ports = format!("{port}:80");
    say(&format!("$ kubectl fwd {target} {ports}"));
    let mut command = forward::command(&program, &kubeconfig, &[&target, &ports]);
    // What it has to tell goes straight to the audience.
    command.stderr(Stdio::inherit());
    let mut forward = Forward::spawn(command)?;
    say(&forward.stdout("Forwarding from ").await?);

    let load = Load::start(port);
    let counts = patient("the first answers", load.until(|counts| counts.answered >= INTERLUDE)).await?;
    let first = counts.last.clone().unwrap_or_default();
    say(&format!("{} requests on new connections answered, by pod {first}.", counts.answered));

    let before = counts.answered;
    cluster.delete("pod", NAMESPACE, &first)?;
    say(&format!("Deleted pod {first}."));
    let elsewhere =
        |counts: &LoadCounts| counts.answered >= before + INTERLUDE && counts.last.as_ref() != Some(&first);
    let counts = patient("an answer from another pod", load.until(elsewhere)).await?;
    cluster.settled().await?;
    let second = counts.last.clone().unwrap_or_default();
    let failed = counts.failed;
    say(&format!("Its replacement is ready; pod {second} answers. Failed so far: {failed}."));

    let old: BTreeSet<String> = load
        .counts()
        .pods
        .into_keys()
        .chain(cluster.ready_pods(NAMESPACE, &format!("app={DEPLOYMENT}"))?)
        .collect();
    cluster.restart("deploy", NAMESPACE, DEPLOYMENT)?;
    say(&format!("Rolling deployment {DEPLOYMENT} ..."));
    cluster.settled().await?;
    let fresh = |counts: &LoadCounts| counts.last.as_ref().is_some_and(|pod| !old.contains(pod));
    let counts = patient("an answer from a new pod", load.until(fresh)).await?;
    let third = counts.last.clone().unwrap_or_default();
    say(&format!("Rolled out: every pod is new, and {third} answers."));

    let before = counts.answered;
    patient("the last answers", load.until(|counts| counts.answered >= before + INTERLUDE)).await?;
    let counts = load.stop().await;
    for (pod, count) in &counts.pods {
        say(&format!("{count:>8} answered by {pod}"));
    }
    if let Some(why) = &counts.why {
        say(&format!("the first failure: {why}"));
    }
    say(&format!("{} requests, {} failed.", counts.answered + counts.failed, counts.failed));
    if stay {
        linger(&kubeconfig.display().to_string(), port).await?;
    }
    forward.end("INT").await?;
    cluster.stop().await;
    Ok(counts.failed)
}

/// Tells what there is to play with, and waits for Ctrl-C.
async fn linger(kubeconfig: &str, port: u16) -> Result<(), Failure> {
    say("");
    say("Everything goes on. In another terminal:");
    say(&format!("    export KUBECONFIG={kubeconfig}"));
    say(&format!("    curl http://localhost:{port}/"));
    say("    kubectl get pods --watch");
    say(&format!("    kubectl delete pod -l app={DEPLOYMENT}"));
    say(&format!("    kubectl rollout restart deploy/{DEPLOYMENT}"));
    say("Ctrl-C ends it.");
    Ok(tokio::signal::ctrl_c().await?)
}

/// Waits for `what`, but not for ever.
async fn patient<T>(what: &str, step: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, step).await.map_err(|_| format!("waited in vain for {what}").into())
}

/// One line to the audience. One that is gone is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
