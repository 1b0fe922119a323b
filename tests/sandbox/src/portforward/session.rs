//! One SPDY session as the runtime's server runs it (PROTOCOL §2.3 to §2.9).
//!
//! One reader sorts frames into five queues by `stream % 5`; a worker a queue handles them in order. DATA is handed to
//! the application's writer without a buffer, so a stalled application fills its queue, the full queue stops the reader,
//! and the stopped reader stops everybody: the head-of-line blocking a client has to live with is real here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::BytesMut;
use kubectl_fwd::spdy::frame::{
    Frame, FrameDecoder, MAX_STREAM_ID, put_goaway, put_ping, put_reset, put_syn_reply,
};
use kubectl_fwd::spdy::header::HeaderEncoder;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::forward;
use super::frame_splitter::FrameSplitter;
use super::headers::{HeaderDecoder, Headers};
use super::pair::Pairs;
use super::pair_fault;
use super::queue::Queue;
use super::stream::{Payload, Stream};
use super::transport::{self, Connection, Inbound, Input, Outbound};
use crate::faults::{PairFault, Pings};
use crate::node::{Node, PodSandbox, Timing};

/// Worker queues of a session (PROTOCOL §2.7).
const QUEUES: usize = 5;

/// RST_STREAM status PROTOCOL_ERROR, for id violations (PROTOCOL §2.3).
const STATUS_PROTOCOL_ERROR: u32 = 1;

/// The priority of frames that belong to no stream, and of unknown streams.
const LOWEST: u8 = 7;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The connection is gone, or the client closed its WebSocket.
    Client { websocket_close: bool },
    /// The server ends it: with a GOAWAY, or without for bytes that are no SPDY.
    Server { goaway: bool },
    /// No frame for too long (PROTOCOL §2.9).
    Idle,
}

/// What workers handle.
enum Work {
    Syn(Arc<Stream>),
    Data { stream: u32, payload: Payload, fin: bool },
    Reset { stream: u32 },
    Ping { id: u32 },
    Ignored,
}

struct Session {
    sandbox: Arc<PodSandbox>,
    timing: Timing,
    node: Node,
    /// What is to go wrong with pairs that have begun, by request.
    pair_faults: Mutex<HashMap<String, PairFault>>,
    /// A fault ends the session.
    lost: CancellationToken,
    /// A ping whose echo waits for the next one's.
    swapped: Mutex<Option<u32>>,
    out: Outbound,
    /// Locked while a SYN_REPLY is written: header blocks are one zlib stream, so their order is that on the wire.
    encoder: AsyncMutex<HeaderEncoder>,
    streams: Mutex<HashMap<u32, Arc<Stream>>>,
    pairs: Pairs,
    queues: [Queue<Work>; QUEUES],
    last_stream: AtomicU32,
}

/// Serves one session to its end. Its connections outlive it by the grace of each.
pub(super) async fn serve(io: Box<dyn Connection>, tunnel: bool, sandbox: Arc<PodSandbox>, node: Node) {
    let (mut inbound, out) = transport::split(io, tunnel);
    let session = Arc::new(Session {
        sandbox,
        timing: node.timing(),
        node,
        pair_faults: Mutex::default(),
        lost: CancellationToken::new(),
        swapped: Mutex::default(),
        out: out.clone(),
        encoder: AsyncMutex::default(),
        streams: Mutex::default(),
        pairs: Pairs::default(),
        queues: std::array::from_fn(|_| Queue::new()),
        last_stream: AtomicU32::new(0),
    });
    let mut workers = JoinSet::new();
    for queue in 0..QUEUES {
        workers.spawn(work(session.clone(), queue));
    }
    let end = session.lost.run_until_cancelled(session.read(&mut inbound)).await;
    let end = end.unwrap_or(End::Client { websocket_close: false });
    tracing::debug!(?end, "session ended");
    session.end(end).await;
    workers.shutdown().await;
    if tunnel && !matches!(end, End::Client { .. }) {
        // The tunnel's Close waits for a lock that its reader holds until the client's next frame (PROTOCOL §4).
        out.mute();
        inbound.stirred().await;
    }
    if end == (End::Client { websocket_close: false }) {
        out.abandon().await;
    } else {
        out.close().await;
    }
}

