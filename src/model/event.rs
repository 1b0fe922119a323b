//! What happens to forwards, as it is told to people and to programs.
//!
//! Every event is about one target, in part or as a whole, and says enough to be understood alone: floors above only word it.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{endpoint::PodId, forward::ForwardId, ports::RemotePort};

/// A local address that was bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LocalAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// As kubectl writes it. `SocketAddr` would add an IPv6 scope, which kubectl does not.
impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(SocketAddr::V4(address)) => address.fmt(f),
            Self::Tcp(SocketAddr::V6(address)) => write!(f, "[{}]:{}", address.ip(), address.port()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A local address is bound, and is about to work. Once a forward.
    Started,
    /// A local address accepts connections that reach the pod: kubectl's `Forwarding from` line. Once an end.
    Forwarding {
        /// The local address.
        local: LocalAddress,
        /// The pod's port, translated (PROTOCOL §6).
        pod_port: u16,
        /// The pod reached first.
        pod: PodId,
    },
    /// A wanted local port was taken and another was bound (`--auto-port`).
    OtherPort {
        /// What was asked for.
        wanted: u16,
        /// What was bound.
        bound: u16,
    },
    /// New connections go to another pod now.
    Retargeted {
        /// The pod until now, with what became of it.
        from: PodId,
        /// What became of it.
        why: RetargetReason,
        /// The pod from now on.
        to: PodId,
    },
    /// No pod is ready; connections are held.
    Waiting {
        /// Why, as far as the cluster says: `pod api-1 is Pending (ImagePullBackOff)`.
        why: String,
        /// For how long a connection is held.
        hold: Duration,
    },
    /// The session to the pod is gone, or could not be made; attempt `attempt` of `of` follows after `delay`.
    Reconnecting {
        /// Which pod.
        pod: PodId,
        /// Which attempt of the round, from 1; 0 is the one at once, before any round.
        attempt: u32,
        /// Attempts in a round.
        of: u32,
        /// How long until it is made.
        delay: Duration,
        /// What went wrong.
        why: String,
    },
    /// The pod is reached again, after `Waiting`, `Reconnecting` or `Lost`.
    Recovered {
        /// Which pod.
        pod: PodId,
    },
    /// A round of attempts failed; the next one starts after `next` or at a sign of life.
    Lost {
        /// The pod that was to be reached.
        pod: PodId,
        /// What does not answer.
        unreachable: Unreachable,
        /// The last thing that went wrong.
        why: String,
        /// When the next round starts.
        next: Duration,
    },
    /// One connection failed. Others go on.
    ConnectionFailed {
        /// The pod it was meant for, where one was chosen.
        pod: Option<PodId>,
        /// The pod's port.
        pod_port: Option<u16>,
        /// Why: `connection refused`.
        why: String,
    },
    /// Connections wait for another client, which does not read what shares their session with them; there is no memory
    /// left for more of it. Told once a while.
    Blocked {
        /// How many.
        connections: u64,
    },
    /// It is over: no new connections. Nothing follows but failures of those still under way.
    Stopped {
        /// What ended it.
        by: StopReason,
    },
    /// Something a person should know that changes nothing: `watch is forbidden, polling every 2 s`.
    Notice {
        /// The text.
        text: String,
    },
}

/// What cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// The API server, or the way to it.
    Cluster,
    /// The pod: the API server answers.
    Pod,
}

/// What became of a pod that is no longer the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetargetReason {
    /// It is being deleted.
    Terminating,
    /// It is no more.
    Deleted,
    /// It lives and is not ready.
    NotReady,
    /// It no longer has the port.
    NoPort,
    /// It ended, well or badly.
    Ended,
    /// It is there, and the target does not select it any more: the labels of one of them are others now.
    Unselected,
    /// It could not be reached.
    Unreachable,
    /// Nothing: somebody asked for another pod.
    Requested,
}

/// What ended a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody asked for it: `kubectl fwd stop`, or another program.
    Asked,
    /// The process ends.
    Exit,
    /// It was given up.
    GaveUp {
        /// Why.
        why: String,
    },
}

/// Something that happened to forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// To which. All of a target's ports share what happens to its pods, and are then told of together. None, where a
    /// start takes long and there are no forwards yet.
    pub forwards: Arc<[ForwardId]>,
    /// The target as the user typed it: `svc/api`. Empty where it is about none.
    pub target: String,
    /// Which of its ports, where it is about some of them and not about all: those that go to another pod than the rest.
    pub ports: Vec<RemotePort>,
    /// What the user calls it (`--name`).
    pub label: Option<String>,
    /// What.
    pub kind: EventKind,
}

impl Event {
    /// What it is about: the target, with its ports where the others have nothing to do with it (`svc/api:http,metrics`).
    pub fn subject(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        if ports.is_empty() { self.target.clone() } else { format!("{}:{}", self.target, ports.join(",")) }
    }
}

#[cfg(test)]
impl Event {
    /// An event of `svc/api`, of the forwards with these numbers.
    pub(crate) fn example(forwards: impl IntoIterator<Item = u64>, kind: EventKind) -> Self {
        let forwards = forwards.into_iter().map(ForwardId::from_bits).collect();
        Self {
            at: Timestamp::UNIX_EPOCH,
            forwards,
            target: "svc/api".into(),
            ports: vec![],
            label: None,
            kind,
        }
    }
}
