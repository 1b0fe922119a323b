//! One accepted connection, from its accept to its end (DESIGN §2).
//!
//! It is *held*, unread, until there is a way; then its bytes are pumped both ways in one loop. If the attempt fails
//! so that no application can have seen a byte of it (PROTOCOL §3.7), it is opened again on the next way, with what was
//! kept of the bytes sent, and its client notices nothing. Otherwise it ends as the pod ended it: FIN for FIN, reset for
//! reset.
//!
//! A local FIN is not passed on while the pod still sends: the runtime would give the application one second and then
//! cut it off, answer or no answer (§3.4). It is passed on once the pod has been silent for [`LINGER`], or for
//! [`SLOW_ANSWER`] where it has not answered what the client said last.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    local::Local,
    outbound::{Outbound, advance},
    report::{LocalEnd, Reporter},
    route::{NoWay, Router, Way},
};
use crate::{
    cluster::pods::target::Resolved,
    descriptors::{Descriptors, descriptors},
    model::event::Happening,
    policy::retry::{self, Evidence, Failure, Verdict},
    spdy::session::End,
    tunnel::stream::{Chunk, Inbound, Outgoing, Stream},
};

/// Bytes sent that are kept until the first answer, for a replay (DESIGN §2). More is a bulk upload, which is not
/// replayed.
const REPLAY_LIMIT: usize = 64 * 1024;

/// Silence of the pod after which a local FIN is passed on (PROTOCOL §3.4, its default suggestion). Most clients that
/// have their answer and say FIN are gone.
const LINGER: Duration = Duration::from_secs(5);

/// The same for a client that may be waiting for an answer: as long as a connection is held by default. What only waits
/// for the FIN learns of it late, but whoever thinks for that long is not cut off.
const SLOW_ANSWER: Duration = Duration::from_secs(30);

/// Connections of a target that may linger at once. Clients that merely close look the same as those that wait for an
/// answer; past this many the FIN is passed on at once, so that a busy client's closed connections do not pile up.
const LINGERING: usize = 256;

/// How long a port that worked before may refuse before its client learns of it: a container that restarts in place
/// refuses until the watch says so (api/watch-container-restarted: half a second), and an application that restarts
/// by itself refuses for about as long.
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);

/// Pieces that are written to the client at once, of at most 64 KiB each. A piece is what one read of the session held of
/// a frame, and to write each by itself is a system call and a segment for each.
const GATHERED: usize = 8;

/// How long until such a port is tried again where nothing else happens.
const REFUSED_AGAIN: Duration = Duration::from_millis(100);

/// Ways that one connection is tried on.
const MAX_WAYS: u32 = 8;

/// How long the verdict on a connection may come after the application's last byte. It follows at once (§3.4); a
/// peer that never gives it is not waited for.
const VERDICT_WITHIN: Duration = Duration::from_secs(5);

/// How long what a client still sends is read and dropped once its connection is over, lest unread bytes turn our FIN
/// into a reset that takes the end of the answer with it.
const DISCARD_WITHIN: Duration = Duration::from_secs(1);

/// How long the end of a client may follow its last words. One that has had its answers says good-bye and closes, and there
/// are applications that reset at the good-bye.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A connection without traffic for this long is idle, unless its client waits for an answer. While the forward ends it
/// is over then.
const QUIET: Duration = Duration::from_millis(250);

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
    lingering: Arc<Semaphore>,
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
        let lingering = Arc::new(Semaphore::new(LINGERING));
        let (answered, descriptors) = (AtomicBool::new(false), descriptors());
        Self { router, resolved, end, hold, reporter, stop, answered, lingering, descriptors }
    }
}

/// How the pumping of one attempt ended.
enum Pumped {
    /// The pod's side is over.
    Over(End),
    /// The session went from under it, `idle` if nothing was on its way in either direction, as far as can be told.
    Lost { idle: bool },
    /// The client is gone.
    ClientGone,
    /// The forward ends and nothing was under way.
    Quiet,
}

/// One connection's state over all its attempts.
struct Connection {
    context: Arc<Context>,
    local: Local,
    /// What was read from the client and may have to be sent again; `None` once it must not or cannot be.
    kept: Option<Vec<u8>>,
    /// The client has said something.
    said: bool,
    /// Bytes of the application reached the client.
    answered: bool,
    /// Some of them did after it had said that it sends no more.
    answered_late: bool,
    /// When the client said it sends no more.
    local_eof: Option<Instant>,
}

