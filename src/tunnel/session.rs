//! The driver of one upgraded connection: one task that owns the transport, and the handle to it.
//!
//! The driver is a loop over four things, each bounded in one turn: take commands of streams, write what is queued,
//! read what came and hand it to its stream, ping. It never waits for a stream: what a slow local client has not taken
//! is counted, and past a limit the driver stops reading (see [`super::stream`]), unless others have something to come and
//! there is memory for what comes before it (see `stalled`). Nor does it wait for an application
//! that stops reading: what the peer has no room for stays behind (see `backlog`). It ends when the peer closes, when it
//! hears nothing for too long ([`crate::policy::liveness`]), or when the last handle and the last stream are gone: a
//! pod that is being deleted drains exactly as long as somebody still has a stream to it.
//!
//! Whatever ends it, a panic included, the streams learn that they are lost and the handle that it is closed.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::yield_now,
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::{
    backlog::Backlog,
    buffers,
    dump::PingDump,
    end::SessionEnd,
    limits::Limits,
    pulse::Pulse,
    stalled::Stalled,
    status::{SessionStatus, SessionWatch},
    stream::{Gauge, Stream, StreamCommand, StreamEvent},
    stream_entry::{StreamCounts, StreamEntry, StreamTable},
    websocket,
    write_queue::{Framing, WriteQueue},
};
use crate::{
    policy::{
        liveness::{self, Writes},
        placement::Occupancy,
    },
    spdy::session::{self, CreditMode, PairEnd, PairId, SpdyEvent},
};

/// Turns of the loop before other tasks of the runtime get theirs. With all there is to do, each reads 64 KiB and writes
/// a burst, so other tasks wait for some 1 MiB to be moved, a millisecond. The connections' tasks are among them: what was
/// read is still in the processor's cache when they write it.
const TURNS: usize = 4;

/// Reads of one turn: 64 KiB in all, so that a full pipe costs few turns.
const READS: usize = 2;

/// Frames after which a turn is the last one: of the smallest there are tens of thousands in a read, and while there are
/// more of them the sockets' and signals' turn comes first.
const FRAMES: usize = 2048;

/// Commands taken in one turn: enough that a burst of new connections leaves as one.
const COMMANDS: usize = 64;

/// With this much queued no ping is asked or answered, and new connections go elsewhere where they can: they would grow the
/// queue of a transport that takes nothing. Else there is in it what streams have under way, which is bounded by their
/// permits, and their ends. Commands are taken all the same, or the resets among them would not be heard, nor the end.
const QUEUE_LIMIT: usize = 1024 * 1024;

/// Streams that are opened all the same while so much is queued: a burst of connections comes before anybody can tell that
/// the session is busy. Their openings and ends are some 200 bytes each, so they add less than another `QUEUE_LIMIT`.
const LATE_OPENINGS: usize = 4096;

/// How long more comes of a transfer that was given up: the runtime goes on sending it for a second, at full speed, before
/// anybody else's bytes (PROTOCOL §0.6), and some of it is in the buffers on the way.
const ABANDONED: Duration = Duration::from_secs(2);

/// How long a closing session has to write its last frames.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// The handle to a session. Cheap to clone; the session ends with its last handle and stream.
#[derive(Debug, Clone)]
pub struct Session {
    commands: mpsc::UnboundedSender<StreamCommand>,
    pub(super) status: Arc<SessionStatus>,
}

