//! One accepted connection, from its accept to its end (DESIGN §2).
//!
//! It is *held*, unread, until there is a backend; then its bytes are pumped both ways (see `pump`). If the attempt fails
//! so that no application can have seen a byte of it (PROTOCOL §3.7), it is opened again on the next backend, with what was
//! kept of the bytes sent, and its client notices nothing. So is a safe request where its user wants that and the tunnel was
//! lost under it (`--retry safe-http`), though an application may have had it. Otherwise it ends as the pod ended it: FIN for
//! FIN, reset for reset. When a local FIN is passed on is decided by `linger`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::LocalClient,
    connection_log::ConnectionLog,
    linger::LINGERING,
    live_target::LiveTarget,
    local::LocalStream,
    open_connections::WaitsFor,
    pump::{PumpEnd, PumpEnvironment, pump},
    reporter::{ForwardedPort, Reporter},
    resends::{MAX_RESENDS, Resends},
    route::{Backend, RouteError, RouteFilter, RouteReceiver, WhenLost},
};
use crate::{
    descriptors::{Descriptors, descriptors},
    error::Transient,
    model::{event::EventKind, forward::RetryMode},
    policy::retry::{self, AttemptFailure, Evidence, Verdict},
    spdy::session::PairEnd,
    tunnel::stream::Stream,
};

/// How long a port that worked before may refuse before its client learns of it: a container that restarts in place
/// refuses until the watch says so (api/watch-container-restarted: half a second), and an application that restarts
/// by itself refuses for about as long.
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);

/// How long until such a port is tried again where nothing else happens.
const REFUSED_AGAIN: Duration = Duration::from_millis(100);

/// Backends that one connection is tried on.
const MAX_BACKENDS: u32 = 8;

/// What the connections of one port share.
pub(super) struct ConnectionContext {
    pub route: RouteReceiver,
    pub resolved: Arc<LiveTarget>,
    pub port: Arc<ForwardedPort>,
    pub hold: Duration,
    pub retry: RetryMode,
    pub reporter: Reporter,
    /// The forward ends: finish what is under way.
    pub stop: CancellationToken,
    /// The port has answered before.
    pub answered: AtomicBool,
    /// Permits to hold a client's FIN back.
    lingering: Semaphore,
    /// Those that its connections take.
    pub descriptors: &'static Descriptors,
}

impl ConnectionContext {
    pub(super) fn new(
        route: RouteReceiver,
        resolved: Arc<LiveTarget>,
        port: Arc<ForwardedPort>,
        hold: Duration,
        retry: RetryMode,
        reporter: Reporter,
        stop: CancellationToken,
    ) -> Self {
        let lingering = Semaphore::new(LINGERING);
        let (answered, descriptors) = (AtomicBool::new(false), descriptors());
        Self { route, resolved, port, hold, retry, reporter, stop, answered, lingering, descriptors }
    }

    fn pump_environment(&self) -> PumpEnvironment<'_> {
        PumpEnvironment {
            counters: &self.port.counters,
            lingering: &self.lingering,
            answered: &self.answered,
            stop: &self.stop,
            descriptors: self.descriptors,
        }
    }
}

/// How a connection ends.
enum ConnectionEnd {
    /// The application closed it.
    Closed,
    /// It was idle, and the forward ends: it is closed in order.
    Idle,
    /// By a reset that is no news to anybody: its client is gone, or it was over to all appearances.
    Reset,
    /// By a reset, and it is told why.
    Failed(ConnectionFailure),
}

/// As the log has it.
impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Idle => f.write_str("closed, as the forward ends"),
            Self::Reset => f.write_str("reset"),
            Self::Failed(failure) => write!(f, "failed: {}", failure.why),
        }
    }
}

/// What is told of a connection that failed.
struct ConnectionFailure {
    backend: Option<Arc<Backend>>,
    pod_port: Option<u16>,
    why: String,
}

/// How an attempt failed.
enum AttemptError {
    /// There was no stream to the pod.
    NotOpened(Transient),
    /// The stream failed.
    Stream {
        failure: AttemptFailure,
        /// DATA of it was handed to the transport, in part or whole.
        data_written: bool,
    },
}

impl AttemptError {
    fn failure(&self) -> &AttemptFailure {
        match self {
            Self::NotOpened(_) => &AttemptFailure::NotOpened,
            Self::Stream { failure, .. } => failure,
        }
    }

    fn evidence(&self, client: &LocalClient) -> Evidence {
        let data_written = matches!(self, Self::Stream { data_written: true, .. });
        Evidence { answered: client.answered, data_written, replayable: client.replay.is_some() }
    }

    /// Whether the same connection may be opened again without anybody noticing.
    fn may_replay(&self, client: &LocalClient) -> bool {
        retry::may_replay(self.failure(), self.evidence(client))
    }

    /// Whether it may be although an application may have had the request: a safe one, under which the tunnel was lost.
    fn may_resend(&self, client: &LocalClient) -> bool {
        let sent = client.replay.as_deref().unwrap_or_default();
        retry::may_resend(self.failure(), self.evidence(client), sent)
    }

