//! Real kubectl, each version that is found: as the one who starts `kubectl fwd`, and as the one it stands in for.

use std::env;
use std::path::Path;

use sandbox::Sandbox;
use sandbox::support::forward::{self, Forward};
use sandbox::support::kubectl;

use crate::start::program;
use sandbox::support::pods::cluster;
use sandbox::support::{Failure, Test, ask};

/// Runs a kubectl that finds the built program as its plugin.
async fn answered(sandbox: &Sandbox, kubectl: &Path, line: &str) -> Result<(Forward, String), Failure> {
    let mut command =
        forward::command(kubectl, &sandbox.kubeconfig("admin"), &line.split(' ').collect::<Vec<_>>());
    let plugins = program().parent().ok_or("no folder")?.to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([plugins].into_iter().chain(env::split_paths(&path)))?;
    // Its cache of the API goes with the sandbox.
    command.env("PATH", path).env("HOME", sandbox.directory());
    let mut forward = Forward::spawn(command)?;
    let port = forward.port().await?;
    let pod = ask(port).await?;
    Ok((forward, pod))
}

#[tokio::test]
async fn dispatches_to_the_plugin() -> Test {
    let sandbox = cluster().await?;
    for kubectl in kubectl::all() {
        let (forward, pod) = answered(&sandbox, &kubectl, "fwd svc/api :80 -n prod").await?;
        assert!(sandbox.ready_pods("prod", "app=api")?.contains(&pod), "{}: {pod}", kubectl.display());
        assert_eq!(forward.end("INT").await?.code, Some(0), "{}", kubectl.display());
    }
    Ok(())
}

/// That the sandbox is one for kubectl too, and that it says the same line.
#[tokio::test]
async fn forwards_by_itself() -> Test {
    let sandbox = cluster().await?;
    for kubectl in kubectl::all() {
        let (forward, pod) = answered(&sandbox, &kubectl, "port-forward svc/api :80").await?;
        assert!(sandbox.ready_pods("default", "app=api")?.contains(&pod), "{}: {pod}", kubectl.display());
        assert_eq!(forward.end("INT").await?.code, Some(0), "{}", kubectl.display());
    }
    Ok(())
}
