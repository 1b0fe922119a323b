//! Answers clients, on the socket and on stdin.
//!
//! A client is one task. It reads a line when fewer than `MAX_PENDING` answers are due, carries each request out in a
//! task of its own, so that a slow one holds up no other, and hands what there is to say to a writer. It never waits for
//! the writer: a client whose queue is full, or that does not read a line in time, is dropped.
//!
//! A client that closes its writing end gets the answers to what it has asked, and then the connection ends, and its
//! subscription with it. What was asked is carried out even where nobody waits for the answer any more.
//!
//! Lines are read here and not by tokio-util's `LinesCodec`, which gives up on what is not UTF-8: JSON-RPC has an answer for it.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream::FuturesUnordered};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{Notify, broadcast, mpsc},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    methods::{self, MethodResult, Methods, Subscription},
    rpc::{self, RpcMessage, RpcRequest},
    sockets::{ControlListener, ControlStream},
};
use crate::{
    descriptors::{descriptors, is_shortage},
    forward::registry::Registry,
    model::event::Event,
    ui::escape,
};

/// Bytes of one message. A batch of starts is a few kilobytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Clients at a time: many more than there are programs that could want to know. One more, and the client that has been
/// silent for longest is dropped.
pub const MAX_CLIENTS: usize = 64;
/// Requests of one client whose answers it has not read. More wait in its socket.
const MAX_PENDING: usize = 16;
/// Answers and events that may wait for a client to read. Further events stay where all subscribers have them, once for all of
/// them: what happens to a thousand forwards at once would not fit in here.
const MAX_UNREAD: usize = 16;
/// What may wait in all: one message may become several answers.
const MAX_QUEUE: usize = 256;
/// How long a client may take to read a line, and how long the last answers may take when the process ends.
const WRITE_WITHIN: Duration = Duration::from_secs(5);
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// The pause after a failed accept: no descriptor is free, and the next accept would fail as fast.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Read at a time.
const CHUNK: usize = 4096;

/// Everything that answers.
pub struct ControlServer {
    methods: Methods,
    clients: Mutex<Clients>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// The clients, by how long they have been silent: the first one for longest.
#[derive(Default)]
struct Clients {
    clock: u64,
    /// Those who subscribed are silent by nature, and come last.
    slots: BTreeMap<(bool, u64), CancellationToken>,
}

/// A client's place among them.
struct ClientSlot {
    server: Arc<ControlServer>,
    at: (bool, u64),
    gone: CancellationToken,
}

impl ControlServer {
    /// Answers for the forwards of `registry`.
    pub fn new(registry: Registry) -> Arc<Self> {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        Arc::new(Self { methods: Methods { registry }, clients: Mutex::default(), tracker, stop })
    }

