//! The program in a test pod as its container starts it: every application on its own port, until it is told to stop.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

use podserver::{Container, Counts, LOOPBACK, Log, PORTS};

/// For what is in flight at a stop: a little less than the 30 s after which Kubernetes kills.
const GRACE: Duration = Duration::from_secs(25);

#[tokio::main]
async fn main() -> io::Result<()> {
    // Before the first connection: whoever sees the pod ready may delete it at once.
    let told_to_stop = stop_signal()?;
    let address = every_address();
    let counts = PORTS.map(|port| (port, Arc::<Counts>::default()));
    let at = |port: u16| {
        let address = if LOOPBACK.contains(&port) { Ipv4Addr::LOCALHOST.into() } else { address };
        SocketAddr::new(address, port)
    };
    let log = Arc::new(Log::on_stdout());
    let container =
        Container::start(&pod().into(), &HashMap::from(counts), &HashMap::new(), &log, at).await?;
    told_to_stop.await;
    container.stop(GRACE).await;
    Ok(())
}

/// The pod's name: what the manifest says, else the host name that a container gets.
fn pod() -> String {
    ["POD_NAME", "HOSTNAME"]
        .iter()
        .find_map(|name| env::var(name).ok())
        .unwrap_or_else(|| "podserver".to_owned())
}

/// IPv6 and with it IPv4, unless the host has IPv6 turned off.
fn every_address() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// What the container runtime sends, or Ctrl-C.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as the other is declared")]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler there is no way to be told, and so no end to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
