//! One session's streams, from the client's side, sans-IO (PROTOCOL §2.3, §2.4, §3).
//!
//! Each forwarded connection is a *pair* of streams: an error stream that only the server writes, and a data stream.
//! The pair's life, as the server tells it:
//!
//! ```text
//! open ── SYN_REPLY ×2 ──> taken ── DATA* ──> data FIN ──> error FIN            a clean end
//!   │                        │                   └──> text on error, RST error  refused, reset: Failed
//!   │                        └── RST error, no text ──> Reset
//!   └── RST, no reply ──> Rejected               (text on error, RST, RST: the sandbox is gone)
//! ```
//!
//! The data FIN comes *before* the verdict: a refused connection looks like an empty answer until the error stream
//! ends (PROTOCOL §0.3). So [`SpdyEvent::Ended`] waits for that, and only then is the pair forgotten.
//!
//! Ids: peers take any ascending ids (§2.3) and put each frame into one of five queues by `id % 5` (§2.7). Pair `k`
//! has error stream `10k + 5`, on queue 0, and its data stream on one of the queues 1 to 4, so that a pair never shares
//! a queue with itself, which could block it for ever (§3.3). Which of the four is chosen when it is opened: the one
//! that owes least.
//!
//! What a queue of the peer has no room for waits (see `credit`): SYN_STREAM and RST_STREAM here, DATA with
//! the caller, whom [`SpdySession::send`] tells. Time for what waits here, and for pings that prove what was sent, comes with
//! [`SpdySession::flush`], after anything was sent or received.
//!
//! The pairs are a table of their own beside the caller's, which has the same keys: what is here is the protocol's state
//! alone and does no I/O, while the caller's entries hold channels and buffers.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::{
    credit::{self, Credit, queue_of},
    frame::{self, Frame, FrameDecoder, FrameError},
    header::HeaderEncoder,
};

/// Data streams' distances from `10k`, one for each of the queues 2, 4, 1 and 3.
const DATA_OFFSETS: [u32; 4] = [7, 9, 11, 13];

/// The error stream's distance from `10k`: queue 0.
const ERROR_OFFSET: u32 = 5;

/// Ids from one pair to the next.
const STRIDE: u32 = 10;

/// Pairs after which a session's ids are used up (§2.3): some 214 million.
const MAX_PAIRS: u32 = (frame::MAX_STREAM_ID - DATA_OFFSETS[3]) / STRIDE;

/// An id below those of all pairs. To open a stream by it is refused by the peer's reader itself (§2.3), so that the
/// answer tells that the reader lives, and no queue has a part in it.
const USED_ID: u32 = 1;

/// Echoes owed to a peer that has no room for them. No server of port-forwarding pings (§2.6).
const MAX_ECHOES: usize = 64;

/// What of an error text is kept. The longest recorded one has 491 bytes; the peer could send without end.
const MAX_ERROR_TEXT: usize = 4 * 1024;

/// What a server writes, without ending the stream, when it waited 30 s for a pair's second stream (§3.2).
const INCOMPLETE: &[u8] = b"timed out waiting for streams";

/// A pair of streams: one forwarded connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairId(u32);

impl PairId {
    /// The pair a stream of ours belongs to.
    fn of(stream: u32) -> Option<Self> {
        stream.checked_sub(ERROR_OFFSET).map(|rest| Self(rest / STRIDE))
    }

    fn error_stream(self) -> u32 {
        self.0 * STRIDE + ERROR_OFFSET
    }
}

/// How a pair ended, as far as the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairEnd {
    /// The application closed the connection.
    Clean,
    /// The runtime said what went wrong (§3.5).
    Failed(String),
    /// A stream was refused before the pair was complete: no application was involved.
    Rejected,
    /// It was cut off, and nobody said why: what came may be a part of the whole.
    Reset,
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum SpdyEvent {
    /// Bytes of the application.
    Data(PairId, Bytes),
    /// The application writes no more; how it ended follows.
    DataEnd(PairId),
    /// The pair is over, and forgotten here.
    Ended(PairId, PairEnd),
    /// Our ping came back.
    Pong,
    /// The peer takes no more streams and closes.
    GoAway,
}

