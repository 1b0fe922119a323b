//! Being woken by a [`Notify`] from within a poll function.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::{Notify, futures::OwnedNotified};

/// A notification that is waited for again and again.
pub(super) struct Wake {
    notify: Arc<Notify>,
    notified: Pin<Box<OwnedNotified>>,
}

impl Wake {
    pub(super) fn new(notify: &Arc<Notify>) -> Self {
        Self { notify: Arc::clone(notify), notified: Box::pin(Arc::clone(notify).notified_owned()) }
    }

    /// Whether what the notification is about still `holds`. Where it does, the task is woken by the next one: it is looked
    /// at again after the registration, so that no notification falls between.
    pub(super) fn unless(&mut self, cx: &mut Context<'_>, mut holds: impl FnMut() -> bool) -> bool {
        while let Poll::Ready(()) = self.notified.as_mut().poll(cx) {
            self.notified.set(Arc::clone(&self.notify).notified_owned());
            if !holds() {
                return false;
            }
        }
        holds()
    }
}