impl Session {
    /// The reader: frames into queues.
    async fn read(&self, inbound: &mut Inbound) -> End {
        let mut reader_state = ReaderState::default();
        loop {
            let writes = self.out.writes();
            let mut bytes = match tokio::time::timeout(self.timing.idle, inbound.next()).await {
                Ok(Input::Bytes(bytes)) => bytes,
                Ok(Input::Close) => return End::Client { websocket_close: true },
                Ok(Input::Gone) => return End::Client { websocket_close: false },
                Err(_) if self.out.writes() == writes => return End::Idle,
                Err(_) => continue,
            };
            while let Some((mut slice, end)) = reader_state.frame_splitter.cut(&mut bytes) {
                match reader_state.decoder.decode(&mut slice) {
                    Ok(Some(frame)) => {
                        if let Err(end) = self.sort(&mut reader_state, frame, end).await {
                            return end;
                        }
                    }
                    Ok(None) => {}
                    Err(_) => return End::Server { goaway: false },
                }
            }
        }
    }

    /// Puts a frame into its queue. `whole` tells that its last byte has come.
    async fn sort(&self, reader_state: &mut ReaderState, frame: Frame, whole: bool) -> Result<(), End> {
        let (queue, priority, work) = match frame {
            Frame::SynStream { stream, fin, priority, block } => {
                let headers =
                    reader_state.headers.decode(&block).map_err(|_| End::Server { goaway: true })?;
                let Some(opened) = self.open(stream, fin, priority, headers).await else { return Ok(()) };
                (queue_of(stream), priority, Work::Syn(opened))
            }
            Frame::Data { stream, payload, fin } => {
                if !payload.is_empty() {
                    reader_state.partial.push(payload);
                }
                if !whole {
                    return Ok(());
                }
                let payload = std::mem::take(&mut reader_state.partial);
                (queue_of(stream), self.priority(stream), Work::Data { stream, payload, fin })
            }
            Frame::Reset { stream, .. } => (queue_of(stream), self.priority(stream), Work::Reset { stream }),
            Frame::SynReply { stream, .. } => (queue_of(stream), self.priority(stream), Work::Ignored),
            Frame::Ping { id: 0 } => return Err(End::Server { goaway: false }),
            Frame::Ping { id } if self.node.faults().pings() == Pings::AtOnce => {
                self.echo(id).await;
                return Ok(());
            }
            Frame::Ping { id } => (reader_state.round_robin(), 0, Work::Ping { id }),
            Frame::Ignored { .. } => (reader_state.round_robin(), LOWEST, Work::Ignored),
            Frame::GoAway { .. } => return Err(End::Server { goaway: true }),
        };
        self.queues[queue].push(priority, work).await;
        Ok(())
    }

    /// Takes a new stream into the session, or refuses its id (PROTOCOL §2.3).
    async fn open(&self, id: u32, fin: bool, priority: u8, headers: Headers) -> Option<Arc<Stream>> {
        let last = self.last_stream.load(Ordering::Relaxed);
        let lowest = if last == 0 { 1 } else { last + 2 };
        if id < lowest || id > MAX_STREAM_ID {
            let mut frame = BytesMut::new();
            put_reset(&mut frame, id, STATUS_PROTOCOL_ERROR);
            let _ = self.out.write([frame.freeze()]).await;
            return None;
        }
        self.last_stream.store(id, Ordering::Relaxed);
        let stream = Stream::new(id, priority, headers, self.out.clone());
        if fin {
            stream.end_remote();
        }
        self.streams().insert(id, stream.clone());
        Some(stream)
    }