/// What may be done with a pair's DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// It is to be sent now, behind this head.
    Ready([u8; frame::HEAD]),
    /// The peer has no room for it yet.
    Blocked,
    /// The pair takes no more: it ended, or was finished by us.
    Closed,
}

#[derive(Debug)]
struct StreamPair {
    port: u16,
    /// Chosen when the pair is opened at the peer.
    data_stream: Option<u32>,
    /// Which of the streams the peer took.
    replied: RepliedStreams,
    /// We wrote FIN: nothing may follow.
    finished: bool,
    /// The peer did: what follows is not told, nor its end once more.
    ended: bool,
    error_text: Vec<u8>,
}

impl StreamPair {
    /// Notes the end of what the peer writes; true once.
    fn ends(&mut self, fin: bool) -> bool {
        fin && !std::mem::replace(&mut self.ended, true)
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct RepliedStreams {
    data: bool,
    error: bool,
}

/// A client's side of one session.
#[derive(Debug, Default)]
pub struct SpdySession {
    decoder: FrameDecoder,
    encoder: HeaderEncoder,
    credit: Credit,
    pairs: HashMap<PairId, StreamPair>,
    opened: u32,
    pings: u32,
    /// See [`Self::frames`].
    frames: usize,
    /// Pairs that the peer does not know yet, in the order of their ids.
    opening: VecDeque<PairId>,
    /// Streams that are to be reset.
    resets: Vec<u32>,
    /// Pings of the peer that are to be echoed.
    echoes: VecDeque<u32>,
}

/// Whether a session keeps to what the peer's queues hold (PROTOCOL §2.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreditMode {
    /// It sends no more than they hold.
    On,
    /// It sends anything at any time.
    Off,
}

impl CreditMode {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

impl SpdySession {
    /// The queues of [`Self::queue`].
    pub const QUEUES: usize = credit::QUEUES;

    /// No queue for DATA.
    pub const UNOPENED: usize = 0;

    /// A session that sends the peer no more than its queues hold; without `credit` (the default), anything at any time.
    pub fn new(credit: CreditMode) -> Self {
        Self { credit: Credit::new(credit.is_on()), ..Self::default() }
    }

    /// Frames that each queue of the peer holds, as far as is proven.
    pub fn held(&self) -> [usize; Self::QUEUES] {
        self.credit.held()
    }

    /// Opens a pair to `port` of the pod and appends both SYN_STREAMs to `out`: error first, already finished, for
    /// only the server writes there (§2.4, §3.3). While every queue of the peer is full, they wait. `None` once the ids
    /// are used up.
    pub fn open(&mut self, port: u16, out: &mut BytesMut) -> Option<PairId> {
        if self.opened > MAX_PAIRS {
            return None;
        }
        let pair = PairId(self.opened);
        self.opened += 1;
        let replied = RepliedStreams::default();
        let state = StreamPair {
            port,
            data_stream: None,
            replied,
            finished: false,
            ended: false,
            error_text: Vec::new(),
        };
        self.pairs.insert(pair, state);
        self.opening.push_back(pair);
        self.flush_openings(out);
        Some(pair)
    }

    /// Asks to send `length` bytes of the pair, with `fin` as its last.
    pub fn send(&mut self, pair: PairId, length: usize, fin: bool) -> SendStatus {
        let Some(state) = self.pairs.get_mut(&pair).filter(|state| !state.finished) else {
            return SendStatus::Closed;
        };
        match state.data_stream {
            Some(stream) if self.credit.has_window(queue_of(stream)) => {
                self.credit.data(queue_of(stream));
                state.finished = fin;
                SendStatus::Ready(frame::data_head(stream, length, fin))
            }
            _ => SendStatus::Blocked,
        }
    }

    /// Which of the peer's queues the pair's DATA goes to, from 1 on; [`Self::UNOPENED`] for one that waits to be opened.
    pub fn queue(&self, pair: PairId) -> usize {
        self.data_stream(pair).map_or(Self::UNOPENED, queue_of)
    }

    pub(super) fn data_stream(&self, pair: PairId) -> Option<u32> {
        self.pairs.get(&pair)?.data_stream
    }

    /// Ends a pair at once, both ways. What the peer still sends for it is dropped.
    pub fn reset(&mut self, pair: PairId, out: &mut BytesMut) {
        // One that waits to be opened never is.
        if let Some(stream) = self.pairs.remove(&pair).and_then(|state| state.data_stream) {
            self.resets.push(stream);
            self.flush_resets(out);
        }
    }

