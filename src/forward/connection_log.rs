//! A connection in the log: from `-v 1` on a line at its end, from `-v 4` on one at its start as well.

use tokio::time::Instant;

use super::local::LocalStream;

/// What is logged of one connection at its end. What does not come to an end of its own is cut off.
pub(super) struct ConnectionLog {
    from: String,
    target: String,
    begun: Instant,
    /// The pod that it came to last, and the pod's port.
    pub reached: Option<(String, u16)>,
    /// Times that its request was sent again.
    pub resent: u32,
    pub ended: String,
}

impl ConnectionLog {
    /// Begins with an accepted connection to `target`; `None` where nobody reads of it.
    pub(super) fn begin(local: &LocalStream, target: impl FnOnce() -> String) -> Option<Box<Self>> {
        if !tracing::enabled!(tracing::Level::INFO) {
            return None;
        }
        let (from, target) = (local.peer(), target());
        tracing::debug!("connection from {from} to {target} accepted");
        let ended = "cut off".to_owned();
        Some(Box::new(Self { from, target, begun: Instant::now(), reached: None, resent: 0, ended }))
    }

    /// Ends, with what was sent to the pod and received from it.
    pub(super) fn end(&self, sent: u64, received: u64) {
        let Self { from, target, begun, reached, resent, ended } = self;
        let pod = match reached {
            Some((pod, port)) => format!(", pod {pod} port {port}"),
            None => ", no pod".to_owned(),
        };
        let again = match resent {
            0 => String::new(),
            1 => ", request sent again".to_owned(),
            times => format!(", request sent again {times} times"),
        };
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(
            "connection from {from} to {target}{pod}: {sent} bytes sent, {received} bytes received in {seconds:.3} s{again}, {ended}"
        );
    }
}
