//! What containerd says when a connection fails (PROTOCOL §3.5), word for word.

use std::io;
use std::net::SocketAddr;

use crate::node::PodSandbox;

/// Nobody listens on the port.
pub(super) fn refused(sandbox: &PodSandbox, port: u16) -> String {
    let id = &sandbox.id;
    in_namespace(
        sandbox,
        port,
        &format!(
            "failed to connect to localhost:{port} inside namespace \"{id}\", \
             IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused \
             IPv6 dial tcp6: address localhost: no suitable address found "
        ),
    )
}

/// The pod is gone.
pub(super) fn closed(sandbox: &PodSandbox, port: u16) -> String {
    failed(sandbox, port, &format!("network namespace for sandbox \"{}\" is closed", sandbox.id))
}

/// Reading from the application failed. `local` is our end; the application's has the pod's own port number.
pub(super) fn read_failed(sandbox: &PodSandbox, port: u16, local: SocketAddr, error: &io::Error) -> String {
    let route = route(local, port);
    let why = errno(error);
    in_namespace(sandbox, port, &format!("writeto tcp4 {route}: read tcp4 {route}: read: {why}"))
}

/// Writing to the application failed.
pub(super) fn write_failed(sandbox: &PodSandbox, port: u16, local: SocketAddr, error: &io::Error) -> String {
    let route = route(local, port);
    let why = errno(error);
    in_namespace(sandbox, port, &format!("readfrom tcp4 {route}: write tcp4 {route}: write: {why}"))
}

fn failed(sandbox: &PodSandbox, port: u16, why: &str) -> String {
    format!("error forwarding port {port} to pod {}, uid : {why}", sandbox.id)
}

fn in_namespace(sandbox: &PodSandbox, port: u16, why: &str) -> String {
    let netns = &sandbox.netns;
    failed(sandbox, port, &format!("failed to execute portforward in network namespace \"{netns}\": {why}"))
}

fn route(local: SocketAddr, port: u16) -> String {
    format!("127.0.0.1:{}->127.0.0.1:{port}", local.port())
}

/// An error number as Go words it.
fn errno(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::BrokenPipe => "broken pipe".to_owned(),
        _ => error.to_string(),
    }
}
