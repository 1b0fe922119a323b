//! What every test needs: a cluster, a forward, and clients that say what they waited for.

use std::io;
use std::path::Path;

pub(crate) use sandbox::client::{
    Failure, Test, answer, ask, connect, expect_refusal, expect_reset, post, rest, send, within,
};
use sandbox::forward::Forward;
use sandbox::node::Stats;
use sandbox::{Options, Sandbox};

pub(crate) fn program() -> &'static Path {
    sandbox::forward::program(env!("CARGO_BIN_EXE_kubectl-fwd"))
}

pub(crate) async fn cluster() -> Result<Sandbox, Failure> {
    Ok(Sandbox::start(Options::default()).await?)
}

/// Starts a forward as the administrator.
pub(crate) fn fwd(sandbox: &Sandbox, line: &str) -> io::Result<Forward> {
    fwd_as(sandbox, "admin", line)
}

/// Starts a forward as one of the users.
pub(crate) fn fwd_as(sandbox: &Sandbox, user: &str, line: &str) -> io::Result<Forward> {
    let args: Vec<_> = line.split_whitespace().collect();
    Forward::start(program(), &sandbox.kubeconfig(user), &args)
}

/// Starts a forward as the administrator, and gives its local port once it works.
pub(crate) async fn working(sandbox: &Sandbox, line: &str) -> Result<(Forward, u16), Failure> {
    let mut forward = fwd(sandbox, line)?;
    let port = forward.port().await?;
    Ok((forward, port))
}

/// The one ready pod of an app in the default namespace that serves, or the first of several.
pub(crate) fn a_pod(sandbox: &Sandbox, app: &str) -> Result<String, Failure> {
    let pods = sandbox.ready_pods("default", &format!("app={app}"))?;
    pods.into_iter().next().ok_or_else(|| format!("no pod of {app} is ready").into())
}

pub(crate) fn uid(sandbox: &Sandbox, pod: &str) -> Result<String, Failure> {
    let pod = sandbox.get("pod", "default", pod).ok_or("no such pod")?;
    Ok(pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
}

/// Waits until a pod's application on `port` has seen `enough`.
pub(crate) async fn seen(
    sandbox: &Sandbox,
    pod: &str,
    port: u16,
    enough: impl Fn(&Stats) -> bool,
) -> Result<Stats, Failure> {
    let uid = uid(sandbox, pod)?;
    let stats = within("what the application sees", sandbox.node().wait_for(&uid, port, enough)).await?;
    stats.ok_or_else(|| format!("{pod} has no port {port}").into())
}
