//! Reaching a pod: the protocols in order, the choice remembered for the cluster (PROTOCOL §1).

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{
    dump::TunnelDump,
    error::DialError,
    legacy,
    limits::Limits,
    pool::SessionPool,
    protocol::{Protocol, UpgradeRefusal},
    session::Session,
    stream::{Gauge, Stream},
    upgrade::{Upgraded, upgrade},
    write_queue::Framing,
};
use crate::{cluster::client::Cluster, error::Transient, model::endpoint::PodId, spdy::session::CreditMode};

/// Makes tunnels to the pods of one cluster.
#[derive(Clone)]
pub struct PodDialer {
    cluster: Arc<Cluster>,
    tracker: TaskTracker,
    credit: CreditMode,
    limits: Arc<Limits>,
    /// The protocol that worked last. Of no meaning to memory order: it is a hint.
    remembered: Arc<AtomicU8>,
}

/// A way into one pod.
#[derive(Clone)]
pub enum Tunnel {
    /// Connections share sessions.
    Sessions(SessionPool),
    /// Each connection is an upgrade of its own.
    Legacy {
        /// Makes them.
        dialer: PodDialer,
        /// To this pod.
        pod: PodId,
    },
}

const PROTOCOLS: [Protocol; 3] = [Protocol::WebSocketTunnel, Protocol::Spdy, Protocol::LegacyWebSocket];

impl PodDialer {
    /// A dialer whose sessions run on `tracker`, with or without `credit` (PROTOCOL §2.8), within `limits`.
    pub fn new(cluster: Arc<Cluster>, tracker: TaskTracker, credit: CreditMode, limits: Arc<Limits>) -> Self {
        Self { cluster, tracker, credit, limits, remembered: Arc::new(AtomicU8::new(0)) }
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
                Tunnel::Sessions(SessionPool::new(
                    Box::new(another),
                    &self.limits,
                    self.tracker.clone(),
                    &session,
                ))
            }
            None => Tunnel::Legacy { dialer: self.clone(), pod: pod.clone() },
        })
    }

    /// One more session to a pod that was reached by one.
    async fn session(&self, pod: &PodId) -> Result<Session, DialError> {
        let none =
            || DialError { why: Transient { why: "no session is available".to_owned() }, refusal: None };
        self.session_or_legacy(pod, 1).await?.ok_or_else(none)
    }

    /// Tries the protocols in order. `None` tells that only the legacy one passes, which has no sessions.
    async fn session_or_legacy(&self, pod: &PodId, probe: u16) -> Result<Option<Session>, DialError> {
        let first = usize::from(self.remembered.load(Ordering::Relaxed));
        let mut failures = DialFailures::default();
        for (index, protocol) in PROTOCOLS.iter().enumerate().skip(first) {
            match upgrade(&self.cluster.data, pod, *protocol, probe).await {
                Ok(upgraded) => {
                    self.remembered.store(index as u8, Ordering::Relaxed);
                    tracing::debug!(pod = %pod.name, protocol = protocol.name(), "connected");
                    let framing = match protocol {
                        Protocol::WebSocketTunnel => Framing::WebSocket,
                        Protocol::Spdy => Framing::Plain,
                        Protocol::LegacyWebSocket => return Ok(None),
                    };
                    let Upgraded { io, early } = upgraded;
                    let session =
                        Session::spawn(io, early, framing, self.credit, &self.limits, &self.tracker);
                    return Ok(Some(session));
                }
                Err(error) => {
                    let error = DialError::from(error);
                    tracing::debug!(pod = %pod.name, protocol = protocol.name(), why = %error.why, "not connected");
                    if !failures.add(*protocol, error) {
                        break;
                    }
                }
            }
        }
        // What worked once no longer does: the next dial starts from the best again.
        self.remembered.store(0, Ordering::Relaxed);
        let why = Transient { why: "the server accepts none of the three protocols".to_owned() };
        Err(failures.told.unwrap_or(DialError { why, refusal: None }))
    }
}

/// What the protocols tried so far have failed with.
#[derive(Default)]
struct DialFailures {
    /// The most telling of them.
    told: Option<DialError>,
    /// One of them will be no other with the legacy protocol.
    is_final: bool,
}

impl DialFailures {
    /// Adds one; whether the next protocol is worth a try.
    ///
    /// Any answer to the WebSocket may be a proxy's that knows none, whatever it says, so plain SPDY is asked before it is
    /// believed. No answer is no proxy's, unless an earlier protocol had one: that is a proxy that knows no SPDY.
    fn add(&mut self, protocol: Protocol, error: DialError) -> bool {
        let answered_before = self.told.is_some();
        self.is_final |= error.refusal.as_ref().is_some_and(|refusal| !refusal.may_fall_back());
        let goes_on = match (&error.refusal, protocol) {
            (Some(_), Protocol::WebSocketTunnel) => true,
            (None, _) => answered_before && !self.is_final,
            (Some(_), _) => !self.is_final,
        };
        self.told = Some(match self.told.take() {
            Some(before) if !is_more_telling(error.refusal.as_ref(), before.refusal.as_ref()) => before,
            _ => error,
        });
        goes_on
    }
}

/// Whether a later failure is told rather than an earlier one. Of two that weigh the same it is unless they are the same:
/// plain SPDY needs fewer rights, and every version speaks it.
fn is_more_telling(now: Option<&UpgradeRefusal>, before: Option<&UpgradeRefusal>) -> bool {
    let (Some(now), Some(before)) = (now, before) else { return now.is_some() };
    now.weight() > before.weight() || now.weight() == before.weight() && now.status != before.status
}

