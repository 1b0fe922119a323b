//! The node: sandboxes whose applications really listen.
//!
//! A pod's network namespace is a map from its ports to loopback addresses the kernel chose. Whoever may reach the pod
//! (the runtime's port-forward server, in [`crate::portforward`]) dials through `PodSandbox::dial` and gets what
//! containerd gets: a socket, a refusal, or the news that the namespace is closed.

mod pod_sandbox;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;

pub use podserver::{Arrivals, Stats};
use tokio::sync::watch;

use crate::faults::{Faults, Runtime};
pub(crate) use pod_sandbox::{DialError, PodSandbox};

/// Which protocols of `pods/portforward` the server speaks (PROTOCOL §1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Support {
    /// All three, as Kubernetes 1.31 and later.
    #[default]
    Full,
    /// No WebSocket tunnel, as before 1.31: a client has to fall back to plain SPDY.
    NoTunnel,
    /// Neither tunnel nor SPDY, as behind a proxy that knows only WebSocket: the legacy protocol is left.
    LegacyOnly,
}

/// The delays of the runtime's port-forward server.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From the end of one direction of a connection to its close (PROTOCOL §3.4).
    pub grace: Duration,
    /// For the second stream of a pair (PROTOCOL §3.2).
    pub pair: Duration,
    /// Without any frame either way (PROTOCOL §2.9).
    pub idle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(1),
            pair: Duration::from_secs(30),
            idle: Duration::from_secs(4 * 60 * 60),
        }
    }
}

/// A pod and what each of its ports has seen.
#[derive(Debug, Clone)]
pub struct Pod {
    /// The pod's uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The counts of each port's application; they outlive a restart of the container.
    pub ports: HashMap<u16, Stats>,
}

/// The sandboxes of one node, by pod uid.
#[derive(Clone, Default)]
pub struct Node {
    inner: Arc<Mutex<Inner>>,
    faults: Runtime,
    /// Sessions that are open.
    open: Arc<watch::Sender<usize>>,
    arrivals: Arc<Arrivals>,
}

#[derive(Default)]
struct Inner {
    sandboxes: HashMap<String, Arc<PodSandbox>>,
    support: Support,
    timing: Timing,
    sessions: u64,
    /// Of which so many were open at once at most.
    most_sessions: usize,
    pings: u64,
}

/// An open session.
pub(crate) struct OpenSession(Arc<watch::Sender<usize>>);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

impl Node {
    /// A node without pods.
    pub fn new() -> Self {
        Self::default()
    }

    /// A node without pods whose runtime is under `faults`.
    pub fn with_faults(faults: &Faults) -> Self {
        Self { faults: faults.runtime(), ..Self::default() }
    }

    pub(crate) fn faults(&self) -> &Runtime {
        &self.faults
    }

    /// Starts the pod's sandbox and returns when an application listens on each of `ports`.
    pub async fn start_pod(&self, uid: &str, namespace: &str, name: &str, ports: &[u16]) {
        self.start_pod_passing_on(uid, namespace, name, ports, HashMap::new()).await;
    }

    /// The same, where connections to some of the ports are passed on to processes of this machine. To clients these are
    /// the pod's: their connections end when the pod does.
    pub async fn start_pod_passing_on(
        &self,
        uid: &str,
        namespace: &str,
        name: &str,
        ports: &[u16],
        processes: HashMap<u16, SocketAddr>,
    ) {
        let sandbox = Arc::new(PodSandbox::new(namespace, name, ports, processes, &self.arrivals));
        sandbox.start().await;
        self.lock().sandboxes.insert(uid.to_owned(), sandbox);
    }

    /// Stops the pod gracefully and returns when it is gone. From now on a new pair on any of its sessions is told that
    /// the network namespace is closed; applications get `grace` to finish what is in flight.
    pub async fn stop_pod(&self, uid: &str, grace: Duration) {
        let sandbox = self.lock().sandboxes.remove(uid);
        if let Some(sandbox) = sandbox {
            sandbox.stop(grace).await;
        }
    }

    /// The container dies: connections are reset and ports refuse until [`Node::start_container`].
    pub async fn kill_container(&self, uid: &str) {
        if let Some(sandbox) = self.sandbox(uid) {
            sandbox.kill().await;
        }
    }

    /// The container comes back in the same sandbox.
    pub async fn start_container(&self, uid: &str) {
        if let Some(sandbox) = self.sandbox(uid) {
            sandbox.start().await;
        }
    }

