//! One attempt of a connection: bytes pumped both ways between a client and a stream, until either side is done.
//!
//! One loop waits for whatever comes first and does what it asks for. Only the waiting is asynchronous, in one place, so
//! that a connection's future stays small: there are hundreds of them at once.

use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{Interest, Ready},
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::{ClientRead, GATHERED, LocalClient},
    counters::Counters,
    linger::Activity,
    open_connections::WaitsFor,
    outbound::Outbound,
};
use crate::{
    descriptors::Descriptors,
    spdy::session::PairEnd,
    tunnel::stream::{Chunk, Stream, StreamEvent},
};

/// How long the verdict on a connection may come after the application's last byte. It follows at once (§3.4); a
/// peer that never gives it is not waited for.
const VERDICT_WITHIN: Duration = Duration::from_secs(5);

/// How the pumping of one attempt ended.
pub(super) enum PumpEnd {
    /// The pod's side is over.
    Over(PairEnd),
    /// The session went from under it, `idle` if nothing was on its way in either direction, as far as can be told.
    Lost { idle: bool },
    /// The client is gone.
    ClientGone,
    /// The forward ends and nothing was under way.
    Idle,
}

/// What the pumping uses of what the connections of its port share.
#[derive(Clone, Copy)]
pub(super) struct PumpEnvironment<'a> {
    pub counters: &'a Counters,
    /// Permits to hold a client's FIN back.
    pub lingering: &'a Semaphore,
    /// The port has answered before.
    pub answered: &'a AtomicBool,
    /// Cancelled when the forward ends.
    pub stop: &'a CancellationToken,
    pub descriptors: &'a Descriptors,
}

/// What the pump waited for.
enum Wakeup {
    /// A buffer may be had.
    Permit(OwnedSemaphorePermit),
    /// The client may be read, may be written to, or is gone.
    Client(io::Result<Ready>),
    /// Something came from the pod.
    Pod(StreamEvent),
    /// Time is up for this.
    Due(Expiry),
    /// Others need the descriptor of a connection that lingers.
    DescriptorsShort,
    /// The forward ends.
    Stopped,
}

/// What time may be up for.
#[derive(Clone, Copy)]
enum Expiry {
    /// The client's FIN was held back for long enough.
    Fin,
    /// The verdict did not come.
    Verdict,
    /// The forward ends, and nothing has moved for a while.
    Idle,
}

/// The state of one attempt.
struct Pump<'a> {
    environment: PumpEnvironment<'a>,
    client: &'a mut LocalClient,
    stream: &'a mut Stream,
    outbound: Outbound,
    /// Pieces from the pod that the client has not taken yet.
    pending: VecDeque<Bytes>,
    activity: Activity,
    /// FIN was passed on to the pod.
    finished: bool,
    /// Held while the client's FIN is held back.
    lingers: Option<SemaphorePermit<'a>>,
    /// When the verdict is due, once the application writes no more.
    verdict_due: Option<Instant>,
    /// The forward ends.
    stopping: bool,
}

/// Pumps both ways until either side is done. What is kept of earlier attempts is sent first.
pub(super) async fn pump(
    environment: PumpEnvironment<'_>,
    client: &mut LocalClient,
    stream: &mut Stream,
) -> PumpEnd {
    let mut pump = Pump::new(environment, client, stream);
    loop {
        let wakeup = pump.next().await;
        if let Some(end) = pump.on_wakeup(wakeup) {
            return end;
        }
    }
}

impl<'a> Pump<'a> {
    fn new(environment: PumpEnvironment<'a>, client: &'a mut LocalClient, stream: &'a mut Stream) -> Self {
        let resend = Bytes::from(client.replay.clone().unwrap_or_default());
        let activity = Activity::new(Instant::now(), !resend.is_empty());
        if client.eof.is_some() {
            stream.half_closed();
        }
        Self {
            environment,
            client,
            stream,
            outbound: Outbound { permit: None, resend },
            pending: VecDeque::new(),
            activity,
            finished: false,
            lingers: None,
            verdict_due: None,
            stopping: false,
        }
    }

    /// Waits for what comes first.
    async fn next(&mut self) -> Wakeup {
        let fin_due = self.fin_due();
        let deadline = self.deadline(fin_due);
        let takes_permit = self.outbound.permit.is_none() && !self.has_sent_all();
        let is_written = self.pending.is_empty();
        let minds_stop = !self.stopping && is_written && self.activity.idle_due().is_some();
        let interest = self.interest();
        self.client.progress.waits_for(self.waits_for());
        let PumpEnvironment { descriptors, stop, .. } = self.environment;
        let Stream { send: outgoing, recv: incoming, .. } = &mut *self.stream;
        // Where there is no deadline the branch is off, and its instant means nothing.
        let (at, due) = deadline.unwrap_or((self.activity.last, Expiry::Idle));
        tokio::select! {
            permit = outgoing.permit(), if takes_permit => Wakeup::Permit(permit),
            ready = self.client.socket.ready(interest) => Wakeup::Client(ready),
            inbound = incoming.recv(), if is_written => Wakeup::Pod(inbound),
            () = sleep_until(at), if deadline.is_some() => Wakeup::Due(due),
            () = descriptors.short(), if fin_due.is_some() => Wakeup::DescriptorsShort,
            () = stop.cancelled(), if minds_stop => Wakeup::Stopped,
        }
    }