impl Tunnel {
    /// Opens a connection to `port` of the pod. While it waits for another's client `blocked` counts it.
    pub async fn open(&self, port: u16, blocked: &Gauge) -> Result<Stream, DialError> {
        match self {
            Self::Sessions(pool) => pool.open(port, blocked).await.ok_or_else(|| DialError {
                why: Transient { why: "the connection to the pod is lost".to_owned() },
                refusal: None,
            }),
            Self::Legacy { dialer, pod } => {
                // Boxed, for it is large and rare: each connection's future would have room for it.
                match Box::pin(upgrade(&dialer.cluster.data, pod, Protocol::LegacyWebSocket, port)).await {
                    Ok(upgraded) => {
                        let blocked = Gauge::clone(blocked);
                        Ok(legacy::stream(upgraded, port, blocked, &dialer.limits, &dialer.tracker))
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// How it is now.
    pub fn dump(&self) -> TunnelDump {
        match self {
            Self::Sessions(pool) => pool.dump(),
            Self::Legacy { .. } => TunnelDump::Legacy,
        }
    }

    /// Waits until it has shown that it works ([`super::status::SessionWatch::proven`]). A legacy one is a session of its own
    /// for each connection, which tells its trouble itself.
    pub async fn proven(&self) {
        match self {
            Self::Sessions(pool) => pool.proven().await,
            Self::Legacy { .. } => {}
        }
    }

    /// Whether it has.
    pub fn is_proven(&self) -> bool {
        match self {
            Self::Sessions(pool) => pool.is_proven(),
            Self::Legacy { .. } => true,
        }
    }

    /// Waits until the pod does not answer on any of its sessions, and tells since when. Of a legacy tunnel that cannot be
    /// told.
    pub async fn silent(&self) -> Instant {
        match self {
            Self::Sessions(pool) => pool.silent().await,
            Self::Legacy { .. } => std::future::pending().await,
        }
    }

    /// Waits until the pod answers again.
    pub async fn speaks(&self) {
        match self {
            Self::Sessions(pool) => pool.speaks().await,
            Self::Legacy { .. } => {}
        }
    }

    /// Has connections that wait for a pod which does not answer go elsewhere.
    pub fn desert(&self) {
        if let Self::Sessions(pool) = self {
            pool.desert();
        }
    }

    /// Waits until it is of no more use, and tells why. A legacy tunnel has nothing that could end.
    pub async fn closed(&self) -> String {
        match self {
            Self::Sessions(pool) => pool.closed().await,
            Self::Legacy { .. } => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use kube::core::Status;

    use super::*;

    fn answer(status: u16, message: Option<&str>, text: &str) -> UpgradeRefusal {
        let status = StatusCode::from_u16(status).unwrap();
        let said = message.map(|message| Box::new(Status::failure(message, "")));
        UpgradeRefusal { status, kubernetes_status: said, text: text.to_owned(), retry_after: None }
    }

    /// What the protocols fail with in order, which of them are asked, and what is told.
    #[test]
    fn what_is_asked_and_told() {
        let answer = |status, message, text| Some(answer(status, message, text));
        let get = answer(403, Some("pods \"x\" is forbidden: cannot get resource \"pods/portforward\""), "");
        let create =
            answer(403, Some("pods \"x\" is forbidden: cannot create resource \"pods/portforward\""), "");
        let backend = answer(500, Some("error dialing backend: timeout"), "");
        let (gone, off) = (answer(404, Some("pods \"x\" not found"), ""), answer(503, Some("it is off"), ""));
        let (page, text) = (answer(502, None, "<html>"), answer(200, None, "ok"));
        let old = answer(400, None, "query parameter \"port\" is required");
        let unauthorized = answer(401, Some("Unauthorized"), "");
        for (answers, asked, told) in [
            // A proxy that knows no WebSocket may say anything.
            ([&off, &gone, &None], 2, 1),
            ([&text, &create, &None], 2, 1),
            ([&page, &unauthorized, &None], 2, 1),
            ([&unauthorized, &unauthorized, &None], 2, 0),
            ([&unauthorized, &page, &None], 2, 0),
            // The right to a WebSocket is another one.
            ([&get, &create, &None], 2, 0),
            ([&get, &backend, &None], 2, 1),
            ([&backend, &create, &None], 2, 0),
            // An answer that would be no other, and then none at all.
            ([&gone, &None, &None], 2, 0),
            ([&text, &None, &None], 2, 0),
            // A server or a proxy that knows neither.
            ([&old, &page, &old], 3, 0),
            ([&old, &None, &page], 3, 0),
            ([&page, &page, &old], 3, 2),
            // Nobody answers.
            ([&None, &gone, &None], 1, 0),
        ] {
            let mut failures = DialFailures::default();
            let error = |(at, refusal): (usize, &Option<UpgradeRefusal>)| {
                let why = Transient { why: at.to_string() };
                DialError { why, refusal: refusal.clone() }
            };
            let errors = answers.into_iter().enumerate().map(error);
            let on = PROTOCOLS
                .iter()
                .zip(errors)
                .take_while(|(protocol, error)| failures.add(**protocol, error.clone()));
            let on = on.count();
            let heard = failures.told.unwrap().why.to_string();
            assert_eq!((on.min(2) + 1, heard), (asked, told.to_string()), "{answers:?}");
        }
    }
}