    /// What became of a connection to `port`, for a person.
    fn explain(&self, port: u16) -> String {
        match self {
            Self::NotOpened(why) => why.to_string(),
            Self::Stream { failure, .. } => retry::explain(failure, port),
        }
    }
}

/// What a connection has left for its attempts.
struct Attempts {
    route: RouteReceiver,
    /// Which backends may be tried next.
    filter: RouteFilter,
    /// How many backends it was tried on, and the generation of the last of them.
    backends: u32,
    last: Option<u64>,
    /// It is held for so long in all, whenever its attempts fail.
    remaining_hold: Duration,
    /// Since when the port of the last backend refuses.
    refused_since: Option<Instant>,
    /// Times that its request was sent again. Boxed, for it is rare.
    resends: Option<Box<Resends>>,
}

impl Attempts {
    fn new(context: &ConnectionContext) -> Self {
        Self {
            route: context.route.clone(),
            filter: RouteFilter::Any,
            backends: 0,
            last: None,
            remaining_hold: context.hold,
            refused_since: None,
            resends: None,
        }
    }

    /// How often its request was sent again.
    fn resent(&self) -> u32 {
        self.resends.as_ref().map_or(0, |resends| resends.count())
    }

    /// Waits for the next backend, for as long as the connection may still be held. A request that was lost under way waits
    /// out a round of failed attempts: it is not the client's to try again.
    async fn next_backend(&mut self, deadline: Instant) -> Result<Arc<Backend>, RouteError> {
        let when_lost = if self.resent() > 0 { WhenLost::Wait } else { WhenLost::Fail };
        self.route.wait_for_backend(self.filter, when_lost, deadline).await
    }

    /// Notes that an attempt is made on `backend`.
    fn begin(&mut self, backend: &Backend) {
        if self.last.replace(backend.generation) != Some(backend.generation) {
            self.backends += 1;
            self.refused_since = None;
        }
    }

    /// Waits until the next attempt may be made after `failure`, which reached no application; false where there is no
    /// hope. `answered`: the port has answered before.
    async fn wait_for_next(&mut self, backend: &Backend, failure: &AttemptFailure, answered: bool) -> bool {
        if !matches!(failure, AttemptFailure::Text(text) if retry::verdict(text) == Verdict::Refused) {
            backend.unusable.cancel();
            self.filter = RouteFilter::NewerThan(backend.generation);
            return true;
        }
        // An application that is down is no other pod's matter, unless it went down just now: then it comes back, or
        // the news of it comes.
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        if !answered || since.elapsed() >= REFUSED_PATIENCE {
            return false;
        }
        let left = self.route.wait_replaced(backend.generation, REFUSED_AGAIN).await;
        self.filter = if left { RouteFilter::NewerThan(backend.generation) } else { RouteFilter::Any };
        true
    }
}

/// One connection's state over all its attempts.
struct Connection {
    context: Arc<ConnectionContext>,
    client: LocalClient,
    /// Boxed, for it is rare: each connection has room for it.
    log: Option<Box<ConnectionLog>>,
}

impl Drop for Connection {
    /// However it ends.
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.end(self.client.sent, self.client.received);
        }
    }
}

/// Carries one connection.
pub(super) async fn run(context: Arc<ConnectionContext>, local: LocalStream) {
    let port = Arc::clone(&context.port);
    let _counted = port.counters.open();
    let (_open, progress) = port.open.add();
    // However this task ends, cut off or by a panic too: nothing but the application's end looks like one.
    local.reset_when_dropped();
    let log = ConnectionLog::begin(&local, || format!("{}:{}", context.reporter.target(), port.remote));
    let mut connection = Connection { context, client: LocalClient::new(local, progress), log };
    let end = connection.carry().await;
    if let Some(log) = &mut connection.log {
        log.ended = end.to_string();
    }
    connection.end(end).await;
}