impl Session {
    /// Drives `io`, whose first inbound bytes are `early`, on a task of `tracker`. Without `credit` the peer is sent
    /// whatever comes, and one application that stops reading stops all (PROTOCOL §2.8).
    pub fn spawn<IO>(
        io: IO,
        early: Bytes,
        framing: Framing,
        credit: CreditMode,
        limits: &Arc<Limits>,
        tracker: &TaskTracker,
    ) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Bounded by its streams: each has an opening, buffers for which it holds permits, and an end.
        let (commands, receiver) = mpsc::unbounded_channel();
        let status = Arc::new(SessionStatus::new(Arc::clone(limits)));
        let mut driver = Driver::new(io, framing, credit, receiver, Arc::clone(&status));
        tracker.spawn(async move {
            // Cancels on every way out, a panic included.
            let closed = driver.status.closed.clone().drop_guard();
            let end = driver.run(early).await;
            tracing::debug!(%end, "session ended");
            if end == SessionEnd::Unneeded {
                driver.close_gracefully().await;
            }
            let _ = driver.status.why.set(end);
            // Nothing may be written any more once the streams learn that they are lost: what they did not see leave
            // they may send again elsewhere. The driver's fields go in order, the transport first.
            drop(driver);
            drop(closed);
            buffers::give_back();
        });
        Self { commands, status }
    }

    /// Opens a pair to `port` of the pod. Fails nowhere but in what the stream then tells. While it waits for another's
    /// client `blocked` counts it.
    pub fn open(&self, port: u16, blocked: &Gauge) -> Stream {
        Stream::open(self.commands.clone(), &self.status, port, Arc::clone(blocked))
    }

    /// Whether it takes no more streams.
    pub fn is_closed(&self) -> bool {
        self.status.closed.is_cancelled()
    }

    /// Its end, to be waited for without keeping it alive.
    pub fn end(&self) -> SessionWatch {
        SessionWatch(Arc::clone(&self.status))
    }

    /// Asks the peer at once whether it still lives, see [`crate::policy::liveness`].
    pub fn probe(&self) {
        let _ = self.commands.send(StreamCommand::Probe);
    }

    /// Since when its peer has been silent for longer than one that lives is, while it is.
    pub fn silent_since(&self) -> Option<Instant> {
        self.status.silent_since()
    }

    /// What a newcomer would share it with.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy { load: self.status.load(), streams: self.streams() }
    }

    /// How many streams are open whose clients have more to say.
    pub fn streams(&self) -> usize {
        self.status.streams()
    }

    /// Whether it has shown that it works, see [`SessionWatch::proven`].
    pub fn is_proven(&self) -> bool {
        self.status.proven.is_cancelled()
    }
}

struct Driver<IO> {
    io: IO,
    spdy: session::SpdySession,
    /// `None` for plain SPDY.
    websocket: Option<websocket::WebSocketDecoder>,
    write_queue: WriteQueue,
    backlog: Backlog,
    commands: mpsc::UnboundedReceiver<StreamCommand>,
    streams: StreamTable,
    /// Streams whose clients are behind.
    stalled: Stalled,
    /// Of `streams`.
    counts: StreamCounts,
    /// Something was sent or came in this turn.
    moved: bool,
    /// When a transfer was given up last, of which more comes (see [`ABANDONED`]).
    abandoned: Option<Instant>,
    /// The transport takes no more bytes for now.
    blocked: bool,
    /// Streams opened since there was room in the queue.
    late: usize,
    /// WebSocket frames read in this turn.
    frames: usize,
    /// See [`SessionWatch::proven`].
    proven: bool,
    pulse: Pulse,
    status: Arc<SessionStatus>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    fn new(
        io: IO,
        framing: Framing,
        credit: CreditMode,
        commands: mpsc::UnboundedReceiver<StreamCommand>,
        status: Arc<SessionStatus>,
    ) -> Self {
        Self {
            io,
            spdy: session::SpdySession::new(credit),
            websocket: (framing == Framing::WebSocket).then(websocket::WebSocketDecoder::default),
            write_queue: WriteQueue::new(framing),
            backlog: Backlog::default(),
            commands,
            streams: StreamTable::new(),
            stalled: Stalled::new(&status),
            counts: StreamCounts::default(),
            abandoned: None,
            moved: false,
            blocked: false,
            late: 0,
            frames: 0,
            proven: false,
            pulse: Pulse::new(),
            status,
        }
    }