    /// Accepts clients in the background, until the shutdown.
    pub fn listen(self: &Arc<Self>, mut listener: ControlListener) {
        let server = Arc::clone(self);
        let accept = async move {
            loop {
                descriptors().refill();
                match listener.accept().await {
                    Ok(stream) => server.serve_client(stream),
                    // What is kept in reserve is kept for this.
                    Err(error) if is_shortage(&error) && descriptors().spend() => {}
                    Err(error) => {
                        tracing::debug!(%error, "cannot accept a control client");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        self.tracker.spawn(self.stop.clone().run_until_cancelled_owned(accept));
    }

    fn serve_client(self: &Arc<Self>, stream: ControlStream) {
        let slot = self.take_slot();
        let (reading, writing) = tokio::io::split(stream);
        let (gone, server) = (slot.gone.clone(), Arc::clone(self));
        self.tracker.spawn(gone.run_until_cancelled_owned(server.serve(reading, writing, Some(slot))));
    }

    /// Answers one client, on any two streams, until it is gone or has heard all it asked for.
    pub async fn answer(
        self: Arc<Self>,
        reading: impl AsyncRead + Unpin + Send,
        writing: impl AsyncWrite + Unpin + Send + 'static,
    ) {
        self.serve(reading, writing, None).await;
    }

    /// No new clients; those that wait for an answer get it within a moment.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.close();
        let _ = timeout(LAST_ANSWERS, self.tracker.wait()).await;
    }

    /// A slot for a new client; where there is none left, that of the most silent one.
    fn take_slot(self: &Arc<Self>) -> ClientSlot {
        let mut clients = self.clients.lock();
        if clients.slots.len() >= MAX_CLIENTS
            && let Some((_, oldest)) = clients.slots.pop_first()
        {
            oldest.cancel();
        }
        clients.clock += 1;
        let (at, gone) = ((false, clients.clock), CancellationToken::new());
        clients.slots.insert(at, gone.clone());
        ClientSlot { server: Arc::clone(self), at, gone }
    }

    async fn serve(
        self: Arc<Self>,
        mut reading: impl AsyncRead + Unpin + Send,
        writing: impl AsyncWrite + Unpin + Send + 'static,
        mut slot: Option<ClientSlot>,
    ) {
        let (out, lines) = mpsc::channel(MAX_QUEUE);
        let mut writer = JoinSet::new();
        let written = Arc::new(Notify::new());
        writer.spawn(write(lines, writing, Arc::clone(&written)));
        let mut client = ConnectedClient { pending: FuturesUnordered::new(), out, events: None };
        let mut input = LineReader::default();
        let mut open = true;
        while open || !client.pending.is_empty() {
            let going_on = open && client.answers() < MAX_PENDING;
            let has_room = client.unread() < MAX_UNREAD;
            let told = tokio::select! {
                // What has happened is told before the answer that it led to.
                biased;
                // What it did not read in time is not read any more.
                _ = writer.join_next() => return,
                event = next_event(&mut client.events), if has_room => match event {
                    Ok(event) => client.say_all(methods::notifications(&event)),
                    Err(_) => return,
                },
                Some(done) = client.pending.next(), if has_room => {
                    let told = client.done(done.unwrap_or_default());
                    if let Some(slot) = slot.as_mut().filter(|_| client.events.is_some()) {
                        slot.touch(true);
                    }
                    told
                }
                () = written.notified(), if !going_on || !has_room => Ok(()),
                () = self.stop.cancelled(), if open => {
                    open = false;
                    client.say_last_events()
                }
                line = input.next(&mut reading), if going_on => match line {
                    Ok(Some(line)) => {
                        if let Some(slot) = &mut slot {
                            slot.touch(client.events.is_some());
                        }
                        client.take(&self, &line)
                    }
                    Ok(None) => {
                        (open, client.events) = (false, None);
                        Ok(())
                    }
                    Err(MessageTooLong) => {
                        // There is no telling where the next message begins.
                        (open, client.events) = (false, None);
                        client.say_all(too_long())
                    }
                },
            };
            if told.is_err() {
                tracing::debug!("a control client does not read, and is dropped");
                return;
            }
        }
        drop(client);
        let _ = writer.join_next().await;
    }
}

/// A client was too slow.
struct ClientTooSlow;

struct ConnectedClient {
    pending: FuturesUnordered<JoinHandle<MessageOutcome>>,
    out: mpsc::Sender<String>,
    events: Option<Subscription>,
}

/// What came of a message.
#[derive(Default)]
struct MessageOutcome {
    answer: Option<Value>,
    events: Option<Subscription>,
}

impl ConnectedClient {
    /// Begins to do what a message asks for.
    fn take(&mut self, server: &Arc<ControlServer>, line: &[u8]) -> Result<(), ClientTooSlow> {
        let message = match rpc::read(line) {
            Ok(message) => message,
            Err(refusal) => return self.say_all(refusal.answer()),
        };
        let server = Arc::clone(server);
        // Not the client's own task: what was asked for is done, whatever becomes of the client.
        self.pending.push(server.tracker.clone().spawn(async move {
            match message {
                RpcMessage::Single(request) => server.carry_out(request).await,
                RpcMessage::Batch(requests) => {
                    let all = join_all(requests.into_iter().map(|request| server.carry_out(request))).await;
                    let (answers, events): (Vec<_>, Vec<_>) =
                        all.into_iter().map(|outcome| (outcome.answer, outcome.events)).unzip();
                    let answers: Vec<_> = answers.into_iter().flatten().collect();
                    let answer = (!answers.is_empty()).then_some(Value::Array(answers));
                    MessageOutcome { answer, events: events.into_iter().flatten().next() }
                }
            }
        }));
        Ok(())
    }

    /// Answers that are to come, or wait to be read.
    fn answers(&self) -> usize {
        self.pending.len() + self.unread()
    }

    /// What it was told and has not read.
    fn unread(&self) -> usize {
        MAX_QUEUE - self.out.capacity()
    }

    fn done(&mut self, outcome: MessageOutcome) -> Result<(), ClientTooSlow> {
        if self.events.is_none() {
            self.events = outcome.events;
        }
        self.say_all(outcome.answer)
    }

    /// Says what has happened until now, and no more.
    fn say_last_events(&mut self) -> Result<(), ClientTooSlow> {
        let mut events = self.events.take();
        let last = std::iter::from_fn(|| events.as_mut()?.try_recv().ok());
        self.say_all(last.flat_map(|event| methods::notifications(&event)))
    }

    /// Says lines that belong together: an event is one for each forward that it is about.
    fn say_all(&self, messages: impl IntoIterator<Item = Value>) -> Result<(), ClientTooSlow> {
        let mut lines = String::new();
        for message in messages {
            // It means the same, and somebody may look at it in a terminal.
            lines += &escape::json(&message.to_string());
            lines.push('\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        // A full queue is one that nobody empties.
        self.out.try_send(lines).map_err(|_| ClientTooSlow)
    }
}

impl ControlServer {
    async fn carry_out(&self, request: Result<RpcRequest, rpc::InvalidRequest>) -> MessageOutcome {
        match request {
            Err(refusal) => MessageOutcome { answer: refusal.answer(), events: None },
            Ok(RpcRequest { id, method, params }) => {
                let (outcome, events) = match unless_it_panics(self.methods.call(&method, params)).await {
                    Ok(MethodResult::Result(result)) => (Ok(result), None),
                    Ok(MethodResult::Subscribed(events)) => (Ok(Value::Null), Some(events)),
                    Err(error) => (Err(error), None),
                };
                MessageOutcome { answer: rpc::answer(id, outcome), events }
            }
        }
    }
}

/// A client that asked for something is told of a panic, too; what that was about is on stderr.
async fn unless_it_panics(
    call: impl Future<Output = Result<MethodResult, rpc::RpcError>>,
) -> Result<MethodResult, rpc::RpcError> {
    // What a method shares with others is behind locks that each of them takes as it finds it.
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
        Err(rpc::RpcError::new(rpc::codes::INTERNAL, "the request failed because of a bug in this program"))
    })
}

async fn next_event(events: &mut Option<Subscription>) -> Result<Arc<Event>, broadcast::error::RecvError> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

impl ClientSlot {
    /// The client said something, and is the least silent one now.
    fn touch(&mut self, subscribed: bool) {
        let mut clients = self.server.clients.lock();
        // A client that was dropped meanwhile has no slot any more.
        if let Some(gone) = clients.slots.remove(&self.at) {
            clients.clock += 1;
            self.at = (subscribed, clients.clock);
            clients.slots.insert(self.at, gone);
        }
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        self.server.clients.lock().slots.remove(&self.at);
    }
}

/// Writes lines until there are no more, or the client takes too long over one.
async fn write(mut lines: mpsc::Receiver<String>, mut to: impl AsyncWrite + Unpin, written: Arc<Notify>) {
    while let Some(line) = lines.recv().await {
        let whole = async {
            to.write_all(line.as_bytes()).await?;
            to.flush().await
        };
        if !matches!(timeout(WRITE_WITHIN, whole).await, Ok(Ok(()))) {
            return;
        }
        written.notify_one();
    }
    let _ = timeout(WRITE_WITHIN, to.shutdown()).await;
}

/// A message is longer than [`MAX_MESSAGE`].
struct MessageTooLong;

/// Lines of bounded length.
#[derive(Default)]
struct LineReader {
    buffer: Vec<u8>,
    /// Bytes of it that were searched for the end of a line.
    searched: usize,
}

impl LineReader {
    /// The next line that is not blank; `None` at the end, or where reading fails. What an end cuts off is a line, too.
    ///
    /// Loses nothing when it is dropped half-way.
    async fn next(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>, MessageTooLong> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=self.searched + at).collect();
                self.searched = 0;
                if is_blank(&line) {
                    continue;
                }
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_MESSAGE {
                return Err(MessageTooLong);
            }
            if self.buffer.capacity() - self.buffer.len() < CHUNK {
                self.buffer.reserve(CHUNK);
            }
            // At most a chunk at a time, so that no line grows far beyond the limit unnoticed.
            if !matches!(from.take(CHUNK as u64).read_buf(&mut self.buffer).await, Ok(1..)) {
                self.searched = 0;
                let line = std::mem::take(&mut self.buffer);
                return Ok(Some(line).filter(|line| !is_blank(line)));
            }
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

fn too_long() -> Option<Value> {
    let message = format!("a message has at most {MAX_MESSAGE} bytes");
    rpc::answer(Some(Value::Null), Err(rpc::RpcError::new(rpc::codes::INVALID_REQUEST, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(mut bytes: &[u8]) -> Vec<String> {
        let (mut input, mut all) = (LineReader::default(), Vec::new());
        loop {
            match input.next(&mut bytes).await {
                Ok(Some(line)) => all.push(String::from_utf8(line.trim_ascii().to_vec()).unwrap()),
                Ok(None) => return all,
                Err(MessageTooLong) => {
                    all.push("TOO LONG".into());
                    return all;
                }
            }
        }
    }

    #[tokio::test]
    async fn a_panic_is_answered() {
        let told = unless_it_panics(async { panic!("on purpose") }).await;
        assert!(told.is_err_and(|error| error.code == rpc::codes::INTERNAL));
    }

    #[tokio::test]
    async fn messages_are_lines() {
        assert_eq!(lines(b"").await, [""; 0]);
        assert_eq!(lines(b"\n \r\n").await, [""; 0]);
        assert_eq!(lines(b"a\r\nb\n\nc").await, ["a", "b", "c"]);
        let most = "x".repeat(MAX_MESSAGE);
        assert_eq!(lines(format!("{most}\na\n").as_bytes()).await, [&*most, "a"]);
        assert_eq!(lines(format!("a\n{}", "x".repeat(2 * MAX_MESSAGE)).as_bytes()).await, ["a", "TOO LONG"]);
    }
}