    /// Appends a question that is answered while the peer lives: a ping into each queue, so that a blocked one does not
    /// swallow them all (§8). Where they would only fill up a queue that answers none, one to the reader.
    pub fn keep_alive(&mut self, out: &mut BytesMut) {
        if self.opened > 0 && !self.credit.can_ping_all() {
            frame::put_syn_stream(out, &mut self.encoder, USED_ID, true, &[]);
        } else {
            for _ in 0..credit::QUEUES {
                self.ping(out);
            }
        }
    }

    /// Ids of ours are odd, or they are not echoed (§2.6).
    fn ping(&mut self, out: &mut BytesMut) {
        let id = self.pings.wrapping_mul(2).wrapping_add(1);
        self.pings = self.pings.wrapping_add(1);
        frame::put_ping(out, id);
        self.credit.ping(id);
    }

    /// Appends what has waited and may be sent now, and pings that are due.
    pub fn flush(&mut self, out: &mut BytesMut) {
        self.flush_resets(out);
        self.flush_openings(out);
        for _ in 0..self.credit.pings_due() {
            self.ping(out);
        }
        self.flush_probes(out);
    }

    /// Appends the echoes of the peer's pings that it has room for. They are not among what is flushed, so that a peer which
    /// does not read can be left to wait for them: no more than `MAX_ECHOES` are kept.
    pub fn echo(&mut self, out: &mut BytesMut) {
        while self.credit.can_send_echo()
            && let Some(id) = self.echoes.pop_front()
        {
            frame::put_ping(out, id);
            self.credit.echo();
        }
    }

    fn flush_resets(&mut self, out: &mut BytesMut) {
        self.resets.retain(|&stream| {
            let waits = !self.credit.has_room(queue_of(stream));
            if !waits {
                frame::put_reset(out, stream, frame::STATUS_CANCEL);
                self.credit.control(queue_of(stream));
            }
            waits
        });
    }

    fn flush_openings(&mut self, out: &mut BytesMut) {
        while let Some(&id) = self.opening.front() {
            if let Some(pair) = self.pairs.get_mut(&id) {
                let Some(stream) = choose(&self.credit, id) else { return };
                pair.data_stream = Some(stream);
                let (port, request) = (pair.port.to_string(), id.0.to_string());
                let mut syn = |stream, fin, streamtype| {
                    let headers = [
                        ("streamtype", streamtype),
                        ("port", port.as_str()),
                        ("requestid", request.as_str()),
                    ];
                    frame::put_syn_stream(out, &mut self.encoder, stream, fin, &headers);
                    self.credit.syn(stream);
                };
                syn(id.error_stream(), true, "error");
                syn(stream, false, "data");
            }
            self.opening.pop_front();
        }
    }

    /// Where a pair waits to be opened it is the proof itself, of the queue that takes it, and ids ascend.
    fn flush_probes(&mut self, out: &mut BytesMut) {
        while self.opening.is_empty()
            && self.opened <= MAX_PAIRS
            && let Some(queue) = self.credit.probe_due()
        {
            let ids = data_ids(PairId(self.opened));
            self.opened += 1;
            for stream in ids.into_iter().filter(|stream| queue_of(*stream) == queue) {
                frame::put_syn_stream(out, &mut self.encoder, stream, true, &[]);
                self.credit.syn(stream);
            }
        }
    }

    /// How many frames have been read since this was asked last: what a peer costs that sends nothing but small ones.
    pub fn frames(&mut self) -> usize {
        std::mem::take(&mut self.frames)
    }

