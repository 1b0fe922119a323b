//! Forwards a port from Rust, and says which pod has it:
//!
//! ```text
//! cargo run --example forward -- svc/api :80
//! ```

#![allow(clippy::print_stdout, reason = "an example for the terminal")]

use std::{env, error::Error};

use kubectl_fwd::{ClusterEnvironment, EventKind, Flags, ForwardSpec, GRACE, Registry};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [target, port] = words.as_slice() else { return Err("usage: forward TARGET PORT".into()) };
    let interrupted = async {
        // Without a way to hear of Ctrl-C this ends at once.
        let _ = tokio::signal::ctrl_c().await;
    };
    forward(ClusterEnvironment::read(), target, port, |line| println!("{line}"), interrupted).await
}

/// Forwards a port of a target, written as on the command line, until `stop`, and tells what becomes of it.
pub(crate) async fn forward(
    environment: ClusterEnvironment,
    target: &str,
    port: &str,
    mut tell: impl FnMut(String),
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    // `Flags` are those of kubectl: another kubeconfig, another context, somebody else to be.
    let registry = Registry::new(Flags::default(), environment);
    // From here on, so that none is missed.
    let mut events = registry.events();
    let wanted = ForwardSpec::new(target.parse()?, [port.parse()?]);
    // It works when this returns: the port is bound, and a pod was reached.
    registry.start(vec![wanted]).await?;
    for forward in registry.list() {
        tell(format!("{}: port {} of this machine", forward.target, forward.local_port.unwrap_or_default()));
    }
    let told = async {
        while let Ok(event) = events.recv().await {
            match &event.kind {
                EventKind::Retargeted { to, .. } => tell(format!("{}: now pod {}", event.target, to.name)),
                EventKind::Lost { why, .. } => tell(format!("{}: lost, {why}", event.target)),
                _ => {}
            }
        }
    };
    tokio::select! {
        () = told => {}
        () = stop => {}
    }
    // Requests under way have a moment to finish.
    registry.shutdown(GRACE).await;
    Ok(())
}