    /// What a report of a bug says that it waits for.
    fn waits_for(&self) -> WaitsFor {
        if !self.pending.is_empty() {
            WaitsFor::Client
        } else if self.outbound.permit.is_none() && !self.has_sent_all() {
            WaitsFor::Room
        } else if self.activity.idle_due().is_none() {
            WaitsFor::Answer
        } else if self.client.eof.is_some() {
            WaitsFor::End
        } else {
            WaitsFor::Anything
        }
    }

    /// Does what is to be done; says how it ended once it has.
    fn on_wakeup(&mut self, wakeup: Wakeup) -> Option<PumpEnd> {
        match wakeup {
            Wakeup::Permit(permit) => {
                self.outbound.permit = Some(permit);
                if !self.outbound.resend.is_empty() {
                    self.outbound.resend(&self.stream.send);
                }
                None
            }
            Wakeup::Client(ready) => self.on_client(ready).err().map(|_| PumpEnd::ClientGone),
            Wakeup::Pod(inbound) => self.on_inbound(inbound),
            Wakeup::Due(Expiry::Verdict) => Some(PumpEnd::Over(PairEnd::Clean)),
            Wakeup::Due(Expiry::Idle) => Some(PumpEnd::Idle),
            Wakeup::Due(Expiry::Fin) | Wakeup::DescriptorsShort => {
                self.finish();
                None
            }
            Wakeup::Stopped => {
                self.stopping = true;
                None
            }
        }
    }

    /// Whether all that the client will ever send is sent.
    fn has_sent_all(&self) -> bool {
        self.outbound.resend.is_empty() && self.client.eof.is_some()
    }

    /// Whether there is a buffer for what the client sends next.
    fn reads(&self) -> bool {
        self.outbound.permit.is_some() && self.outbound.resend.is_empty() && self.client.eof.is_none()
    }

    /// What is to be known of the client. While it is not read: whether it is gone. It may be before the pod takes what
    /// it has sent.
    fn interest(&self) -> Interest {
        let interest = if self.reads() { Interest::READABLE } else { Interest::ERROR };
        if self.pending.is_empty() { interest } else { interest | Interest::WRITABLE }
    }

    /// When the client's FIN is passed on, while it is held back. With bytes that the client has not taken, it is not the
    /// pod that is silent.
    fn fin_due(&mut self) -> Option<Instant> {
        if self.finished || !self.pending.is_empty() || !self.has_sent_all() {
            return None;
        }
        if self.lingers.is_none() {
            self.lingers = self.environment.lingering.try_acquire().ok();
        }
        if self.lingers.is_none() {
            self.finish();
            return None;
        }
        self.client.eof.map(|eof| self.activity.fin_due(eof))
    }

    /// What time is up for first.
    fn deadline(&self, fin_due: Option<Instant>) -> Option<(Instant, Expiry)> {
        let may_stop = self.stopping && self.pending.is_empty();
        let idle_due = self.activity.idle_due().filter(|_| may_stop);
        let deadlines =
            [(self.verdict_due, Expiry::Verdict), (idle_due, Expiry::Idle), (fin_due, Expiry::Fin)];
        let deadlines = deadlines.into_iter().filter_map(|(at, deadline)| Some((at?, deadline)));
        deadlines.min_by_key(|(at, _)| *at)
    }

    /// Passes FIN on, once.
    fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.stream.send.finish();
        }
    }

    /// Writes to the client and reads from it what can be. An error tells that it is gone.
    fn on_client(&mut self, ready: io::Result<Ready>) -> io::Result<()> {
        let ready = ready?;
        let reads = self.reads();
        if !reads && ready.is_error() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if !self.pending.is_empty() && ready.is_writable() {
            self.client.write(&mut self.pending, self.environment.counters)?;
            self.activity.moved(Instant::now());
        }
        if reads && ready.is_readable() { self.read() } else { Ok(()) }
    }

    /// Reads what the client sent, and sends it.
    fn read(&mut self) -> io::Result<()> {
        let Some(permit) = self.outbound.permit.take() else { return Ok(()) };
        let mut chunk = Chunk::new(permit);
        match self.client.read(&mut chunk)? {
            ClientRead::Nothing => {}
            ClientRead::Data(read) => {
                self.environment.counters.outbound(read);
                self.stream.send.send(chunk);
                self.activity.client_sent(Instant::now());
            }
            ClientRead::Eof => {
                self.activity.moved(Instant::now());
                self.stream.half_closed();
            }
        }
        Ok(())
    }

    fn on_inbound(&mut self, inbound: StreamEvent) -> Option<PumpEnd> {
        match inbound {
            StreamEvent::Data(bytes) => self.on_data(bytes).err().map(|_| PumpEnd::ClientGone),
            StreamEvent::DataEnd => {
                self.verdict_due = Some(Instant::now() + VERDICT_WITHIN);
                // FIN for FIN: the runtime need not wait for ours.
                self.finish();
                None
            }
            StreamEvent::Ended(end) => Some(PumpEnd::Over(end)),
            StreamEvent::Lost => {
                let idle = self.activity.is_idle(Instant::now(), self.client.eof.is_some());
                Some(PumpEnd::Lost { idle })
            }
        }
    }

    /// Writes what came for the client, with what came behind it.
    fn on_data(&mut self, bytes: Bytes) -> io::Result<()> {
        self.client.note_answer();
        self.environment.answered.store(true, Ordering::Relaxed);
        self.activity.pod_sent(Instant::now());
        self.pending.push_back(bytes);
        while self.pending.len() < GATHERED
            && let Some(more) = self.stream.recv.try_recv_data()
        {
            self.pending.push_back(more);
        }
        self.client.write(&mut self.pending, self.environment.counters)
    }
}
