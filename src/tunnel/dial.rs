//! Reaching a pod: the protocols in order, the choice remembered for the cluster (PROTOCOL §1).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio_util::task::TaskTracker;

use super::{
    legacy,
    outbox::Framing,
    pool::Pool,
    protocol::{Protocol, Refusal},
    session::Session,
    stream::Stream,
    upgrade::{UpgradeError, upgrade},
};
use crate::{
    cluster::{access, client::Cluster},
    error::Transient,
    model::endpoint::PodId,
};

/// Makes tunnels to the pods of one cluster.
#[derive(Clone)]
pub struct Dialer {
    cluster: Arc<Cluster>,
    tracker: TaskTracker,
    credit: bool,
    /// The protocol that worked last. Of no meaning to memory order: it is a hint.
    remembered: Arc<AtomicU8>,
}

/// A way into one pod.
#[derive(Clone)]
pub enum Tunnel {
    /// Connections share sessions.
    Pool(Pool),
    /// Each connection is an upgrade of its own.
    Legacy {
        /// Makes them.
        dialer: Dialer,
        /// To this pod.
        pod: PodId,
    },
}

/// Why a pod was not reached.
#[derive(Debug, Clone)]
pub struct DialError {
    /// For a person.
    pub why: Transient,
    /// What the server answered, where it answered: rights and missing pods are told from trouble by it.
    pub refusal: Option<Refusal>,
}

impl DialError {
    /// It took longer than it may.
    pub fn late(limit: Duration) -> Self {
        let why = format!("no answer within {:.0} s", limit.as_secs_f64().ceil());
        Self { why: Transient { why }, refusal: None }
    }
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Tunnel, Protocol::Spdy, Protocol::Legacy];

impl Dialer {
    /// A dialer whose sessions run on `tracker`, with or without `credit` (PROTOCOL §2.8).
    pub fn new(cluster: Arc<Cluster>, tracker: TaskTracker, credit: bool) -> Self {
        Self { cluster, tracker, credit, remembered: Arc::new(AtomicU8::new(0)) }
    }

    /// Opens a tunnel to `pod`; `probe` is a port of it, for the legacy protocol must name one even to be tried.
    pub async fn dial(&self, pod: &PodId, probe: u16) -> Result<Tunnel, DialError> {
        Ok(match self.session_or_legacy(pod, probe).await? {
            Some(session) => {
                let (dialer, pod) = (self.clone(), pod.clone());
                let another = move || {
                    let (dialer, pod) = (dialer.clone(), pod.clone());
                    async move { dialer.session(&pod).await }.boxed()
                };
                Tunnel::Pool(Pool::new(Box::new(another), self.tracker.clone(), &session))
            }
            None => Tunnel::Legacy { dialer: self.clone(), pod: pod.clone() },
        })
    }

    /// One more session to a pod that was reached by one.
    async fn session(&self, pod: &PodId) -> Result<Session, DialError> {
        let none =
            || DialError { why: Transient { why: "no session is to be had".to_owned() }, refusal: None };
        self.session_or_legacy(pod, 1).await?.ok_or_else(none)
    }

    /// Tries the protocols in order. `None` tells that only the legacy one passes, which has no sessions.
    async fn session_or_legacy(&self, pod: &PodId, probe: u16) -> Result<Option<Session>, DialError> {
        let first = usize::from(self.remembered.load(Ordering::Relaxed));
        let mut failure = None;
        for (index, protocol) in PROTOCOLS.iter().enumerate().skip(first) {
            match upgrade(&self.cluster.data, pod, *protocol, probe).await {
                Ok(upgraded) => {
                    self.remembered.store(index as u8, Ordering::Relaxed);
                    tracing::debug!(pod = %pod.name, protocol = protocol.name(), "connected");
                    let framing = match protocol {
                        Protocol::Tunnel => Framing::WebSocket,
                        Protocol::Spdy => Framing::Plain,
                        Protocol::Legacy => return Ok(None),
                    };
                    let session =
                        Session::spawn(upgraded.io, upgraded.early, framing, self.credit, &self.tracker);
                    return Ok(Some(session));
                }
                Err(error) => {
                    let (falls_back, error) = judge(error, failure.is_some());
                    tracing::debug!(pod = %pod.name, protocol = protocol.name(), why = %error.why, "not connected");
                    failure = Some(better(failure, error));
                    if !falls_back {
                        break;
                    }
                }
            }
        }
        // What worked once no longer does: the next dial starts from the best again.
        self.remembered.store(0, Ordering::Relaxed);
        let why = Transient { why: "no protocol is left to try".to_owned() };
        Err(failure.unwrap_or(DialError { why, refusal: None }))
    }
}

/// Whether the next protocol is worth a try, and the error as it is told. A connection that breaks while an earlier
/// protocol was answered is a proxy that knows no SPDY.
fn judge(error: UpgradeError, answered_before: bool) -> (bool, DialError) {
    match error {
        UpgradeError::Refused(refusal) => {
            let why = Transient { why: refusal.why() };
            (refusal.may_fall_back(), DialError { why, refusal: Some(refusal) })
        }
        UpgradeError::Unreachable(error) => {
            let why = Transient { why: access::reason(error.as_ref()) };
            (answered_before, DialError { why, refusal: None })
        }
    }
}

/// The more telling of two failures: the API server's own word before a proxy's, the first before later ones.
fn better(before: Option<DialError>, now: DialError) -> DialError {
    let told = |error: &DialError| error.refusal.as_ref().is_some_and(|refusal| refusal.said.is_some());
    match before {
        Some(before) if told(&before) || !told(&now) => before,
        _ => now,
    }
}

impl Tunnel {
    /// Opens a connection to `port` of the pod.
    pub async fn open(&self, port: u16) -> Result<Stream, DialError> {
        match self {
            Self::Pool(pool) => pool.open(port).await.ok_or_else(|| DialError {
                why: Transient { why: "the connection to the pod is lost".to_owned() },
                refusal: None,
            }),
            Self::Legacy { dialer, pod } => {
                match upgrade(&dialer.cluster.data, pod, Protocol::Legacy, port).await {
                    Ok(upgraded) => Ok(legacy::stream(upgraded, port, &dialer.tracker)),
                    Err(error) => Err(judge(error, true).1),
                }
            }
        }
    }

    /// Waits until it is of no more use, and tells why. A legacy tunnel has nothing that could end.
    pub async fn closed(&self) -> String {
        match self {
            Self::Pool(pool) => pool.closed().await,
            Self::Legacy { .. } => std::future::pending().await,
        }
    }
}
