//! Local ends: bound all before anything starts, then each with an accept loop of its own.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    conflict,
    connection::{self, Context},
    local::Listener,
};
use crate::{
    error::Fatal,
    model::{
        event::Bound,
        ports::{Address, Local},
    },
};

/// Connections of one local end at a time; a client that wants more waits in the listen queue. A connection that its
/// client closed is there for a second more, until the runtime lets go (PROTOCOL §3.4), so this is also the new
/// connections a second: four thousand, as it once was, held back a benchmark. Each costs some kilobytes.
const MAX_CONNECTIONS: usize = 16 * 1024;

/// Waits after a failed accept: no descriptor is free, and the next accept would fail as fast.
const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A bound local end.
pub(super) struct Listening {
    pub listener: Listener,
    pub bound: Bound,
}

/// What was asked for and not to be had: the port, and the one that was bound instead.
pub(super) struct Instead {
    pub wanted: u16,
    pub bound: u16,
}

/// Binds one local end on all its addresses. `same` is the number that [`Local::Same`] means.
///
/// `localhost` is both loopback addresses, of which one may fail; any other address must be bound. A port of 0 is any
/// free one, and the first one bound is used for the other addresses. With `auto_port` a taken port is replaced by the
/// next free one.
pub(super) async fn bind(
    local: &Local,
    same: u16,
    addresses: &[Address],
    auto_port: bool,
) -> Result<(Vec<Listening>, Option<Instead>), Fatal> {
    let wanted = match local {
        Local::Unix(path) => return unix(path).await.map(|listening| (vec![listening], None)),
        Local::Same => same,
        Local::Any => 0,
        Local::Number(port) => *port,
    };
    match bind_all(wanted, addresses).await {
        Ok(listening) => Ok((listening, None)),
        Err((address, error)) if auto_port && error.kind() == io::ErrorKind::AddrInUse => {
            let Some(free) = conflict::nearest_free(address.ip(), address.port()) else {
                return Err(explain(address, error).await);
            };
            match bind_all(free, addresses).await {
                Ok(listening) => Ok((listening, Some(Instead { wanted, bound: free }))),
                Err((address, error)) => Err(explain(address, error).await),
            }
        }
        Err((address, error)) => Err(explain(address, error).await),
    }
}

/// The error for a port that could not be bound. To find its holder takes a look at every process, for milliseconds in
/// which connections of other forwards go on.
async fn explain(address: SocketAddr, error: io::Error) -> Fatal {
    let kind = error.kind();
    let looked = tokio::task::spawn_blocking(move || conflict::explain(address, &error)).await;
    looked.unwrap_or_else(|_| conflict::unexplained(address, &kind.into()))
}

async fn bind_all(mut port: u16, addresses: &[Address]) -> Result<Vec<Listening>, (SocketAddr, io::Error)> {
    let mut all: Vec<Listening> = Vec::new();
    for address in addresses {
        let (ips, may_fail): (Vec<IpAddr>, bool) = match address {
            Address::Localhost => (vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], true),
            Address::Ip(ip) => (vec![*ip], false),
        };
        let mut bound_one = false;
        let mut failure = None;
        for ip in ips {
            let at = SocketAddr::new(ip, port);
            match tcp(at).await {
                Ok(listening) => {
                    if let Bound::Tcp(address) = &listening.bound {
                        port = address.port();
                    }
                    all.push(listening);
                    bound_one = true;
                }
                // A port that somebody else has on one of the two is a conflict all the same: clients of `localhost`
                // would reach either. Only an address that this machine lacks is no reason to fail.
                Err(error) if may_fail && error.kind() != io::ErrorKind::AddrInUse => {
                    failure.get_or_insert((at, error));
                }
                Err(error) => return Err((at, error)),
            }
        }
        if !bound_one && let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(all)
}

async fn tcp(address: SocketAddr) -> io::Result<Listening> {
    let listener = Listener::tcp(address).await?;
    let bound = listener.address().unwrap_or(address);
    Ok(Listening { listener, bound: Bound::Tcp(bound) })
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> Result<Listening, Fatal> {
    match Listener::unix(path).await {
        Ok(listener) => Ok(Listening { listener, bound: Bound::Unix(path.to_owned()) }),
        Err(error) => Err(conflict::explain_unix(path, &error)),
    }
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "called as the other is")]
async fn unix(path: &std::path::Path) -> Result<Listening, Fatal> {
    Err(Fatal::new("fwd::listen::unix", format!("cannot listen on unix:{}", path.display()))
        .because("this system's runtime has no Unix sockets"))
}

/// Accepts until `stop`, and carries what it accepts on `tracker` until it ends or `kill`.
pub(super) async fn accept(
    listening: Listening,
    context: Arc<Context>,
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut backoff = ACCEPT_BACKOFF.0;
    let accept = async {
        loop {
            // The slot first: what is accepted is also served.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match listening.listener.accept().await {
                Ok(local) => {
                    backoff = ACCEPT_BACKOFF.0;
                    let carry = connection::run(Arc::clone(&context), local);
                    let kill = kill.clone();
                    tracker.spawn(async move {
                        kill.run_until_cancelled(carry).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(ACCEPT_BACKOFF.1);
                }
            }
        }
    };
    stop.run_until_cancelled(accept).await;
}
