//! Watches that end, fall silent or hear of nothing but versions.

use tokio::sync::watch;

/// What live watches are told to do, as counts of how often they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WatchOrders {
    /// End in order, as after `timeoutSeconds`.
    pub(crate) ends: u64,
    /// Send a bookmark where something has happened that is none of the client's business.
    pub(crate) bookmarks: u64,
    /// Send nothing more, and stay.
    pub(crate) silent: bool,
}

/// Where they are told.
#[derive(Debug, Default)]
pub(super) struct Watches {
    orders: watch::Sender<WatchOrders>,
    /// Bookmarks that were sent.
    bookmarks: watch::Sender<u64>,
}

impl Watches {
    pub(super) fn order(&self, order: impl FnOnce(&mut WatchOrders)) {
        self.orders.send_modify(order);
    }

    pub(super) fn follow(&self) -> watch::Receiver<WatchOrders> {
        self.orders.subscribe()
    }

    pub(super) fn bookmarked(&self) {
        self.bookmarks.send_modify(|sent| *sent += 1);
    }

    pub(super) fn bookmarks(&self) -> watch::Receiver<u64> {
        self.bookmarks.subscribe()
    }
}