    fn priority(&self, stream: u32) -> u8 {
        self.streams().get(&stream).map_or(LOWEST, |stream| stream.priority)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u32, Arc<Stream>>> {
        self.streams.lock()
    }

    fn stream(&self, id: u32) -> Option<Arc<Stream>> {
        self.streams().get(&id).cloned()
    }

    /// Forgets a stream that is over both ways.
    fn forget(&self, stream: &Stream) {
        if stream.is_over() {
            self.streams().remove(&stream.id);
        }
    }

    async fn handle(self: &Arc<Self>, work: Work) {
        match work {
            Work::Syn(stream) => self.accept(&stream).await,
            Work::Data { stream, payload, fin } => {
                let Some(stream) = self.stream(stream) else { return };
                stream.hand_over(payload).await;
                if fin {
                    stream.end_remote();
                    self.forget(&stream);
                }
            }
            Work::Reset { stream } => {
                let removed = self.streams().remove(&stream);
                if let Some(stream) = removed {
                    stream.reset_by_client();
                }
            }
            Work::Ping { id } if self.node.faults().pings() == Pings::Swapped => {
                let before = self.swapped.lock().take();
                if let Some(before) = before {
                    self.echo(id).await;
                    self.echo(before).await;
                } else {
                    *self.swapped.lock() = Some(id);
                }
            }
            Work::Ping { id } => self.echo(id).await,
            Work::Ignored => {}
        }
    }

    async fn echo(&self, id: u32) {
        // Ids of our own parity are no questions (PROTOCOL §2.6).
        if id % 2 == 1 {
            self.node.count_ping();
            let mut frame = BytesMut::new();
            put_ping(&mut frame, id);
            let _ = self.out.write([frame.freeze()]).await;
        }
    }

    /// What is to go wrong with the pair of a stream that is new.
    fn pair_fault(&self, stream: &Stream) -> Option<PairFault> {
        let mut pair_faults = self.pair_faults.lock();
        if !pair_faults.contains_key(&stream.headers.request)
            && stream.headers.kind == "error"
            && let Some(pair_fault) = self.node.faults().next_pair_fault()
        {
            pair_faults.insert(stream.headers.request.clone(), pair_fault);
        }
        pair_faults.get(&stream.headers.request).cloned()
    }

    /// Answers a SYN_STREAM and starts the connection if its pair is complete.
    async fn accept(self: &Arc<Self>, stream: &Arc<Stream>) {
        let port = stream.headers.port.parse().ok().filter(|&port: &u16| port > 0);
        if port.is_none() || !matches!(stream.headers.kind.as_str(), "data" | "error") {
            stream.reset().await;
            self.streams().remove(&stream.id);
            return;
        }
        let pair_fault = self.pair_fault(stream);
        match (&pair_fault, stream.headers.kind.as_str()) {
            (Some(PairFault::RefuseError), "error") | (Some(PairFault::RefuseData), "data") => {
                stream.reset().await;
                self.streams().remove(&stream.id);
                return;
            }
            (Some(PairFault::Incomplete), "data") => {
                self.streams().remove(&stream.id);
                return;
            }
            (Some(PairFault::LoseAtSyn), _) => return self.lost.cancel(),
            _ => {}
        }
        stream.reply();
        {
            let mut encoder = self.encoder.lock().await;
            let mut frame = BytesMut::new();
            put_syn_reply(&mut frame, &mut encoder, stream.id);
            let _ = self.out.write([frame.freeze()]).await;
        }
        if let Some(pair) = self.pairs.add(stream, self.timing.pair).await {
            let port = pair.data.headers.port.parse().unwrap_or_default();
            let session = self.clone();
            tokio::spawn(async move {
                let (sandbox, grace) = (&session.sandbox, session.timing.grace);
                match pair_fault {
                    Some(PairFault::LoseAtData { after }) => {
                        pair_fault::swallow(&pair.data, after).await;
                        session.lost.cancel();
                    }
                    Some(pair_fault) => pair_fault::run(&pair, port, sandbox, pair_fault).await,
                    None => forward::run(&pair, port, sandbox, grace).await,
                }
                session.forget(&pair.data);
                session.forget(&pair.error);
            });
        }
    }

    /// Ends every stream, and says so where the protocol has a word for it.
    async fn end(&self, end: End) {
        self.pairs.clear();
        let streams: Vec<_> = self.streams().drain().map(|(_, stream)| stream).collect();
        for stream in streams {
            if end == End::Idle {
                stream.reset().await;
            }
            stream.end_remote();
        }
        if matches!(end, End::Server { goaway: true } | End::Idle) {
            let mut frame = BytesMut::new();
            put_goaway(&mut frame, self.last_stream.load(Ordering::Relaxed), 0);
            let _ = self.out.write([frame.freeze()]).await;
        }
    }
}

/// A worker: the frames of one queue, one after another.
async fn work(session: Arc<Session>, queue: usize) {
    loop {
        let work = session.queues[queue].pop().await;
        session.handle(work).await;
    }
}

fn queue_of(stream: u32) -> usize {
    stream as usize % QUEUES
}

/// What the reader remembers between bytes.
#[derive(Default)]
struct ReaderState {
    frame_splitter: FrameSplitter,
    decoder: FrameDecoder,
    headers: HeaderDecoder,
    /// The pieces of a DATA frame whose end has not come.
    partial: Payload,
    next: usize,
}

impl ReaderState {
    /// The queue of a frame that belongs to no stream.
    fn round_robin(&mut self) -> usize {
        let queue = self.next;
        self.next = (queue + 1) % QUEUES;
        queue
    }
}
