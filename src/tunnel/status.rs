//! What others see of a session's driver.

use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::end::SessionEnd;

/// What the handles see of the driver.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) closed: CancellationToken,
    pub(super) why: OnceLock<SessionEnd>,
    /// Streams that somebody holds.
    pub(super) streams: Arc<()>,
    /// See [`super::session::Session::is_busy`].
    pub(super) busy: AtomicBool,
    /// See [`super::session::Session::is_stuck`].
    pub(super) stuck: CancellationToken,
    /// See [`SessionWatch::proven`].
    pub(super) proven: CancellationToken,
    pub(super) since: Instant,
    pub(super) drained: Arc<Notify>,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            closed: CancellationToken::new(),
            why: OnceLock::new(),
            streams: Arc::new(()),
            busy: AtomicBool::new(false),
            stuck: CancellationToken::new(),
            proven: CancellationToken::new(),
            since: Instant::now(),
            drained: Arc::new(Notify::new()),
        }
    }
}

/// Waits for a session's end.
#[derive(Debug)]
pub struct SessionWatch(pub(super) Arc<Status>);

impl SessionWatch {
    /// Waits for the end and tells why.
    pub async fn wait(&self) -> SessionEnd {
        self.0.closed.cancelled().await;
        self.0.why.get().cloned().unwrap_or(SessionEnd::Panicked)
    }

    /// Waits until a client stops its reading for the first time.
    pub async fn stuck(&self) {
        self.0.stuck.cancelled().await;
    }

    /// Waits until it has shown that it works: an application's words came over it, or those of the runtime about one, or
    /// its peer still speaks after a while. Until then a 101 is all there was.
    pub async fn proven(&self) {
        self.0.proven.cancelled().await;
    }

    /// Whether it has.
    pub fn is_proven(&self) -> bool {
        self.0.proven.is_cancelled()
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.0.closed.is_cancelled()
    }
}
