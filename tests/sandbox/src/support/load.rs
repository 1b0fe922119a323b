//! Requests without pause, each on a connection of its own, from several tasks.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Tasks that send.
const TASKS: usize = 4;

/// How long one request may take: beyond any hold of the forwarder.
const LIMIT: Duration = Duration::from_secs(40);

/// What came of the requests so far.
#[derive(Debug, Clone, Default)]
pub struct LoadCounts {
    /// Requests answered as they should be.
    pub answered: u64,
    /// All others.
    pub failed: u64,
    /// Answers by pod.
    pub pods: BTreeMap<String, u64>,
    /// The pod that answered last.
    pub last: Option<String>,
    /// The first failure.
    pub why: Option<String>,
}

impl LoadCounts {
    fn add(&mut self, outcome: Result<String, Failure>) {
        match outcome {
            Ok(pod) => {
                self.answered += 1;
                *self.pods.entry(pod.clone()).or_default() += 1;
                self.last = Some(pod);
            }
            Err(failure) => {
                self.failed += 1;
                self.why.get_or_insert_with(|| failure.to_string());
            }
        }
    }
}

/// The running requests.
pub struct Load {
    counts: watch::Receiver<LoadCounts>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Load {
    /// Begins to send to a local port.
    pub fn start(port: u16) -> Self {
        let (sender, counts) = watch::channel(LoadCounts::default());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let (sender, stop) = (sender.clone(), stop.clone());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    let outcome = tokio::time::timeout(LIMIT, get(port, "/")).await;
                    let outcome = outcome.unwrap_or_else(|_| Err("no answer in time".into()));
                    sender.send_modify(|counts| counts.add(outcome));
                }
            });
        }
        Self { counts, stop, tasks }
    }

    /// What came of the requests so far.
    pub fn counts(&self) -> LoadCounts {
        self.counts.borrow().clone()
    }

    /// Resolves when the counts are `enough`.
    pub async fn until(&self, enough: impl FnMut(&LoadCounts) -> bool) -> LoadCounts {
        let mut counts = self.counts.clone();
        // The senders live as long as this does.
        let now = counts.wait_for(enough).await.map(|counts| counts.clone());
        now.unwrap_or_else(|_| self.counts())
    }

    /// Ends with the requests under way, none of which is cut short.
    pub async fn stop(mut self) -> LoadCounts {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.counts()
    }
}

/// One request on a connection of its own; what is answered, which is the pod's name for most paths.
pub async fn get(port: u16, path: &str) -> Result<String, Failure> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("HTTP status {}", response.status()).into());
    }
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;

    #[tokio::test]
    async fn answers_are_counted_by_pod_and_failures_too() {
        let node = Node::new();
        node.start_pod("uid", "default", "api-0", &[8080]).await;
        let sandbox = node.sandbox("uid").unwrap();
        let port = sandbox.dial(8080).await.unwrap().peer_addr().unwrap().port();
        let load = Load::start(port);
        let counts = load.until(|counts| counts.answered >= 10).await;
        assert_eq!(counts.last.as_deref(), Some("api-0"));
        node.kill_container("uid").await;
        load.until(|counts| counts.failed > 0).await;
        let counts = load.stop().await;
        assert_eq!(counts.pods["api-0"], counts.answered);
        assert!(counts.why.is_some());
    }
}
