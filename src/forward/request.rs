//! What somebody asks of a forward that runs.

use tokio::sync::oneshot;

use crate::error::Fatal;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Steering {
    /// Dial the pod again, and wait for nothing before that.
    Reconnect,
    /// Send new connections to this pod, or to whichever other one.
    Retarget(Option<String>),
}

/// Somebody asks.
pub(super) struct SteeringRequest {
    pub what: Steering,
    /// The pod that it came to.
    pub answer: oneshot::Sender<Result<String, Fatal>>,
}