    /// Whether the pod has a sandbox and a container that runs in it.
    pub fn is_running(&self, uid: &str) -> bool {
        self.sandbox(uid).is_some_and(|sandbox| sandbox.is_running())
    }

    /// Every pod that has a sandbox.
    pub fn pods(&self) -> Vec<Pod> {
        let inner = self.lock();
        let pod = |(uid, sandbox): (&String, &Arc<PodSandbox>)| Pod {
            uid: uid.clone(),
            namespace: sandbox.namespace.clone(),
            name: sandbox.name.to_string(),
            ports: sandbox.stats(),
        };
        inner.sandboxes.iter().map(pod).collect()
    }

    /// What the application on `port` has seen; `None` without such a pod or port.
    pub fn stats(&self, uid: &str, port: u16) -> Option<Stats> {
        Some(self.sandbox(uid)?.counts(port)?.snapshot())
    }

    /// The requests with an id that have reached any pod, of those that are gone too.
    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// What the pod's applications logged; `None` without such a pod.
    pub fn log(&self, uid: &str) -> Option<String> {
        Some(self.sandbox(uid)?.log())
    }

    /// Where the application on `port` really listens; `None` while it does not.
    pub fn address(&self, uid: &str, port: u16) -> Option<SocketAddr> {
        self.sandbox(uid)?.address(port)
    }

    /// Resolves as soon as what the application on `port` has seen is `enough`; `None` without such a pod or port.
    pub async fn wait_for(&self, uid: &str, port: u16, enough: impl Fn(&Stats) -> bool) -> Option<Stats> {
        let counts = self.sandbox(uid)?.counts(port)?;
        Some(counts.wait(enough).await)
    }

    /// Sets the protocols spoken from the next upgrade on.
    pub fn set_support(&self, support: Support) {
        self.lock().support = support;
    }

    /// Sets the delays of sessions from the next upgrade on.
    pub fn set_timing(&self, timing: Timing) {
        self.lock().timing = timing;
    }

    /// The protocols spoken.
    pub fn support(&self) -> Support {
        self.lock().support
    }

    /// The delays of new sessions.
    pub fn timing(&self) -> Timing {
        self.lock().timing
    }

    /// How many port-forward sessions there were, of any protocol.
    pub fn sessions(&self) -> u64 {
        self.lock().sessions
    }

    /// How many pings their clients had echoed.
    pub fn pings(&self) -> u64 {
        self.lock().pings
    }

    pub(crate) fn count_ping(&self) {
        self.lock().pings += 1;
    }

    /// How many of them are open.
    pub fn open_sessions(&self) -> usize {
        *self.open.borrow()
    }

    /// The greatest number of them that were open at once, ever or since it was counted anew.
    pub fn most_sessions(&self) -> usize {
        self.lock().most_sessions
    }

    /// Counts the greatest number anew, from those that are open now.
    pub fn count_most_sessions_anew(&self) {
        let mut inner = self.lock();
        inner.most_sessions = self.open_sessions();
    }

    /// Resolves when the number of open sessions is as wanted.
    pub async fn sessions_are(&self, wanted: impl Fn(usize) -> bool) -> usize {
        let mut open = self.open.subscribe();
        // The sender lives as long as this does.
        let now = open.wait_for(|open| wanted(*open)).await.map(|open| *open);
        now.unwrap_or_default()
    }

    /// Counts a session, which is open until what is returned is dropped.
    pub(crate) fn count_session(&self) -> OpenSession {
        let mut inner = self.lock();
        inner.sessions += 1;
        self.open.send_modify(|open| {
            *open += 1;
            inner.most_sessions = inner.most_sessions.max(*open);
        });
        OpenSession(self.open.clone())
    }

    pub(crate) fn sandbox(&self, uid: &str) -> Option<Arc<PodSandbox>> {
        self.lock().sandboxes.get(uid).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_sessions_at_once_can_be_counted_anew() {
        let node = Node::new();
        let (first, second) = (node.count_session(), node.count_session());
        drop(first);
        let third = node.count_session();
        drop(second);
        assert_eq!(node.most_sessions(), 2);
        node.count_most_sessions_anew();
        assert_eq!(node.most_sessions(), 1);
        drop(third);
        assert_eq!(node.most_sessions(), 1);
    }
}
