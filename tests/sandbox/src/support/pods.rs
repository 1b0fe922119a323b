//! A default cluster and its pods, as tests look at them.

use super::client::{Failure, within};
use crate::node::Stats;
use crate::{Options, Sandbox};

/// A default cluster.
pub async fn cluster() -> Result<Sandbox, Failure> {
    Ok(Sandbox::start(Options::default()).await?)
}

/// The one ready pod of an app in the default namespace that serves, or the first of several.
pub fn a_pod(sandbox: &Sandbox, app: &str) -> Result<String, Failure> {
    let pods = sandbox.ready_pods("default", &format!("app={app}"))?;
    pods.into_iter().next().ok_or_else(|| format!("no pod of {app} is ready").into())
}

/// The uid of a pod in the default namespace.
pub fn uid(sandbox: &Sandbox, pod: &str) -> Result<String, Failure> {
    let pod = sandbox.get("pod", "default", pod).ok_or("no such pod")?;
    Ok(pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
}

/// Waits until a pod's application on `port` has seen `enough`.
pub async fn seen(
    sandbox: &Sandbox,
    pod: &str,
    port: u16,
    enough: impl Fn(&Stats) -> bool,
) -> Result<Stats, Failure> {
    let uid = uid(sandbox, pod)?;
    let stats = within("what the application sees", sandbox.node().wait_for(&uid, port, enough)).await?;
    stats.ok_or_else(|| format!("{pod} has no port {port}").into())
}
