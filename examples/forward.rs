//! Forwards from Rust, with what the `kubectl-fwd` binary is made of:
//!
//! ```text
//! cargo run --example forward -- svc/api :80
//! ```

#![allow(clippy::print_stdout, reason = "an example for the terminal")]

use std::{env, error::Error};

use kubectl_fwd::{
    cli::resolve::Surroundings,
    cluster::config::flags::{Environment, Flags},
    forward::{GRACE, Options, Request, Wanted, registry::Registry},
    model::{event::Happening, ports::PortSpec, target::Target},
    spdy::session::CreditMode,
};
use tokio::sync::broadcast;

/// Events that may wait to be told; of more the oldest are lost, and nothing else is.
const EVENTS: usize = 256;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [target, port] = words.as_slice() else { return Err("usage: forward TARGET PORT".into()) };
    // What kubectl reads: KUBECONFIG, the home directory, the proxies.
    let environment = Surroundings::read().cluster;
    let interrupted = async {
        // Without a way to hear of Ctrl-C this ends at once.
        let _ = tokio::signal::ctrl_c().await;
    };
    forward(environment, target, port, |line| println!("{line}"), interrupted).await
}

/// Forwards a port of a target, written as on the command line, until `stop`, and tells what becomes of it.
pub(crate) async fn forward(
    environment: Environment,
    target: &str,
    port: &str,
    mut tell: impl FnMut(String),
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let request = Request { target: Target::parse(target)?, ports: vec![PortSpec::parse(port)?] };
    let (sender, mut events) = broadcast::channel(EVENTS);
    // `Flags` are those of kubectl: another kubeconfig, another context, somebody else to be. With credit, an
    // application that stops reading holds up nobody else.
    let registry = Registry::new(Flags::default(), environment, CreditMode::On, sender);
    let wanted = Wanted { request, options: Options::default(), context: None, label: None };
    // It works when this returns: the port is bound, and a pod was reached.
    registry.start(vec![wanted]).await?;
    for forward in registry.list() {
        tell(format!("{}: port {} of this machine", forward.target, forward.local_port.unwrap_or_default()));
    }
    let told = async {
        while let Ok(event) = events.recv().await {
            match &event.what {
                Happening::Retargeted { to, .. } => tell(format!("{}: now pod {}", event.target, to.name)),
                Happening::Lost { why, .. } => tell(format!("{}: lost, {why}", event.target)),
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
