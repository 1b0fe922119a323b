//! The way that new connections to a port take, as its supervisor publishes it and the connections read it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{model::endpoint::Endpoint, tunnel::dial::Tunnel};

/// A pod and the tunnel to it.
pub(super) struct Way {
    /// Grows with each way of a target: a connection that failed on one waits for another.
    pub generation: u64,
    /// The pod.
    pub pod: Endpoint,
    /// The tunnel to it.
    pub tunnel: Arc<Tunnel>,
    /// When it was opened.
    pub since: Instant,
    /// Cancelled by a connection that found that it leads nowhere: the pod's sandbox is gone.
    pub suspect: CancellationToken,
}

/// What the supervisor says.
#[derive(Clone)]
pub(super) enum Route {
    /// No way at the moment: connections are held.
    Closed,
    /// This way.
    Open(Arc<Way>),
    /// No way, and waiting is of no use: connections are refused (DESIGN §2, `lost`).
    Refused(Arc<str>),
}

/// Why a connection has no way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoWay {
    /// It was held for as long as it may be.
    HeldTooLong,
    /// The target is lost.
    Refused(Arc<str>),
    /// The forward ends.
    Stopped,
}

/// Which ways a connection takes.
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

/// A connection's view of the route.
#[derive(Clone)]
pub(super) struct Router {
    route: watch::Receiver<Route>,
}

impl Router {
    /// A view of what is published there.
    pub(super) fn of(published: &watch::Sender<Route>) -> Self {
        Self { route: published.subscribe() }
    }

    /// Waits until there is a way that `filter` takes, until `deadline`.
    pub(super) async fn acquire(
        &mut self,
        filter: RouteFilter,
        deadline: Instant,
    ) -> Result<Arc<Way>, NoWay> {
        let settled = self.route.wait_for(|route| match route {
            Route::Closed => false,
            Route::Open(way) => filter.matches(way.generation),
            Route::Refused(_) => true,
        });
        match timeout_at(deadline, settled).await {
            Err(_) => Err(NoWay::HeldTooLong),
            Ok(Err(_)) => Err(NoWay::Stopped),
            Ok(Ok(route)) => match &*route {
                Route::Open(way) => Ok(Arc::clone(way)),
                Route::Refused(why) => Err(NoWay::Refused(Arc::clone(why))),
                Route::Closed => Err(NoWay::Stopped),
            },
        }
    }

    /// Waits until the way `generation` is no longer the one, at most `patience`; false where it still is.
    pub(super) async fn left(&mut self, generation: u64, patience: Duration) -> bool {
        let left = self.route.wait_for(|route| match route {
            Route::Open(way) => way.generation != generation,
            Route::Closed | Route::Refused(_) => true,
        });
        tokio::time::timeout(patience, left).await.is_ok()
    }
}