/// Carries one connection.
pub(super) async fn run(context: Arc<Context>, local: Local) {
    let end = Arc::clone(&context.end);
    let _open = end.counters.open();
    // However this task ends, cut off or by a panic too: nothing but the application's end looks like one.
    local.reset_when_dropped(true);
    let connection = Connection {
        context,
        local,
        kept: Some(Vec::new()),
        said: false,
        answered: false,
        answered_late: false,
        local_eof: None,
    };
    connection.run().await;
}

impl Connection {
    async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let mut router = context.router.clone();
        // It is held for so long in all, whenever its attempts fail.
        let mut patience = context.hold;
        let (mut after, mut ways, mut last) = (0, 0, 0);
        let mut refused_since = None;
        while ways < MAX_WAYS {
            let held = Instant::now();
            let deadline = held + patience;
            let way = match self.acquire(&mut router, after, deadline).await {
                Ok(way) => way,
                Err(no_way) => return self.refuse(&no_way).await,
            };
            if way.generation != last {
                last = way.generation;
                ways += 1;
                refused_since = None;
            }
            let port = match context.resolved.pod_port(&context.end.remote, &way.pod) {
                Ok(port) => port,
                Err(why) => return self.fail(Some(&way), None, why).await,
            };
            let opened = timeout_at(deadline, way.tunnel.open(port, &context.end.counters.blocked)).await;
            patience = patience.saturating_sub(held.elapsed());
            let (failure, data_written) = match opened {
                Err(_) => {
                    let why = format!("no session to the pod came free within {:?}", context.hold);
                    return self.fail(Some(&way), Some(port), why).await;
                }
                Ok(Err(error)) => (Failure::NotOpened, Some(error.why.to_string())),
                Ok(Ok(mut stream)) => {
                    let pumped = self.pump(&mut stream).await;
                    let written = stream.outgoing.data_written();
                    match pumped {
                        Pumped::Over(End::Clean) => return self.finish().await,
                        Pumped::ClientGone => return,
                        Pumped::Quiet => return self.local.reset_when_dropped(false),
                        // It was used, and is over to all appearances: no news to anybody but its client.
                        Pumped::Lost { idle: true } if written => return,
                        Pumped::Lost { .. } => (Failure::SessionLost, written.then(String::new)),
                        Pumped::Over(End::Reset) => (Failure::Cut, written.then(String::new)),
                        Pumped::Over(End::Rejected) => (Failure::Rejected, written.then(String::new)),
                        Pumped::Over(End::Failed(text)) => (Failure::Text(text), written.then(String::new)),
                    }
                }
            };
            let evidence = Evidence {
                answered: self.answered,
                data_written: data_written.is_some(),
                kept: self.kept.is_some(),
            };
            let again = if retry::may_replay(&failure, evidence) {
                self.again(&mut router, &way, &failure, &mut refused_since).await
            } else {
                None
            };
            let Some(newer_than) = again else {
                let why = match (&failure, data_written) {
                    (Failure::NotOpened, Some(why)) => why,
                    (failure, _) => retry::explain(failure, port),
                };
                return self.fail(Some(&way), Some(port), why).await;
            };
            after = newer_than;
            context.end.counters.retried();
            tracing::debug!(pod = %way.pod.id.name, port, ?failure, "trying again elsewhere");
        }
        self.fail(None, None, format!("no pod answered on {MAX_WAYS} attempts")).await;
    }

    /// Waits for a way, and counts as held meanwhile.
    async fn acquire(&self, router: &mut Router, after: u64, deadline: Instant) -> Result<Arc<Way>, NoWay> {
        let _held = self.context.end.counters.hold();
        router.acquire(after, deadline).await
    }

    /// Whether there is hope after `failure` that reached nobody: then a way newer than this is to be tried.
    async fn again(
        &self,
        router: &mut Router,
        way: &Way,
        failure: &Failure,
        refused_since: &mut Option<Instant>,
    ) -> Option<u64> {
        if !matches!(failure, Failure::Text(text) if retry::verdict(text) == Verdict::Refused) {
            way.suspect.cancel();
            return Some(way.generation);
        }
        // An application that is down is no other pod's matter, unless it went down just now: then it comes back, or
        // the news of it comes.
        let since = *refused_since.get_or_insert_with(Instant::now);
        if !self.context.answered.load(Ordering::Relaxed) || since.elapsed() >= REFUSED_PATIENCE {
            return None;
        }
        let left = router.left(way.generation, REFUSED_AGAIN).await;
        Some(if left { way.generation } else { way.generation - 1 })
    }

    /// Pumps both ways until either side is done.
    async fn pump(&mut self, stream: &mut Stream) -> Pumped {
        let mut outbound = Outbound { permit: None, resend: self.kept.clone().unwrap_or_default().into() };
        let mut pending = VecDeque::new();
        let mut finished = false;
        let mut lingers: Option<OwnedSemaphorePermit> = None;
        let mut verdict_by: Option<Instant> = None;
        let mut active = Instant::now();
        let mut unanswered = !outbound.resend.is_empty();
        if self.local_eof.is_some() {
            stream.step_aside();
        }
        let (stop, descriptors) = (self.context.stop.clone(), self.context.descriptors);
        loop {
            let may_send = !outbound.resend.is_empty() || self.local_eof.is_none();
            // With bytes that the client has not taken, it is not the pod that is silent.
            let lingering = !finished && !may_send && pending.is_empty();
            let linger = if unanswered { SLOW_ANSWER } else { LINGER };
            let linger_until = self.local_eof.filter(|_| lingering).map(|eof| eof.max(active) + linger);
            if linger_until.is_some() && lingers.is_none() {
                lingers = Arc::clone(&self.context.lingering).try_acquire_owned().ok();
                if lingers.is_none() {
                    stream.outgoing.finish();
                    finished = true;
                    continue;
                }
            }
            let reads = may_send && outbound.permit.is_some() && outbound.resend.is_empty();
            tokio::select! {
                permit = stream.outgoing.permit(), if may_send && outbound.permit.is_none() => {
                    outbound.permit = Some(permit);
                }
                readable = self.local.readable(), if reads => {
                    if readable.is_err() {
                        return Pumped::ClientGone;
                    }
                    match self.read(&mut outbound, &stream.outgoing) {
                        Err(_) => return Pumped::ClientGone,
                        // It said nothing: readiness is a hint.
                        Ok(false) => continue,
                        Ok(true) => {}
                    }
                    active = Instant::now();
                    if self.local_eof.is_some() {
                        stream.step_aside();
                    } else {
                        unanswered = true;
                    }
                }
                // It may be gone before the pod takes what it has said.
                () = self.local.failed(), if !reads => return Pumped::ClientGone,
                () = std::future::ready(()), if outbound.permit.is_some() && !outbound.resend.is_empty() => {
                    outbound.resend(&stream.outgoing);
                }
                writable = self.local.writable(), if !pending.is_empty() => {
                    if writable.is_err() || self.write(&mut pending).is_err() {
                        return Pumped::ClientGone;
                    }
                    active = Instant::now();
                }
                inbound = stream.incoming.recv(), if pending.is_empty() => match inbound {
                    Inbound::Data(bytes) => {
                        self.answered = true;
                        self.answered_late |= self.local_eof.is_some();
                        self.kept = None;
                        self.context.answered.store(true, Ordering::Relaxed);
                        active = Instant::now();
                        unanswered = false;
                        pending.push_back(bytes);
                        while pending.len() < GATHERED && let Some(more) = stream.incoming.more() {
                            pending.push_back(more);
                        }
                        if self.write(&mut pending).is_err() {
                            return Pumped::ClientGone;
                        }
                    }
                    Inbound::DataEnd => {
                        verdict_by = Some(Instant::now() + VERDICT_WITHIN);
                        // FIN for FIN: the runtime need not wait for ours.
                        if !finished {
                            stream.outgoing.finish();
                            finished = true;
                        }
                    }
                    Inbound::Ended(end) => return Pumped::Over(end),
                    Inbound::Lost => {
                        let over = self.local_eof.is_some() || active.elapsed() >= QUIET;
                        return Pumped::Lost { idle: over && !unanswered };
                    }
                },
                () = lingered(linger_until.unwrap_or(active), descriptors), if linger_until.is_some() => {
                    stream.outgoing.finish();
                    finished = true;
                }
                () = sleep_until(verdict_by.unwrap_or(active)), if verdict_by.is_some() => {
                    return Pumped::Over(End::Clean);
                }
                () = quiet(&stop, active), if !unanswered && pending.is_empty() => return Pumped::Quiet,
            }
        }
    }

    /// Reads what the client sent, keeps it while it may be needed again, and sends it. Says whether there was anything,
    /// the client's end or bytes.
    fn read(&mut self, outbound: &mut Outbound, outgoing: &Outgoing) -> io::Result<bool> {
        let Some(permit) = outbound.permit.take() else { return Ok(false) };
        let mut chunk = Chunk::new(permit);
        match self.local.try_read(&mut chunk.buffer()) {
            Ok(0) => self.local_eof = Some(Instant::now()),
            Ok(read) => {
                self.said = true;
                self.context.end.counters.outbound(read);
                self.keep(chunk.payload());
                outgoing.send(chunk);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(kept) = &mut self.kept {
            if kept.len() + bytes.len() <= REPLAY_LIMIT {
                kept.extend_from_slice(bytes);
            } else {
                self.kept = None;
            }
        }
    }

    /// Writes what the client takes.
    fn write(&self, pending: &mut VecDeque<Bytes>) -> io::Result<()> {
        while !pending.is_empty() {
            let mut slices = [IoSlice::new(&[]); GATHERED];
            let filled =
                slices.iter_mut().zip(pending.iter()).map(|(slice, piece)| *slice = IoSlice::new(piece));
            let count = filled.count();
            match self.local.try_write(&slices[..count]) {
                Ok(n) => {
                    self.context.end.counters.inbound(n);
                    advance(pending, n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The application closed: so do we, once the client has all of it.
    async fn finish(self) {
        self.local.reset_when_dropped(false);
        if self.local.shutdown_write().is_err() || self.local_eof.is_some() {
            return;
        }
        let discard = async {
            let mut scrap = Vec::with_capacity(4096);
            while self.local.readable().await.is_ok() {
                scrap.clear();
                match self.local.try_read(&mut scrap) {
                    Ok(0) => return,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                    _ => {}
                }
            }
        };
        let _ = timeout(DISCARD_WITHIN, discard).await;
    }

    /// Tells why the client's connection is reset, unless the client has ended it before.
    async fn fail(mut self, way: Option<&Way>, pod_port: Option<u16>, why: String) {
        if self.client_has_ended().await {
            tracing::debug!(%why, "failed after its client had ended");
            return;
        }
        let pod = way.map(|way| way.pod.id.clone());
        self.context.reporter.tell(Happening::ConnectionFailed { pod, pod_port, why });
    }

    /// Whether the client is gone, or has said that it sends no more and is owed nothing. One that has half-closed and waits for
    /// an answer looks the same as one that is gone, but for this: it has no answer yet, or still receives one. Those that
    /// had answers and then no more before they closed were done, whatever their last words were.
    async fn client_has_ended(&mut self) -> bool {
        if self.answered && self.local_eof.is_none() {
            let _ = timeout(LAST_WORDS, self.local.readable()).await;
        }
        if self.local_eof.is_none() {
            match self.local.try_read(&mut [0; 1].as_mut_slice()) {
                Ok(0) => self.local_eof = Some(Instant::now()),
                Ok(_) => self.said = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return true,
            }
        }
        let waits = self.said && (!self.answered || self.answered_late);
        self.local_eof.is_some() && !waits || self.local.has_failed()
    }

    async fn refuse(self, no_way: &NoWay) {
        let why = match no_way {
            NoWay::Stopped => return,
            NoWay::HeldTooLong => format!("no pod was ready within {:?}", self.context.hold),
            NoWay::Refused(why) => why.to_string(),
        };
        self.fail(None, None, why).await;
    }
}

/// Ready once a connection has lingered for long enough, or others need its descriptor.
async fn lingered(until: Instant, descriptors: &Descriptors) {
    tokio::select! {
        () = sleep_until(until) => {}
        () = descriptors.short() => {}
    }
}

/// Ready once the forward ends and the connection had no traffic since `active` for [`QUIET`].
async fn quiet(stop: &CancellationToken, active: Instant) {
    stop.cancelled().await;
    sleep_until(active + QUIET).await;
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
