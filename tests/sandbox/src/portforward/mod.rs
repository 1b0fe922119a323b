//! `pods/portforward`, in the three protocols of PROTOCOL §1 and with the runtime's behaviour behind them.
//!
//! [`handle`] answers the HTTP request; what follows the 101 is a `session` of SPDY frames, bare or in a WebSocket
//! tunnel, or the `legacy` protocol of channels.

mod forward;
mod frame_splitter;
mod headers;
mod legacy;
mod negotiate;
mod pair;
mod pair_fault;
mod queue;
mod session;
mod stream;
mod text;
mod transport;

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use crate::faults::{CutOffIo, UpgradeFault, upgrade_fault};
use crate::node::{Node, PodSandbox};
use crate::serve::{Body, StoppableIo};
use negotiate::Protocol;
use transport::Connection;

/// Answers an authorised port-forward request for a pod, and serves what comes after the upgrade. `uid` is `None` if the
/// pod has no running sandbox.
pub async fn handle(node: &Node, uid: Option<&str>, mut request: Request<Incoming>) -> Response<Body> {
    node.faults().dial().await;
    let sandbox = uid.and_then(|uid| node.sandbox(uid));
    let (answer, protocol) = match negotiate::negotiate(&request, node.support(), uid, sandbox.is_some()) {
        Ok(agreed) => agreed,
        Err(refusal) => return *refusal.0,
    };
    let upgrade_fault = node.faults().next_upgrade_fault();
    match upgrade_fault {
        Some(UpgradeFault::Unanswered) => return std::future::pending().await,
        Some(UpgradeFault::HalfRefused) => return upgrade_fault::half_refused().await,
        _ => {}
    }
    let cut_off = sandbox.as_ref().map(|sandbox| node.faults().cut_off_of(&sandbox.name));
    if let Some(cut_off) = &cut_off
        && cut_off.is_cancelled()
    {
        return negotiate::node_out_of_reach().await;
    }
    if let Some((sandbox, cut_off)) = sandbox.zip(cut_off) {
        let session = node.count_session();
        let ends = node.faults().sessions_end();
        let upgrade = hyper::upgrade::on(&mut request);
        let node = node.clone();
        tokio::spawn(async move {
            let _session = session;
            match upgrade.await {
                Ok(upgraded) => {
                    let io = CutOffIo::new(TokioIo::new(upgraded), cut_off);
                    let io = StoppableIo::new(io, &ends);
                    match upgrade_fault {
                        Some(upgrade_fault) => {
                            upgrade_fault.run(io, protocol == Protocol::Tunnel, node.faults()).await;
                        }
                        None => run(Box::new(io), protocol, sandbox, node).await,
                    }
                }
                Err(error) => tracing::debug!(%error, "the connection did not upgrade"),
            }
        });
    }
    answer
}

async fn run(io: Box<dyn Connection>, protocol: Protocol, sandbox: Arc<PodSandbox>, node: Node) {
    match protocol {
        Protocol::Tunnel => session::serve(io, true, sandbox, node).await,
        Protocol::Spdy => session::serve(io, false, sandbox, node).await,
        Protocol::Legacy { ports, base64 } => legacy::serve(io, sandbox, ports, base64).await,
    }
}
