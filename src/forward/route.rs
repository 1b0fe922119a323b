//! The backend that new connections to a port take, as its supervisor publishes it and the connections read it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{model::endpoint::Endpoint, tunnel::dial::Tunnel};

/// A pod and the tunnel to it.
pub(super) struct Backend {
    /// Grows with each backend of a target: a connection that failed on one waits for another.
    pub generation: u64,
    /// The pod.
    pub pod: Endpoint,
    /// The tunnel to it.
    pub tunnel: Arc<Tunnel>,
    /// When it was opened.
    pub since: Instant,
    /// Cancelled by a connection that found that it leads nowhere: the pod's sandbox is gone.
    pub unusable: CancellationToken,
}

/// What the supervisor says.
#[derive(Clone)]
pub(super) enum Route {
    /// No backend at the moment: connections are held.
    Held,
    /// This backend.
    Open(Arc<Backend>),
    /// No backend, and waiting is of no use: connections are refused (DESIGN §2, `lost`).
    Refused(Arc<str>),
}

/// Why a connection has no backend.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RouteError {
    /// It was held for as long as it may be.
    HeldTooLong,
    /// The target is lost.
    Refused(Arc<str>),
    /// The forward ends.
    Stopped,
}

/// Which backends a connection takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteFilter {
    /// Any.
    Any,
    /// Those of a later generation: this one failed.
    NewerThan(u64),
}

impl RouteFilter {
    fn matches(self, generation: u64) -> bool {
        match self {
            Self::Any => true,
            Self::NewerThan(failed) => generation > failed,
        }
    }
}

/// What a connection does while waiting is said to be of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenLost {
    /// It fails: its client may come again.
    Fail,
    /// It waits all the same.
    Wait,
}

/// A connection's view of the route.
#[derive(Clone)]
pub(super) struct RouteReceiver {
    route: watch::Receiver<Route>,
}

impl RouteReceiver {
    /// A view of what is published there.
    pub(super) fn new(published: &watch::Sender<Route>) -> Self {
        Self { route: published.subscribe() }
    }

    /// Waits until there is a backend that `filter` takes, until `deadline`.
    pub(super) async fn wait_for_backend(
        &mut self,
        filter: RouteFilter,
        when_lost: WhenLost,
        deadline: Instant,
    ) -> Result<Arc<Backend>, RouteError> {
        let settled = self.route.wait_for(|route| match route {
            Route::Held => false,
            Route::Open(backend) => filter.matches(backend.generation),
            Route::Refused(_) => when_lost == WhenLost::Fail,
        });
        let found = match timeout_at(deadline, settled).await {
            Err(_) => None,
            Ok(Err(_)) => Some(Err(RouteError::Stopped)),
            Ok(Ok(route)) => Some(match &*route {
                Route::Open(backend) => Ok(Arc::clone(backend)),
                Route::Refused(why) => Err(RouteError::Refused(Arc::clone(why))),
                Route::Held => Err(RouteError::Stopped),
            }),
        };
        found.unwrap_or_else(|| {
            Err(match &*self.route.borrow() {
                Route::Refused(why) => RouteError::Refused(Arc::clone(why)),
                Route::Held | Route::Open(_) => RouteError::HeldTooLong,
            })
        })
    }

    /// Waits until the backend `generation` is no longer the one, at most `patience`; false where it still is.
    pub(super) async fn wait_replaced(&mut self, generation: u64, timeout: Duration) -> bool {
        let left = self.route.wait_for(|route| match route {
            Route::Open(backend) => backend.generation != generation,
            Route::Held | Route::Refused(_) => true,
        });
        tokio::time::timeout(timeout, left).await.is_ok()
    }
}
