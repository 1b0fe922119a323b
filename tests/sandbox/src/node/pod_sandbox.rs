//! A pod's sandbox: its network namespace, with an id of its own that sessions are bound to (PROTOCOL §0.9).

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use parking_lot::Mutex;
use podserver::{Arrivals, Container, Counts, Log, Stats, hex};
use tokio::net::TcpStream;
use tokio::sync::RwLock;

/// A sandbox. Sessions hold on to it when its pod is gone.
pub(crate) struct PodSandbox {
    /// 64 hexadecimal digits, as containerd names them.
    pub(crate) id: String,
    /// Where the network namespace is mounted; part of the error texts.
    pub(crate) netns: String,
    pub(crate) namespace: String,
    pub(crate) name: Arc<str>,
    counts: HashMap<u16, Arc<Counts>>,
    /// The ports that are passed on to a process of this machine.
    processes: HashMap<u16, SocketAddr>,
    log: Arc<Log>,
    /// Whether the network namespace is closed. A dial holds it for reading, so that a stop waits for dials in flight
    /// and a connection is either in its application's accept queue or was never made.
    closed: RwLock<bool>,
    container: Mutex<Option<Container>>,
}

/// Why a dial in the pod failed.
#[derive(Debug)]
pub(crate) enum DialError {
    /// Nobody listens on the port.
    Refused,
    /// The pod is gone.
    Closed,
}

impl PodSandbox {
    pub(super) fn new(
        namespace: &str,
        name: &str,
        ports: &[u16],
        processes: HashMap<u16, SocketAddr>,
        arrivals: &Arc<Arrivals>,
    ) -> Self {
        let id = random_hex::<32>();
        let netns = random_hex::<16>();
        // In the groups of a uuid.
        let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| &netns[group]);
        Self {
            id,
            netns: format!("/var/run/netns/cni-{}", groups.join("-")),
            namespace: namespace.to_owned(),
            name: name.into(),
            counts: ports.iter().map(|&port| (port, Arc::new(Counts::noting(arrivals.clone())))).collect(),
            processes,
            log: Arc::default(),
            closed: RwLock::new(false),
            container: Mutex::new(None),
        }
    }

    /// Starts the container, unless it runs.
    pub(super) async fn start(&self) {
        if self.is_running() || *self.closed.read().await {
            return;
        }
        match Container::start(&self.name, &self.counts, &self.processes, &self.log, anywhere).await {
            Ok(container) => self.swap(Some(container)),
            Err(error) => {
                tracing::error!(pod = %self.name, %error, "the container cannot listen");
                None
            }
        };
    }

    /// Stops for good.
    pub(super) async fn stop(&self, grace: Duration) {
        *self.closed.write().await = true;
        if let Some(container) = self.swap(None) {
            container.stop(grace).await;
        }
    }

    pub(super) async fn kill(&self) {
        if let Some(container) = self.swap(None) {
            container.kill().await;
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.container.lock().is_some()
    }

    fn swap(&self, container: Option<Container>) -> Option<Container> {
        std::mem::replace(&mut *self.container.lock(), container)
    }

    pub(super) fn counts(&self, port: u16) -> Option<Arc<Counts>> {
        self.counts.get(&port).cloned()
    }

    pub(super) fn stats(&self) -> HashMap<u16, Stats> {
        self.counts.iter().map(|(&port, counts)| (port, counts.snapshot())).collect()
    }

    /// What its applications logged, of every run of its container.
    pub(super) fn log(&self) -> String {
        self.log.text()
    }

    /// Where the application on `port` listens.
    pub(super) fn address(&self, port: u16) -> Option<SocketAddr> {
        self.container.lock().as_ref()?.address(port)
    }

    /// Connects to the application on `port`.
    pub(crate) async fn dial(&self, port: u16) -> Result<TcpStream, DialError> {
        let closed = self.closed.read().await;
        if *closed {
            return Err(DialError::Closed);
        }
        let address = self.address(port).ok_or(DialError::Refused)?;
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            io::Result::Ok(stream)
        };
        connect.await.map_err(|_| DialError::Refused)
    }
}

/// A loopback port that the kernel chooses stands in for the pod's own.
fn anywhere(_: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    // Only uniqueness within the process matters, and the system's generator does not fail once it has begun.
    let _ = SystemRandom::new().fill(&mut bytes);
    hex(&bytes)
}