    /// Runs until the session ends, and tells why.
    async fn run(&mut self, early: Bytes) -> SessionEnd {
        if let Err(why) = self.receive(early) {
            return why;
        }
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SessionEnd> {
        for _ in 0..TURNS {
            let mut progress = match self.poll_commands(cx) {
                Ok(progress) => progress,
                Err(why) => return Poll::Ready(why),
            };
            let wrote = self.write_queue.poll_write(cx, &mut self.io);
            self.blocked = wrote.is_pending();
            match wrote {
                Poll::Ready(Ok(wrote)) => progress |= wrote,
                Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
                Poll::Pending => {}
            }
            match self.poll_reads(cx) {
                Ok(read) => progress |= read,
                Err(why) => return Poll::Ready(why),
            }
            match self.poll_ping(cx) {
                Ok(pinged) => progress |= pinged,
                Err(why) => return Poll::Ready(why),
            }
            if std::mem::take(&mut self.moved) {
                self.status.moved();
            }
            let is_bulk = self.counts.has_bulk()
                || self.abandoned.is_some()
                || self.write_queue.queued() >= QUEUE_LIMIT;
            self.status.note(is_bulk, self.counts.owed(), !self.stalled.is_empty());
            if !progress {
                return Poll::Pending;
            }
            if std::mem::take(&mut self.frames) + self.spdy.frames() > FRAMES {
                // Unlike a wake-up it waits for the runtime to have asked the system for news.
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionEnd> {
        let mut progress = false;
        for _ in 0..COMMANDS {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.on_command(command)?,
                Poll::Ready(None) => return Err(SessionEnd::Unneeded),
                Poll::Pending => break,
            }
            progress = true;
        }
        Ok(progress)
    }

    fn on_command(&mut self, command: StreamCommand) -> Result<(), SessionEnd> {
        match command {
            StreamCommand::Open { port, stream, inbound } => {
                let spdy = &mut self.spdy;
                self.late = if self.write_queue.queued() < QUEUE_LIMIT { 0 } else { self.late + 1 };
                let may_open = self.late <= LATE_OPENINGS;
                let pair = may_open.then(|| self.write_queue.control(|out| spdy.open(port, out))).flatten();
                if let Some(pair) = pair {
                    let _ = stream.pair.set(pair);
                    self.streams.insert(pair, StreamEntry::new(inbound, stream));
                } else {
                    let _ = inbound.send(StreamEvent::Lost);
                }
            }
            StreamCommand::Data(stream, chunk) => {
                if let Some(pair) = stream.pair.get() {
                    if let Some(entry) = self.streams.get_mut(pair) {
                        self.counts.sent(entry, chunk.payload().len());
                        self.moved = true;
                    }
                    self.backlog.send(*pair, chunk, &mut self.streams, &mut self.spdy, &mut self.write_queue);
                }
            }
            StreamCommand::Finish(stream) => {
                if let Some(pair) = stream.pair.get() {
                    self.backlog.finish(*pair, &mut self.streams, &mut self.spdy, &mut self.write_queue);
                }
            }
            StreamCommand::HalfClose(stream) => {
                if let Some(entry) = stream.pair.get().and_then(|pair| self.streams.get_mut(pair)) {
                    self.counts.half_closed(entry);
                }
            }
            StreamCommand::Reset(stream) => {
                let was_full = self.stalled.remove(&stream);
                if let Some(pair) = stream.pair.get()
                    && let Some(entry) = self.remove_stream(*pair)
                {
                    // A peer that takes nothing would not hear of a reset either.
                    if entry.is_bulk() || was_full || self.blocked {
                        self.abandoned = Some(Instant::now());
                    }
                    if self.is_abandoned() {
                        return Err(SessionEnd::Abandoned);
                    }
                    let spdy = &mut self.spdy;
                    self.write_queue.control(|out| spdy.reset(*pair, out));
                }
            }
            StreamCommand::Probe => {
                self.pulse.probe(&self.status);
                self.ping();
            }
        }
        Ok(())
    }

    /// Whether all that comes yet is of transfers that were given up.
    fn is_abandoned(&self) -> bool {
        self.abandoned.is_some() && self.streams.is_empty()
    }

    fn remove_stream(&mut self, pair: PairId) -> Option<StreamEntry> {
        let mut entry = self.streams.remove(&pair)?;
        self.backlog.remove(pair, &mut entry.pending);
        self.counts.remove(&entry);
        Some(entry)
    }

    /// Reads until nothing is there, or it is the others' turn.
    fn poll_reads(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionEnd> {
        for read in 0..READS {
            if !self.poll_read(cx)? {
                return Ok(read > 0);
            }
        }
        Ok(true)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionEnd> {
        if self.stalled.stop(cx, &mut self.streams, &self.status) {
            self.pulse.heard(&self.status);
            return Ok(false);
        }
        match buffers::poll_read(Pin::new(&mut self.io), cx) {
            Poll::Ready(Ok(bytes)) if bytes.is_empty() => Err(SessionEnd::Eof),
            Poll::Ready(Ok(bytes)) => {
                self.pulse.heard(&self.status);
                self.status.heard();
                if self.pulse.last_received().duration_since(self.status.since) >= liveness::PROVEN_AFTER {
                    self.mark_proven();
                }
                self.receive(bytes)?;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => Ok(false),
        }
    }

    /// Takes in what was read.
    fn receive(&mut self, mut bytes: Bytes) -> Result<(), SessionEnd> {
        if self.websocket.is_none() {
            return self.receive_spdy(bytes);
        }
        while let Some(decoder) = &mut self.websocket {
            self.frames += 1;
            match decoder.decode(&mut bytes)? {
                None => break,
                Some(websocket::WebSocketEvent::Payload { bytes, .. }) => self.receive_spdy(bytes)?,
                Some(websocket::WebSocketEvent::Ping(payload)) => {
                    self.write_queue.pong(payload);
                }
                Some(websocket::WebSocketEvent::Close(status)) => {
                    return Err(SessionEnd::WebSocketClose(status));
                }
            }
        }
        Ok(())
    }

    fn receive_spdy(&mut self, mut bytes: Bytes) -> Result<(), SessionEnd> {
        while let Some(event) = self.spdy.receive(&mut bytes)? {
            match event {
                SpdyEvent::Data(pair, payload) => self.deliver(pair, payload),
                SpdyEvent::DataEnd(pair) => {
                    if let Some(entry) = self.streams.get_mut(&pair) {
                        entry.ended = true;
                        let _ = entry.inbound.send(StreamEvent::DataEnd);
                    }
                }
                SpdyEvent::Ended(pair, end) => {
                    if matches!(end, PairEnd::Clean | PairEnd::Failed(_)) {
                        self.mark_proven();
                    }
                    if let Some(entry) = self.remove_stream(pair) {
                        let _ = entry.inbound.send(StreamEvent::Ended(end));
                    }
                    if self.is_abandoned() {
                        return Err(SessionEnd::Abandoned);
                    }
                }
                SpdyEvent::Pong => {}
                SpdyEvent::GoAway => return Err(SessionEnd::GoAway),
            }
        }
        self.backlog.pump(&mut self.streams, &mut self.spdy, &mut self.write_queue);
        if self.write_queue.queued() < QUEUE_LIMIT {
            let spdy = &mut self.spdy;
            self.write_queue.control(|out| spdy.echo(out));
        }
        Ok(())
    }

    fn deliver(&mut self, pair: PairId, payload: Bytes) {
        let Some(entry) = self.streams.get_mut(&pair) else { return };
        self.counts.received(entry, payload.len(), self.pulse.last_received());
        self.moved = true;
        let length = payload.len();
        let (payload, fills) = entry.shared.add_buffered(payload);
        self.stalled.delivered(&entry.shared, length, fills);
        let _ = entry.inbound.send(StreamEvent::Data(payload));
        self.mark_proven();
    }

    /// Notes that the session works.
    fn mark_proven(&mut self) {
        if !std::mem::replace(&mut self.proven, true) {
            self.status.proven.cancel();
        }
    }

    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionEnd> {
        let writes = if self.write_queue.is_busy() { Writes::Stuck } else { Writes::Flowing };
        let Poll::Ready(due) = self.pulse.poll(cx, writes, &self.status) else { return Ok(false) };
        due?;
        self.abandoned.take_if(|given_up| given_up.elapsed() >= ABANDONED);
        self.counts.decay(&mut self.streams);
        buffers::give_back();
        self.status.pinged(PingDump { held: self.spdy.held(), queued: self.write_queue.queued() });
        self.ping();
        Ok(true)
    }

    fn ping(&mut self) {
        if self.write_queue.queued() < QUEUE_LIMIT {
            let spdy = &mut self.spdy;
            self.write_queue.control(|out| spdy.keep_alive(out));
        }
    }

    /// Closes in order: what is queued first, it may be a stream's last FIN.
    async fn close_gracefully(&mut self) {
        let closing = async {
            self.write_queue.write_all(&mut self.io).await?;
            if self.websocket.is_some() {
                self.write_queue.raw(websocket::close(fastrand::u32(..).to_ne_bytes()));
                self.write_queue.write_all(&mut self.io).await?;
            }
            poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await
        };
        let _ = tokio::time::timeout(CLOSE_WITHIN, closing).await;
    }
}

#[cfg(test)]
#[path = "fairness_tests.rs"]
mod fairness_tests;

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
