//! A session's view of one stream: where its bytes go, what it still wants to send, and what it is to the others.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::stream::{Chunk, StreamEvent, StreamShared};
use crate::spdy::session::PairId;

/// A stream that moved more than this lately is a bulk one. Pages, queries and API answers are smaller; what is larger
/// fills the pipe for long enough to be felt by others.
const BULK: usize = 1024 * 1024;

/// A stream that moved more than this lately is a transfer. A page's head, a query's answer and most messages are smaller;
/// what is larger comes in several pieces.
const TRANSFER: usize = 64 * 1024;

/// How long a transfer may pause and still go on: an application that reads a disk or asks others, a network that loses
/// something.
const PAUSE: Duration = Duration::from_secs(2);

/// The open streams of a session.
pub(super) type StreamTable = HashMap<PairId, StreamEntry>;

/// What a stream wants to send and the peer has no room for yet. `backlog` gives it its turns.
#[derive(Default)]
pub(super) struct PendingData {
    pub(super) chunks: VecDeque<Chunk>,
    /// Nothing comes behind the chunks.
    pub(super) finish: bool,
    /// The queue of the peer in which its turn comes, while it has something to send.
    pub(super) queue: Option<usize>,
}

impl PendingData {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.finish
    }
}

/// One open stream, on the driver's side.
pub(super) struct StreamEntry {
    /// The first field: with the entry it is dropped before `inbound`, so that the stream's permits are free before the
    /// stream learns that it is lost.
    pub(super) pending: PendingData,
    pub(super) inbound: mpsc::UnboundedSender<StreamEvent>,
    pub(super) shared: Arc<StreamShared>,
    /// Bytes moved lately, both ways.
    moved: usize,
    /// When bytes came for it last.
    came: Option<Instant>,
    /// None come any more.
    pub(super) ended: bool,
    /// Its client has said something that was not answered yet.
    pub(super) awaits: bool,
    /// It is counted as one that waits for another's client.
    blocked: bool,
}

impl StreamEntry {
    pub(super) fn new(inbound: mpsc::UnboundedSender<StreamEvent>, shared: Arc<StreamShared>) -> Self {
        Self {
            pending: PendingData::default(),
            inbound,
            shared,
            moved: 0,
            came: None,
            ended: false,
            awaits: false,
            blocked: false,
        }
    }

    pub(super) fn is_bulk(&self) -> bool {
        self.moved > BULK
    }

    /// Whether it moved more than a question and its answer: more may come, also after a pause.
    pub(super) fn is_transfer(&self) -> bool {
        self.moved > TRANSFER
    }

    /// Notes that bytes came; whether an answer was due.
    pub(super) fn comes(&mut self, now: Instant) -> bool {
        self.came = Some(now);
        std::mem::take(&mut self.awaits)
    }

    /// Whether something is to come for it: an answer that is due, or more of a transfer.
    pub(super) fn is_owed(&self, now: Instant) -> bool {
        let lately = |came: Instant| now.duration_since(came) < PAUSE;
        self.awaits || self.is_transfer() && !self.ended && self.came.is_some_and(lately)
    }

    /// Counts bytes moved; whether they make the stream a transfer, and a bulk one.
    pub(super) fn count_moved(&mut self, bytes: usize) -> (bool, bool) {
        let before = (self.is_transfer(), self.is_bulk());
        self.moved = self.moved.saturating_add(bytes);
        (!before.0 && self.is_transfer(), !before.1 && self.is_bulk())
    }

    /// Time goes by: what moved nothing for two turns of this is no bulk stream any more.
    pub(super) fn decay(&mut self) {
        self.moved = self.moved.min(2 * BULK) / 2;
    }

    /// Forgets what it has moved.
    pub(super) fn rests(&mut self) {
        self.moved = 0;
    }

    /// Counts it as one that waits for another's client, or does not any more; whether that is news.
    pub(super) fn block(&mut self, blocked: bool) -> bool {
        if std::mem::replace(&mut self.blocked, blocked) == blocked {
            return false;
        }
        if blocked {
            self.shared.blocked.fetch_add(1, Ordering::Relaxed);
        } else {
            self.shared.blocked.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }
}

impl Drop for StreamEntry {
    fn drop(&mut self) {
        self.block(false);
    }
}
