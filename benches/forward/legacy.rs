//! kube's own way to forward a port: the legacy protocol, whose WebSocket carries one connection. It shows what isolation
//! costs where nothing at all is shared.

use std::str::FromStr;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kubectl_fwd::{ClusterEnvironment, Flags, cluster::client::Cluster};
use tokio::net::TcpStream;

use super::{cluster::NAMESPACE, local_port::listen, outcome::Outcome};

/// What is read of either side at once.
const BUFFER: usize = 64 * 1024;

/// A port of a pod, written `POD:PORT`.
#[derive(Clone)]
pub(super) struct PodPort {
    pod: String,
    port: u16,
}

impl FromStr for PodPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(pod, port)| Some((pod, port.parse().ok()?)));
        let (pod, port) = parsed.ok_or_else(|| format!("{text:?} is not POD:PORT"))?;
        Ok(Self { pod: pod.to_owned(), port })
    }
}

/// Is such a forwarder: a local port for each of the pod's. How the cluster is reached, TLS and credentials, is the same
/// for `kubectl-fwd`.
pub(super) fn serve(ports: &[PodPort]) -> Outcome {
    // Two a connection.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    tokio::runtime::Runtime::new()?.block_on(async {
        let cluster = Cluster::connect(&Flags::default(), &ClusterEnvironment::read()).await?;
        for to in ports.iter().cloned() {
            let pods = Api::<Pod>::namespaced(cluster.data.clone(), NAMESPACE);
            listen(to.port, move |client| forward(client, pods.clone(), to.clone())).await?;
        }
        std::future::pending().await
    })
}

async fn forward(mut client: TcpStream, pods: Api<Pod>, to: PodPort) -> Result<(), kube::Error> {
    let mut forwarder = pods.portforward(&to.pod, &[to.port]).await?;
    if let Some(mut stream) = forwarder.take_stream(to.port) {
        let _ = client.set_nodelay(true);
        // However it ends, so does the connection.
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut stream, BUFFER, BUFFER).await;
    }
    forwarder.abort();
    Ok(())
}
