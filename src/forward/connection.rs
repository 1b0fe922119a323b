//! One accepted connection, from its accept to its end (DESIGN §2).
//!
//! It is *held*, unread, until there is a way; then its bytes are pumped both ways (see `pump`). If the attempt fails
//! so that no application can have seen a byte of it (PROTOCOL §3.7), it is opened again on the next way, with what was
//! kept of the bytes sent, and its client notices nothing. Otherwise it ends as the pod ended it: FIN for FIN, reset for
//! reset. When a local FIN is passed on is decided by `linger`.

use std::{
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
    linger::LINGERING,
    local::Local,
    pump::{PumpEnd, PumpEnvironment, pump},
    report::{LocalEnd, Reporter},
    route::{NoWay, RouteFilter, Router, Way},
};
use crate::{
    cluster::pods::target::Resolved,
    descriptors::{Descriptors, descriptors},
    error::Transient,
    model::event::Happening,
    policy::retry::{self, Evidence, Failure, Verdict},
    spdy::session::End,
    tunnel::stream::Stream,
};

/// How long a port that worked before may refuse before its client learns of it: a container that restarts in place
/// refuses until the watch says so (api/watch-container-restarted: half a second), and an application that restarts
/// by itself refuses for about as long.
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);

/// How long until such a port is tried again where nothing else happens.
const REFUSED_AGAIN: Duration = Duration::from_millis(100);

/// Ways that one connection is tried on.
const MAX_WAYS: u32 = 8;

/// What the connections of one port share.
pub(super) struct Context {
    pub router: Router,
    pub resolved: Arc<Resolved>,
    pub end: Arc<LocalEnd>,
    pub hold: Duration,
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

impl Context {
    pub(super) fn new(
        router: Router,
        resolved: Arc<Resolved>,
        end: Arc<LocalEnd>,
        hold: Duration,
        reporter: Reporter,
        stop: CancellationToken,
    ) -> Self {
        let lingering = Semaphore::new(LINGERING);
        let (answered, descriptors) = (AtomicBool::new(false), descriptors());
        Self { router, resolved, end, hold, reporter, stop, answered, lingering, descriptors }
    }