    /// How many pairs are open.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether no pair is open.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Takes bytes from the front of `input` and returns the next event, or `None` once `input` is empty. An error is
    /// final, for the whole session.
    pub fn receive(&mut self, input: &mut Bytes) -> Result<Option<SpdyEvent>, FrameError> {
        while let Some(frame) = self.decoder.decode(input)? {
            self.frames += 1;
            if let Some(event) = self.on_frame(frame) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn on_frame(&mut self, frame: Frame) -> Option<SpdyEvent> {
        match frame {
            Frame::Data { stream, payload, fin } => self.on_data(stream, payload, fin),
            Frame::Reset { stream, .. } => self.on_reset(stream),
            Frame::SynReply { stream, fin } => {
                self.credit.answered(stream);
                let (id, pair) = self.pair_of(stream)?;
                if stream == id.error_stream() {
                    pair.replied.error = true;
                    return if fin { self.end(id, false) } else { None };
                }
                pair.replied.data = true;
                pair.ends(fin).then_some(SpdyEvent::DataEnd(id))
            }
            Frame::Ping { id } if id % 2 == 1 => {
                self.credit.echoed(id);
                Some(SpdyEvent::Pong)
            }
            Frame::Ping { id } => {
                if self.echoes.len() < MAX_ECHOES {
                    self.echoes.push_back(id);
                }
                None
            }
            Frame::GoAway { .. } => Some(SpdyEvent::GoAway),
            // No server of port-forwarding opens streams; the others carry nothing.
            Frame::SynStream { .. } | Frame::Ignored { .. } => None,
        }
    }

    /// The open pair that `stream` belongs to. Frames of closed pairs go on for up to a second (§0.6): no pair, no work.
    fn pair_of(&mut self, stream: u32) -> Option<(PairId, &mut StreamPair)> {
        let id = PairId::of(stream)?;
        let pair = self.pairs.get_mut(&id)?;
        (stream == id.error_stream() || pair.data_stream == Some(stream)).then_some((id, pair))
    }

    fn on_data(&mut self, stream: u32, payload: Bytes, fin: bool) -> Option<SpdyEvent> {
        let (id, pair) = self.pair_of(stream)?;
        if stream == id.error_stream() {
            let room = MAX_ERROR_TEXT.saturating_sub(pair.error_text.len());
            pair.error_text.extend_from_slice(&payload[..room.min(payload.len())]);
            let more = room > 0 && !payload.is_empty();
            let incomplete =
                more && pair.error_text.windows(INCOMPLETE.len()).any(|window| window == INCOMPLETE);
            return if fin || incomplete { self.end(id, false) } else { None };
        }
        if pair.ended {
            return None;
        }
        if payload.is_empty() {
            return pair.ends(fin).then_some(SpdyEvent::DataEnd(id));
        }
        if fin {
            // The payload is told now and its end on the next call, through a frame of its own.
            self.decoder.push_back(Frame::Data { stream, payload: Bytes::new(), fin });
        }
        Some(SpdyEvent::Data(id, payload))
    }

    fn on_reset(&mut self, stream: u32) -> Option<SpdyEvent> {
        self.credit.answered(stream);
        let (id, pair) = self.pair_of(stream)?;
        if stream == id.error_stream() {
            return self.end(id, true);
        }
        // A data stream that was never taken fails its pair, whose error stream would now wait 30 s for it. One that
        // was taken is reset beside its error stream, which says why (wire/pod-deleted).
        (!pair.replied.data).then(|| {
            self.resets.push(id.error_stream());
            self.pairs.remove(&id);
            SpdyEvent::Ended(id, PairEnd::Rejected)
        })
    }

    /// The error stream ended, by `reset` or in order, and with it the pair.
    fn end(&mut self, id: PairId, reset: bool) -> Option<SpdyEvent> {
        let pair = self.pairs.remove(&id)?;
        let end = if !pair.error_text.is_empty() {
            PairEnd::Failed(String::from_utf8_lossy(&pair.error_text).into_owned())
        } else if !reset {
            PairEnd::Clean
        } else if pair.replied.error {
            PairEnd::Reset
        } else {
            PairEnd::Rejected
        };
        Some(SpdyEvent::Ended(id, end))
    }
}

/// The ids that a pair's data stream may have, one for each queue that carries DATA, in the pair's own order.
fn data_ids(pair: PairId) -> [u32; DATA_OFFSETS.len()] {
    let first = pair.0 as usize;
    std::array::from_fn(|turn| pair.0 * STRIDE + DATA_OFFSETS[(first + turn) % DATA_OFFSETS.len()])
}

/// A data stream's id for a pair: on the queue with room that owes least, in turn where they owe the same.
fn choose(credit: &Credit, pair: PairId) -> Option<u32> {
    data_ids(pair)
        .into_iter()
        .filter(|&stream| credit.can_send_syn(queue_of(stream)))
        .min_by_key(|&stream| credit.load(queue_of(stream)))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
