//! F3, forwarding: local addresses, the connections they accept, and the supervisor of each target.
//!
//! A [`Registry`](registry::Registry) is the one way in: it starts forwards in groups, lists them and stops them.

mod chooser;
mod client;
mod clusters;
mod conflict;
mod connection;
mod connection_log;
mod counters;
mod disturbances;
pub mod dump;
mod elsewhere;
mod linger;
mod listener;
mod live_pods;
mod live_target;
mod local;
mod no_pod;
mod once_map;
pub mod open_connections;
mod outbound;
mod prepared;
pub mod proposal;
mod pump;
mod redial;
pub mod registry;
mod reporter;
mod request;
mod resends;
mod route;
#[cfg(unix)]
pub(crate) mod socket;
mod start;
mod start_progress;
mod status;
mod steering;
mod supervisor;
pub mod takeover;
mod target_follower;
#[cfg(unix)]
mod unread;

use std::time::Duration;

use self::listener::{BindRefusal, TakenPort};
use crate::{
    error::Fatal,
    model::{
        forward::RetryMode,
        ports::{Address, LocalPort, PortSpec, RemotePort},
        target::Target,
    },
};

/// How long the command line lets connections go on once their forward was stopped: long enough for a request under way,
/// short enough for a person.
pub const GRACE: Duration = Duration::from_secs(2);

/// A target and the ports of it that are forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardRequest {
    /// What to forward to.
    pub target: Target,
    /// Its ports, at least one.
    pub ports: Vec<PortSpec>,
}

/// How to forward. The defaults are the command line's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own, off by default")]
pub struct ForwardOptions {
    /// How long a connection waits for a ready pod.
    pub hold: Duration,
    /// How long the start waits for one.
    pub pod_running_timeout: Duration,
    /// A taken local port is replaced by the next free one.
    pub auto_port: bool,
    /// A failed round of attempts ends everything.
    pub give_up: bool,
    /// While no pod is ready, one that runs will do.
    pub allow_unready: bool,
    /// Where to listen, for ports that do not say.
    pub addresses: Vec<Address>,
    /// A local address that another forward of the user has is taken over: that forward is stopped, once nothing else
    /// stands against the start. Only programs with a control socket know of other forwards.
    pub replace: bool,
    /// Which requests are sent again when the connection to the pod is lost under them.
    pub retry: RetryMode,
}

impl Default for ForwardOptions {
    fn default() -> Self {
        Self {
            // Longer than most pods take to come back, shorter than most clients wait.
            hold: Duration::from_secs(30),
            // kubectl's own.
            pod_running_timeout: Duration::from_secs(60),
            auto_port: false,
            give_up: false,
            allow_unready: false,
            addresses: vec![Address::Localhost],
            replace: false,
            retry: RetryMode::None,
        }
    }
}

/// What to start: a target and its ports, and how. Each port becomes a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSpec {
    /// What.
    pub request: ForwardRequest,
    /// How.
    pub options: ForwardOptions,
    /// The context of the kubeconfig; `None` is the one of the flags, or the current one.
    pub context: Option<String>,
    /// What the user calls it.
    pub label: Option<String>,
    /// Where it is asked for, for errors about it: `fwd.yaml:4`.
    pub origin: Option<String>,
}

impl ForwardSpec {
    /// These ports of a target, with the default options, in the current context, without a label.
    pub fn new(target: Target, ports: impl IntoIterator<Item = PortSpec>) -> Self {
        let request = ForwardRequest { target, ports: ports.into_iter().collect() };
        Self { request, options: ForwardOptions::default(), context: None, label: None, origin: None }
    }
}

/// Whether the local port of `spec` can be listened on: it is bound, and let go. `None` where no one port is meant, or a
/// Unix socket.
pub async fn try_bind(spec: &PortSpec, addresses: &[Address]) -> Option<(u16, Result<(), Fatal>)> {
    let number = match (&spec.local, &spec.remote) {
        (LocalPort::Number(number), _) | (LocalPort::Same, RemotePort::Number(number)) => *number,
        _ => return None,
    };
    let addresses = spec.address.as_ref().map_or(addresses, std::slice::from_ref);
    let bound = listener::bind(&LocalPort::Number(number), number, addresses, TakenPort::Refuse).await;
    Some((
        number,
        match bound {
            Ok(_) => Ok(()),
            Err(BindRefusal::Taken(taken)) => Err(taken.explain().await),
            Err(BindRefusal::Impossible(fatal)) => Err(fatal),
        },
    ))
}