impl Connection {
    /// Makes attempts until one of them carried it, or there is no hope.
    async fn carry(&mut self) -> ConnectionEnd {
        let mut attempts = Attempts::new(&self.context);
        while attempts.backends < MAX_BACKENDS {
            self.client.progress.waits_for(WaitsFor::Pod);
            let held = Instant::now();
            let deadline = held + attempts.remaining_hold;
            let backend = match self.wait_for_backend(&mut attempts, deadline).await {
                Ok(backend) => backend,
                Err(route_error) => return self.unreached(&route_error),
            };
            if attempts.resent() > 0 && self.client.socket.has_failed() {
                // Nobody waits for the answer any more.
                return ConnectionEnd::Reset;
            }
            attempts.begin(&backend);
            let port = match self.context.resolved.get().pod_port(&self.context.port.remote, &backend.pod) {
                Ok(port) => port,
                Err(why) => return failed(Some(backend), None, why),
            };
            if let Some(log) = &mut self.log {
                log.reached = Some((backend.pod.id.name.clone(), port));
                log.resent = attempts.resent();
            }
            self.client.progress.waits_for(WaitsFor::Session);
            let opened =
                timeout_at(deadline, backend.tunnel.open(port, &self.context.port.counters.blocked)).await;
            attempts.remaining_hold = attempts.remaining_hold.saturating_sub(held.elapsed());
            let attempt = match opened {
                Err(_) => {
                    let why = format!("no session to the pod became free within {:?}", self.context.hold);
                    return failed(Some(backend), Some(port), why);
                }
                Ok(Err(error)) => Err(AttemptError::NotOpened(error.why)),
                Ok(Ok(mut stream)) => self.attempt(&mut stream).await,
            };
            let error = match attempt {
                Ok(end) => return end,
                Err(error) => error,
            };
            let answered = self.context.answered.load(Ordering::Relaxed);
            if !error.may_replay(&self.client) && !self.sends_again(&error, &mut attempts, &backend)
                || !attempts.wait_for_next(&backend, error.failure(), answered).await
            {
                return failed(Some(backend), Some(port), error.explain(port));
            }
            self.context.port.counters.retried();
            tracing::debug!(pod = %backend.pod.id.name, port, failure = ?error.failure(), "trying again elsewhere");
        }
        failed(None, None, format!("no pod answered on {MAX_BACKENDS} attempts"))
    }

    /// Waits for a backend, and counts as held meanwhile.
    async fn wait_for_backend(
        &self,
        attempts: &mut Attempts,
        deadline: Instant,
    ) -> Result<Arc<Backend>, RouteError> {
        let _held = self.context.port.counters.hold();
        attempts.next_backend(deadline).await
    }

    /// Whether the request is sent again although it may have reached an application. Says so where it is.
    fn sends_again(&self, error: &AttemptError, attempts: &mut Attempts, backend: &Backend) -> bool {
        let ConnectionContext { retry, hold, .. } = *self.context;
        if retry != RetryMode::SafeHttp
            || !error.may_resend(&self.client)
            || !attempts.resends.get_or_insert_default().allow(Instant::now(), hold)
        {
            return false;
        }
        let count = attempts.resent();
        tracing::info!(
            "the connection to pod {} was lost before an answer came; the request will be sent again ({count} of {MAX_RESENDS})",
            backend.pod.id.name
        );
        true
    }

    /// Carries it over `stream`.
    async fn attempt(&mut self, stream: &mut Stream) -> Result<ConnectionEnd, AttemptError> {
        let end = pump(self.context.pump_environment(), &mut self.client, stream).await;
        let data_written = stream.send.data_written();
        let failure = match end {
            PumpEnd::Over(PairEnd::Clean) => return Ok(ConnectionEnd::Closed),
            PumpEnd::ClientGone => return Ok(ConnectionEnd::Reset),
            PumpEnd::Idle => return Ok(ConnectionEnd::Idle),
            // It was used, and is over to all appearances: no news to anybody but its client.
            PumpEnd::Lost { idle: true } if data_written => return Ok(ConnectionEnd::Reset),
            PumpEnd::Lost { .. } => AttemptFailure::SessionLost,
            PumpEnd::Over(PairEnd::Reset) => AttemptFailure::Cut,
            PumpEnd::Over(PairEnd::Rejected) => AttemptFailure::Rejected,
            PumpEnd::Over(PairEnd::Failed(text)) => AttemptFailure::Text(text),
        };
        Err(AttemptError::Stream { failure, data_written })
    }

    /// How it ends where there is no backend.
    fn unreached(&self, route_error: &RouteError) -> ConnectionEnd {
        match route_error {
            RouteError::Stopped => ConnectionEnd::Reset,
            RouteError::HeldTooLong => {
                failed(None, None, format!("no pod was ready within {:?}", self.context.hold))
            }
            RouteError::Refused(why) => failed(None, None, why.to_string()),
        }
    }

    /// Ends it for its client.
    async fn end(&mut self, end: ConnectionEnd) {
        match end {
            ConnectionEnd::Closed => self.client.close().await,
            ConnectionEnd::Idle => self.client.socket.close_when_dropped(),
            ConnectionEnd::Reset => {}
            ConnectionEnd::Failed(failure) => self.fail(failure).await,
        }
    }

    /// Tells why the client's connection is reset, unless the client has ended it before.
    async fn fail(&mut self, ConnectionFailure { backend, pod_port, why }: ConnectionFailure) {
        if self.client.has_ended().await {
            tracing::debug!(%why, "failed after its client had ended");
            return;
        }
        let pod = backend.map(|backend| backend.pod.id.clone());
        self.context.reporter.emit(EventKind::ConnectionFailed { pod, pod_port, why });
    }
}

fn failed(backend: Option<Arc<Backend>>, pod_port: Option<u16>, why: String) -> ConnectionEnd {
    ConnectionEnd::Failed(ConnectionFailure { backend, pod_port, why })
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