    fn pump_environment(&self) -> PumpEnvironment<'_> {
        PumpEnvironment {
            counters: &self.end.counters,
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

/// What is told of a connection that failed.
struct ConnectionFailure {
    way: Option<Arc<Way>>,
    pod_port: Option<u16>,
    why: String,
}

/// How an attempt failed.
enum AttemptError {
    /// There was no stream to the pod.
    NotOpened(Transient),
    /// The stream failed.
    Stream {
        failure: Failure,
        /// DATA of it was handed to the transport, in part or whole.
        data_written: bool,
    },
}

impl AttemptError {
    fn failure(&self) -> &Failure {
        match self {
            Self::NotOpened(_) => &Failure::NotOpened,
            Self::Stream { failure, .. } => failure,
        }
    }

    /// Whether the same connection may be opened again without anybody noticing.
    fn may_replay(&self, client: &LocalClient) -> bool {
        let data_written = matches!(self, Self::Stream { data_written: true, .. });
        let (answered, kept) = (client.answered, client.replay.is_some());
        retry::may_replay(self.failure(), Evidence { answered, data_written, kept })
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
    router: Router,
    /// Which ways may be tried next.
    filter: RouteFilter,
    /// How many ways it was tried on, and the generation of the last of them.
    ways: u32,
    last: Option<u64>,
    /// It is held for so long in all, whenever its attempts fail.
    patience: Duration,
    /// Since when the port of the last way refuses.
    refused_since: Option<Instant>,
}

impl Attempts {
    fn new(context: &Context) -> Self {
        Self {
            router: context.router.clone(),
            filter: RouteFilter::Any,
            ways: 0,
            last: None,
            patience: context.hold,
            refused_since: None,
        }
    }

    /// Notes that an attempt is made on `way`.
    fn begin(&mut self, way: &Way) {
        if self.last.replace(way.generation) != Some(way.generation) {
            self.ways += 1;
            self.refused_since = None;
        }
    }

    /// Waits until the next attempt may be made after `failure`, which reached no application; false where there is no
    /// hope. `answered`: the port has answered before.
    async fn wait_for_next(&mut self, way: &Way, failure: &Failure, answered: bool) -> bool {
        if !matches!(failure, Failure::Text(text) if retry::verdict(text) == Verdict::Refused) {
            way.suspect.cancel();
            self.filter = RouteFilter::NewerThan(way.generation);
            return true;
        }
        // An application that is down is no other pod's matter, unless it went down just now: then it comes back, or
        // the news of it comes.
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        if !answered || since.elapsed() >= REFUSED_PATIENCE {
            return false;
        }
        let left = self.router.left(way.generation, REFUSED_AGAIN).await;
        self.filter = if left { RouteFilter::NewerThan(way.generation) } else { RouteFilter::Any };
        true
    }
}

/// One connection's state over all its attempts.
struct Connection {
    context: Arc<Context>,
    client: LocalClient,
}

/// Carries one connection.
pub(super) async fn run(context: Arc<Context>, local: Local) {
    let end = Arc::clone(&context.end);
    let _open = end.counters.open();
    // However this task ends, cut off or by a panic too: nothing but the application's end looks like one.
    local.reset_when_dropped(true);
    let mut connection = Connection { context, client: LocalClient::new(local) };
    let end = connection.carry().await;
    connection.end(end).await;
}

impl Connection {
    /// Makes attempts until one of them carried it, or there is no hope.
    async fn carry(&mut self) -> ConnectionEnd {
        let mut attempts = Attempts::new(&self.context);
        while attempts.ways < MAX_WAYS {
            let held = Instant::now();
            let deadline = held + attempts.patience;
            let way = match self.acquire(&mut attempts, deadline).await {
                Ok(way) => way,
                Err(no_way) => return self.unreached(&no_way),
            };
            attempts.begin(&way);
            let port = match self.context.resolved.pod_port(&self.context.end.remote, &way.pod) {
                Ok(port) => port,
                Err(why) => return failed(Some(way), None, why),
            };
            let opened =
                timeout_at(deadline, way.tunnel.open(port, &self.context.end.counters.blocked)).await;
            attempts.patience = attempts.patience.saturating_sub(held.elapsed());
            let attempt = match opened {
                Err(_) => {
                    let why = format!("no session to the pod came free within {:?}", self.context.hold);
                    return failed(Some(way), Some(port), why);
                }
                Ok(Err(error)) => Err(AttemptError::NotOpened(error.why)),
                Ok(Ok(mut stream)) => self.attempt(&mut stream).await,
            };
            let error = match attempt {
                Ok(end) => return end,
                Err(error) => error,
            };
            let answered = self.context.answered.load(Ordering::Relaxed);
            if !error.may_replay(&self.client)
                || !attempts.wait_for_next(&way, error.failure(), answered).await
            {
                return failed(Some(way), Some(port), error.explain(port));
            }
            self.context.end.counters.retried();
            tracing::debug!(pod = %way.pod.id.name, port, failure = ?error.failure(), "trying again elsewhere");
        }
        failed(None, None, format!("no pod answered on {MAX_WAYS} attempts"))
    }

    /// Waits for a way, and counts as held meanwhile.
    async fn acquire(&self, attempts: &mut Attempts, deadline: Instant) -> Result<Arc<Way>, NoWay> {
        let _held = self.context.end.counters.hold();
        attempts.router.acquire(attempts.filter, deadline).await
    }

    /// Carries it over `stream`.
    async fn attempt(&mut self, stream: &mut Stream) -> Result<ConnectionEnd, AttemptError> {
        let end = pump(self.context.pump_environment(), &mut self.client, stream).await;
        let data_written = stream.outgoing.data_written();
        let failure = match end {
            PumpEnd::Over(End::Clean) => return Ok(ConnectionEnd::Closed),
            PumpEnd::ClientGone => return Ok(ConnectionEnd::Reset),
            PumpEnd::Idle => return Ok(ConnectionEnd::Idle),
            // It was used, and is over to all appearances: no news to anybody but its client.
            PumpEnd::Lost { idle: true } if data_written => return Ok(ConnectionEnd::Reset),
            PumpEnd::Lost { .. } => Failure::SessionLost,
            PumpEnd::Over(End::Reset) => Failure::Cut,
            PumpEnd::Over(End::Rejected) => Failure::Rejected,
            PumpEnd::Over(End::Failed(text)) => Failure::Text(text),
        };
        Err(AttemptError::Stream { failure, data_written })
    }

    /// How it ends where there is no way.
    fn unreached(&self, no_way: &NoWay) -> ConnectionEnd {
        match no_way {
            NoWay::Stopped => ConnectionEnd::Reset,
            NoWay::HeldTooLong => {
                failed(None, None, format!("no pod was ready within {:?}", self.context.hold))
            }
            NoWay::Refused(why) => failed(None, None, why.to_string()),
        }
    }

    /// Ends it for its client.
    async fn end(&mut self, end: ConnectionEnd) {
        match end {
            ConnectionEnd::Closed => self.client.close().await,
            ConnectionEnd::Idle => self.client.socket.reset_when_dropped(false),
            ConnectionEnd::Reset => {}
            ConnectionEnd::Failed(failure) => self.fail(failure).await,
        }
    }

    /// Tells why the client's connection is reset, unless the client has ended it before.
    async fn fail(&mut self, ConnectionFailure { way, pod_port, why }: ConnectionFailure) {
        if self.client.has_ended().await {
            tracing::debug!(%why, "failed after its client had ended");
            return;
        }
        let pod = way.map(|way| way.pod.id.clone());
        self.context.reporter.tell(Happening::ConnectionFailed { pod, pod_port, why });
    }
}

fn failed(way: Option<Arc<Way>>, pod_port: Option<u16>, why: String) -> ConnectionEnd {
    ConnectionEnd::Failed(ConnectionFailure { way, pod_port, why })
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
