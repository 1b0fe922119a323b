//! A session's view of one stream: where its bytes go, and what it is to the others.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::mpsc;

use super::stream::{Inbound, Shared};

/// A stream that moved more than this lately is a bulk one. Pages, queries and API answers are smaller; what is larger
/// fills the pipe for long enough to be felt by others.
const BULK: usize = 1024 * 1024;

/// One open stream, on the driver's side.
pub(super) struct Entry {
    pub(super) inbound: mpsc::UnboundedSender<Inbound>,
    pub(super) shared: Arc<Shared>,
    /// Bytes moved lately, both ways.
    moved: usize,
    /// Its client has said something that was not answered yet.
    pub(super) awaits: bool,
    /// It is counted as one that waits for another's client.
    blocked: bool,
}

impl Entry {
    pub(super) fn new(inbound: mpsc::UnboundedSender<Inbound>, shared: Arc<Shared>) -> Self {
        Self { inbound, shared, moved: 0, awaits: false, blocked: false }
    }

    pub(super) fn is_bulk(&self) -> bool {
        self.moved > BULK
    }

    /// Counts bytes moved; true when they make the stream a bulk one.
    pub(super) fn moves(&mut self, bytes: usize) -> bool {
        let before = self.is_bulk();
        self.moved = self.moved.saturating_add(bytes);
        !before && self.is_bulk()
    }

    /// Time goes by: what moved nothing for two turns of this is no bulk stream any more.
    pub(super) fn settles(&mut self) {
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

impl Drop for Entry {
    fn drop(&mut self) {
        self.block(false);
    }
}
