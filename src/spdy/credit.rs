//! Flow control where port-forwarding has none: answers as proof of delivery (PROTOCOL §2.7, §2.8), sans-IO.
//!
//! The peer has one reader, which puts each frame into one of five queues of fifty: frames of a stream by `id % 5`,
//! pings round robin. A worker a queue handles them in order, and stops at DATA whose application does not read. So one
//! stalled application fills its queue, the full queue stops the reader, and the reader stops everybody, unless we never
//! send a queue more than it holds. What it holds is known from answers: a worker answers a ping and a SYN_STREAM in its
//! turn, so the answer proves that everything we sent to that queue before is handled.
//!
//! ```text
//! our frames to queue 3:   DATA DATA DATA PING₁₇ DATA DATA ...        held: 6
//!                          └── proven by the echo of 17 ──┘           held after it: 2
//! ```
//!
//! To have a ping in queue `q` it takes a ping in every queue from the next one in turn up to `q`; each is a mark in its
//! own. New connections need no pings at all: their SYN_STREAMs are marks too.
//!
//! # Beside a stalled queue
//!
//! Pings cannot pass a queue by. While one is stalled, each round of pings takes a place of its fifty that is not given
//! back. So from [`STALLED_PINGS`] unanswered pings on, no more are sent for proof. The others are proven by *probes*: a
//! SYN_STREAM goes to its own queue and to no other, and one without headers is refused by that queue's worker in its
//! turn (§3.1), without any part of an application. The runtime logs each refusal, so a probe is sent only once a queue's
//! window is used up: one to 1.5 MiB of upload, and only while some application beside it does not read.
//!
//! One place of a queue is kept for the mark that proves the rest. Whichever needs it takes it: a probe, or the
//! SYN_STREAM of a connection that waits for room.
//!
//! Queue 0 carries no DATA (see [`super::session`]). Its worker never waits for an application, so it has no bound.
//!
//! All of this is spdystream's way, not SPDY's. Any answer out of its order tells of another peer: then credit is off.

use std::collections::VecDeque;

/// The peer's worker queues (§2.7).
pub(super) const QUEUES: usize = 5;

/// Frames one of them holds (§2.7).
const CAPACITY: usize = 50;

/// DATA frames a queue may hold, and so 1.5 MiB, for a frame has at most 64 KiB: enough for 30 MiB/s over 50 ms, and half
/// of the places are left for the pings of others while it is stalled.
const WINDOW: usize = 24;

/// Frames of a queue from mark to mark: four to a window keep it open while the first proof travels, at a cost of at most
/// five pings, 60 bytes, to six frames.
const MARK_EVERY: usize = WINDOW / 4;

/// Unanswered pings of a queue that tell that it is stalled: more than four windows that move have under way.
const STALLED_PINGS: usize = 4 * WINDOW / MARK_EVERY;

/// The queue of a stream's frames.
pub(super) fn queue_of(stream: u32) -> usize {
    stream as usize % QUEUES
}

/// A frame whose answer proves what went before it on its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Ping(u32),
    Syn(u32),
}

/// A stretch of frames.
#[derive(Debug, Default, Clone, Copy)]
struct FrameCount {
    frames: usize,
    /// Those of them that may wait for an application.
    data: usize,
}

/// What the peer holds in one queue, as far as we know.
#[derive(Debug, Default)]
struct PeerQueue {
    held: FrameCount,
    /// Behind the last mark.
    tail: FrameCount,
    /// Unanswered marks, each with the frames from the one before up to itself.
    marks: VecDeque<(Marker, FrameCount)>,
    /// Pings among the marks.
    pings: usize,
}

impl PeerQueue {
    fn add(&mut self, data: usize) {
        self.held.frames += 1;
        self.held.data += data;
        self.tail.frames += 1;
        self.tail.data += data;
    }

    fn mark(&mut self, mark: Marker) {
        self.add(0);
        self.pings += usize::from(matches!(mark, Marker::Ping(_)));
        self.marks.push_back((mark, std::mem::take(&mut self.tail)));
    }

    /// The answer to the mark at `index` came.
    fn prove(&mut self, index: usize) {
        for (mark, count) in self.marks.drain(..=index) {
            self.held.frames -= count.frames;
            self.held.data -= count.data;
            self.pings -= usize::from(matches!(mark, Marker::Ping(_)));
        }
    }

    /// A frame fits, and behind it a mark to prove it.
    fn has_room(&self) -> bool {
        self.held.frames + 1 < CAPACITY
    }

    /// A mark fits. The last place is for one that proves all before it.
    fn has_marker_room(&self) -> bool {
        self.has_room() || self.held.frames < CAPACITY && self.marks.is_empty()
    }

    /// A DATA frame fits.
    fn has_window(&self) -> bool {
        self.held.data < WINDOW && self.has_room()
    }

    /// A window is used up, and no answer that would open it again is on its way.
    fn is_unproven(&self) -> bool {
        self.marks.is_empty() && !self.has_window()
    }
}

/// The peer's queues, as far as we know.
#[derive(Debug, Default)]
pub(super) struct Credit {
    on: bool,
    queues: [PeerQueue; QUEUES],
    /// The queue of the next ping.
    next: usize,
}

