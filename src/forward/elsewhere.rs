//! Another pod where the chosen one does not answer although the API calls it ready.
//!
//! A node that is gone is noticed by the cluster after some 40 s (PROTOCOL §8). Until then its pods are ready to all
//! appearances, and a dial of one of them hangs. So once a pod has not answered for a while, others are dialled beside it, one
//! after the other, and the first that answers takes the new connections. Where the server itself is out of reach none does,
//! and all stays as it is.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, sleep_until};

use super::{chooser::PodChooser, clusters::ClusterHandle, live_pods::LivePods, route::Backend};
use crate::{
    model::{
        endpoint::{Endpoint, PodId},
        ports::RemotePort,
    },
    policy::placement::DIAL_PATIENCE,
    tunnel::dial::Tunnel,
};

/// How long a pod has to answer a new session before others are tried: a dial that takes longer most likely hangs.
const PATIENCE: Duration = DIAL_PATIENCE;

/// How long the dial of one pod has to itself. The next one may be on the same node.
const STAGGER: Duration = Duration::from_millis(500);

/// Pods that are dialled at a time. Where the server is out of reach all of these hang.
const AT_A_TIME: usize = 3;

/// How long nothing is dialled after all were tried in vain.
const AGAIN: Duration = Duration::from_secs(5);

/// Looks for another pod.
pub(super) struct OtherPods {
    pub pods: LivePods,
    pub chooser: Arc<PodChooser>,
    pub cluster: Arc<ClusterHandle>,
    /// The ports that another one must have.
    pub wanted: Vec<RemotePort>,
    /// The one that does not answer.
    pub current: PodId,
}

/// One that answered.
pub(super) type OtherPod = (Endpoint, Arc<Tunnel>);

type OtherDial = BoxFuture<'static, Option<OtherPod>>;

impl OtherPods {
    /// Waits until the backend's pod has been silent for long, and another one answers before it does.
    pub(super) async fn beside(self, backend: Arc<Backend>) -> OtherPod {
        loop {
            let since = backend.tunnel.silent().await;
            let other = async {
                sleep_until(since + PATIENCE).await;
                // What goes the same way may be dead as well.
                self.cluster.client.renew_connections();
                self.pods.reconnect();
                self.first().await
            };
            tokio::select! {
                () = backend.tunnel.speaks() => {}
                other = other => return other,
            }
        }
    }

    /// Waits for another one that answers, where a dial of the pod that is begun now does not end soon.
    pub(super) async fn beside_dial(self) -> OtherPod {
        sleep(PATIENCE).await;
        let other = self.first().await;
        // What held up both, a credential plugin say, is no reason to leave.
        sleep(STAGGER).await;
        other
    }

    async fn first(&self) -> OtherPod {
        loop {
            if let Some(other) = self.first_to_answer().await {
                return other;
            }
            sleep(AGAIN).await;
        }
    }

    /// Dials all others, a few at a time. `None` where none answers.
    async fn first_to_answer(&self) -> Option<OtherPod> {
        let mut dials = FuturesUnordered::<OtherDial>::new();
        let mut tried = vec![self.current.clone()];
        let mut next = Instant::now();
        loop {
            let other = if dials.len() < AT_A_TIME { self.next(&tried) } else { None };
            if other.is_none() && dials.is_empty() {
                return None;
            }
            tokio::select! {
                Some(dialled) = dials.next() => match dialled {
                    Some(other) => return Some(other),
                    // It needs no time to itself any more.
                    None => next = Instant::now(),
                },
                pod = at(next, other) => {
                    tried.push(pod.id.clone());
                    dials.push(self.dial(pod));
                    next = Instant::now() + STAGGER;
                }
            }
        }
    }

    /// The best that was not tried.
    fn next(&self, tried: &[PodId]) -> Option<Endpoint> {
        let fits = |pod: &&Endpoint| {
            !tried.contains(&pod.id) && self.wanted.iter().all(|port| self.chooser.has(pod, port))
        };
        let others: Vec<Endpoint> = self.pods.borrow().pods.iter().filter(fits).cloned().collect();
        self.chooser.choose(&others, None, &self.wanted).cloned()
    }

    fn dial(&self, pod: Endpoint) -> OtherDial {
        let cluster = Arc::clone(&self.cluster);
        let port = self.wanted.first().and_then(|port| self.chooser.resolved.get().pod_port(port, &pod).ok());
        Box::pin(async move {
            let tunnel = cluster.dial(&pod.id, port.unwrap_or(1)).await.ok()?;
            Some((pod, tunnel))
        })
    }
}

/// What there is, at a moment.
async fn at(moment: Instant, pod: Option<Endpoint>) -> Endpoint {
    match pod {
        Some(pod) => {
            sleep_until(moment).await;
            pod
        }
        None => pending().await,
    }
}