impl Credit {
    /// Without `on`, everything may be sent at any time.
    pub(super) fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    /// Frames that each queue holds, as far as is proven.
    pub(super) fn held(&self) -> [usize; QUEUES] {
        std::array::from_fn(|queue| self.queues[queue].held.frames)
    }

    /// Whether a frame that waits for no application may be sent: RST_STREAM.
    pub(super) fn has_room(&self, queue: usize) -> bool {
        !self.on || queue == 0 || self.queues[queue].has_room()
    }

    /// Whether a SYN_STREAM may be sent.
    pub(super) fn can_send_syn(&self, queue: usize) -> bool {
        !self.on || queue == 0 || self.queues[queue].has_marker_room()
    }

    /// Whether a DATA frame may be sent.
    pub(super) fn has_window(&self, queue: usize) -> bool {
        !self.on || self.queues[queue].has_window()
    }

    /// How much speaks against one more stream on `queue`, least first: the frames up to the last answer it owes, which a
    /// stalled queue never gives, then those behind.
    pub(super) fn load(&self, queue: usize) -> (usize, usize) {
        let PeerQueue { held, tail, .. } = &self.queues[queue];
        (held.frames - tail.frames, tail.frames)
    }

    /// A DATA frame is sent.
    pub(super) fn data(&mut self, queue: usize) {
        if self.on {
            self.queues[queue].add(1);
        }
    }

    /// A frame is sent that is neither DATA nor answered.
    pub(super) fn control(&mut self, queue: usize) {
        if self.on && queue != 0 {
            self.queues[queue].add(0);
        }
    }

    /// A SYN_STREAM is sent.
    pub(super) fn syn(&mut self, stream: u32) {
        let queue = queue_of(stream);
        if self.on && queue != 0 {
            self.queues[queue].mark(Marker::Syn(stream));
        }
    }

    /// A ping of ours is sent.
    pub(super) fn ping(&mut self, id: u32) {
        if self.on {
            self.queues[self.next].mark(Marker::Ping(id));
            self.next = (self.next + 1) % QUEUES;
        }
    }

    /// The echo of a ping of the peer's is sent: it takes its turn like any ping, and is not answered.
    pub(super) fn echo(&mut self) {
        if self.on {
            self.control(self.next);
            self.next = (self.next + 1) % QUEUES;
        }
    }

    /// Whether the queue whose turn it is takes the echo of a ping of the peer's.
    pub(super) fn can_send_echo(&self) -> bool {
        self.has_room(self.next)
    }

    /// Whether all queues take a ping, and none of them is deaf.
    pub(super) fn can_ping_all(&self) -> bool {
        !self.on || !self.is_stalled() && (0..QUEUES).all(|queue| self.can_send_syn(queue))
    }

    /// How many pings are due now.
    pub(super) fn pings_due(&self) -> usize {
        if !self.on || self.is_stalled() {
            return 0;
        }
        let due = |queue: &usize| {
            *queue != 0 && self.queues[*queue].tail.frames >= MARK_EVERY && self.is_reachable(*queue)
        };
        (0..QUEUES).filter(due).map(|queue| self.steps(queue)).max().unwrap_or(0)
    }

    /// A queue that is to be proven by a probe, since no ping gets there.
    pub(super) fn probe_due(&self) -> Option<usize> {
        let due = |queue: &usize| {
            self.queues[*queue].is_unproven() && (self.is_stalled() || !self.is_reachable(*queue))
        };
        (1..QUEUES).find(due).filter(|_| self.on)
    }

    /// A ping of ours came back.
    pub(super) fn echoed(&mut self, id: u32) {
        if !self.on {
            return;
        }
        // A worker answers in order: this is the first unanswered ping of its queue, or the peer has no such workers.
        let is_ping = |(mark, _): &(Marker, FrameCount)| matches!(mark, Marker::Ping(_));
        for queue in &mut self.queues {
            let first = queue.marks.iter().position(is_ping);
            if let Some(index) = first.filter(|&index| queue.marks[index].0 == Marker::Ping(id)) {
                return queue.prove(index);
            }
        }
        self.switch_off();
    }

    /// A stream was taken, or refused: its SYN_STREAM is handled.
    pub(super) fn answered(&mut self, stream: u32) {
        let queue = &mut self.queues[queue_of(stream)];
        let Some(index) = queue.marks.iter().position(|(mark, _)| *mark == Marker::Syn(stream)) else {
            return;
        };
        if queue.marks.range(..index).any(|(mark, _)| matches!(mark, Marker::Ping(_))) {
            return self.switch_off();
        }
        queue.prove(index);
    }

    /// From now on everything may be sent at any time.
    fn switch_off(&mut self) {
        *self = Self::new(false);
    }

    /// Some queue answers no pings.
    fn is_stalled(&self) -> bool {
        self.queues.iter().any(|queue| queue.pings > STALLED_PINGS)
    }

    /// Pings to the one in `queue`.
    fn steps(&self, queue: usize) -> usize {
        (queue + QUEUES - self.next) % QUEUES + 1
    }

    /// Whether a ping can be put into `queue`, and before it one into each queue on the way.
    fn is_reachable(&self, queue: usize) -> bool {
        (0..self.steps(queue)).all(|step| self.can_send_syn((self.next + step) % QUEUES))
    }
}

#[cfg(test)]
#[path = "credit_tests.rs"]
mod tests;
