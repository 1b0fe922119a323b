//! Local addresses: bound all before anything starts, then each with an accept loop of its own.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[cfg(unix)]
use super::socket::SocketConflict;
use super::{
    conflict::{self, BindFailure},
    connection::{self, ConnectionContext},
    local::LocalListener,
    takeover::{self, TakenAddress},
};
use crate::{
    descriptors::is_shortage,
    error::Fatal,
    model::{
        event::{EventKind, LocalAddress},
        ports::{Address, ListenIp, LocalPort, listen_ips},
    },
    policy::backoff::Backoff,
};

/// Connections of one local address at a time; a client that wants more waits in the listen queue. A connection that its
/// client closed is there for a second more, until the runtime lets go (PROTOCOL §3.4), so this is also the new
/// connections a second: four thousand, as it once was, held back a benchmark. Each costs some kilobytes.
const MAX_CONNECTIONS: usize = 16 * 1024;

/// Waits after a failed accept where nothing tells that the next will do better. The system has no memory to spare, or no
/// descriptor: that one is free again is known at once where it was a connection's of this process.
const ACCEPT_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(1), jitter: 0.0 };

/// Ports of the system's choice that are tried for one that is free on every address. It takes them from thousands, of
/// which few are taken: a second try is rare, and so many in vain are no accident.
const ANY_PORT_TRIES: usize = 32;

/// A bound local address.
pub(super) struct BoundListener {
    pub listener: LocalListener,
    pub bound: LocalAddress,
}

/// What was asked for and not to be had: the port, and the one that was bound instead.
pub(super) struct PortReplacement {
    pub wanted: u16,
    pub bound: u16,
}

/// Why a local address was not bound.
#[derive(Debug)]
pub(super) enum BindRefusal {
    /// Somebody listens there.
    Taken(TakenAddress),
    /// It cannot be.
    Impossible(Fatal),
}

/// What becomes of a wanted port that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenPort {
    /// It is an error.
    Refuse,
    /// The next one that is free is bound in its place.
    Replace,
}

/// Binds one local address on all its addresses. `same` is the number that [`LocalPort::Same`] means.
///
/// `localhost` is both loopback addresses, of which one may be missing; any other address must be bound. A port of 0 is
/// one that is free on all of them.
pub(super) async fn bind(
    local: &LocalPort,
    same: u16,
    addresses: &[Address],
    taken: TakenPort,
) -> Result<(Vec<BoundListener>, Option<PortReplacement>), BindRefusal> {
    let wanted = match local {
        LocalPort::Unix(path) => return unix(path).await.map(|listening| (vec![listening], None)),
        LocalPort::Same => same,
        LocalPort::Any => 0,
        LocalPort::Number(port) => *port,
    };
    let ips = listen_ips(addresses);
    let bound = match wanted {
        0 => bind_any(&ips),
        _ => bind_all(wanted, &ips),
    };
    let failure = match bound {
        Ok(listening) => return Ok((listening, None)),
        Err(failure) => failure,
    };
    if taken == TakenPort::Replace
        && is_taken(&failure.1)
        && let Some((bound, listening)) = bind_next(wanted, &ips)
    {
        return Ok((listening, Some(PortReplacement { wanted, bound })));
    }
    Err(if is_taken(&failure.1) {
        BindRefusal::Taken(TakenAddress::Tcp { failure, ips })
    } else {
        BindRefusal::Impossible(takeover::explain(failure, ips).await)
    })
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn bind_all(port: u16, ips: &[ListenIp]) -> Result<Vec<BoundListener>, BindFailure> {
    let mut all = Vec::new();
    bind_each(port, ips, &mut all).map(|()| all)
}

/// Binds a port of the system's choice: the one that it gives for the first address, unless it is taken on another.
fn bind_any(ips: &[ListenIp]) -> Result<Vec<BoundListener>, BindFailure> {
    first_free(|all| bind_each(0, ips, all))
}

fn first_free(
    mut bind: impl FnMut(&mut Vec<BoundListener>) -> Result<(), BindFailure>,
) -> Result<Vec<BoundListener>, BindFailure> {
    // What is of no use stays bound until another is found, so that it is not given again.
    let mut useless = Vec::new();
    loop {
        let mut all = Vec::new();
        match bind(&mut all) {
            Ok(()) => return Ok(all),
            Err((_, error)) if is_taken(&error) && useless.len() < ANY_PORT_TRIES => useless.push(all),
            Err(failure) => return Err(failure),
        }
    }
}

/// Binds the first port above `taken` that is free on every address.
fn bind_next(taken: u16, ips: &[ListenIp]) -> Option<(u16, Vec<BoundListener>)> {
    conflict::above(taken).find_map(|port| Some((port, bind_all(port, ips).ok()?)))
}

/// Binds every address. On a failure `all` has those that were bound before it.
fn bind_each(mut port: u16, ips: &[ListenIp], all: &mut Vec<BoundListener>) -> Result<(), BindFailure> {
    let mut failure = None;
    for &ListenIp { ip, optional: may_lack } in ips {
        let at = SocketAddr::new(ip, port);
        match LocalListener::tcp(at) {
            Ok(listener) => {
                let address = listener.address().unwrap_or(at);
                port = address.port();
                all.push(BoundListener { listener, bound: LocalAddress::Tcp(address) });
            }
            // A port that somebody else has on one of the two is a conflict all the same: clients of `localhost`
            // would reach either. Only an address that this machine lacks is no reason to fail.
            Err(error) if may_lack && !is_taken(&error) => _ = failure.get_or_insert((at, error)),
            Err(error) => return Err((at, error)),
        }
    }
    match failure {
        Some(failure) if all.is_empty() => Err(failure),
        _ => Ok(()),
    }
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> Result<BoundListener, BindRefusal> {
    match LocalListener::unix(path).await {
        Ok(listener) => Ok(BoundListener { listener, bound: LocalAddress::Unix(path.to_owned()) }),
        Err(error) => {
            let why = conflict::explain_unix(path, &error);
            Err(match error {
                SocketConflict::Live | SocketConflict::Full => {
                    BindRefusal::Taken(TakenAddress::Unix { path: path.to_owned(), why })
                }
                _ => BindRefusal::Impossible(why),
            })
        }
    }
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "called as the other is")]
async fn unix(path: &std::path::Path) -> Result<BoundListener, BindRefusal> {
    let fatal = Fatal::new("fwd::listen::unix", format!("cannot listen on unix:{}", path.display()));
    Err(BindRefusal::Impossible(fatal.because("this system's runtime has no Unix sockets")))
}

/// Accepts until `stop`, and carries what it accepts on `tracker` until it ends or `kill`.
pub(super) async fn accept(
    listening: BoundListener,
    context: Arc<ConnectionContext>,
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let descriptors = context.descriptors;
    // In a row.
    let mut failures: u32 = 0;
    let accept = async {
        loop {
            // The slot first: what is accepted is also served.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            if !descriptors.has_for_clients() {
                out_of_descriptors(&context);
                failures = failures.saturating_add(1);
                descriptors.freed(ACCEPT_BACKOFF.wait(failures, 0.0)).await;
                continue;
            }
            match listening.listener.accept().await {
                Ok(local) => {
                    failures = 0;
                    let (context, kill) = (Arc::clone(&context), kill.clone());
                    tracker.spawn(async move {
                        // Made where it is polled: a future that is handed on is kept once more at each step.
                        tokio::select! {
                            biased;
                            () = kill.cancelled() => {}
                            () = connection::run(context, local) => {}
                        }
                        drop(slot);
                        descriptors.free_one();
                    });
                }
                Err(error) if is_one_clients(&error) => {
                    tracing::debug!(%error, "a client was gone before it was accepted");
                    // The next may be, too, for as long as they come: others have their turn.
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    if is_shortage(&error) {
                        out_of_descriptors(&context);
                    } else if failures == 0 {
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    failures = failures.saturating_add(1);
                    descriptors.freed(ACCEPT_BACKOFF.wait(failures, 0.0)).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accept).await;
}

/// Says once that clients have to wait, and asks connections that linger to give way.
fn out_of_descriptors(context: &ConnectionContext) {
    if let Some(limit) = context.descriptors.ran_out() {
        let text = format!(
            "no file descriptor is free (this process may have {limit}): new connections wait until one is; \
             'ulimit -n' sets the limit"
        );
        context.reporter.emit(EventKind::Notice { text });
    }
}

/// Whether a failed accept is the trouble of the one client that it was about. Linux passes on what happened to a
/// connection while it waited (accept(2)), and others say that it is gone.
fn is_one_clients(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    #[cfg(unix)]
    let protocol = [rustix::io::Errno::PROTO, rustix::io::Errno::NOPROTOOPT, rustix::io::Errno::HOSTDOWN]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    #[cfg(not(unix))]
    let protocol = false;
    protocol
        || matches!(
            error.kind(),
            Kind::ConnectionAborted
                | Kind::ConnectionReset
                | Kind::ConnectionRefused
                | Kind::Interrupted
                | Kind::TimedOut
                | Kind::Unsupported
                | Kind::PermissionDenied
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
                | Kind::NetworkDown
        )
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};

    use super::*;

    fn addresses(text: &str) -> Vec<Address> {
        text.split(',').map(|one| Address::parse(one).unwrap()).collect()
    }

    fn ports(listening: &[BoundListener]) -> Vec<(IpAddr, u16)> {
        let of = |one: &BoundListener| match &one.bound {
            LocalAddress::Tcp(address) => (address.ip(), address.port()),
            LocalAddress::Unix(path) => panic!("{}", path.display()),
        };
        listening.iter().map(of).collect()
    }

    fn has_ipv6() -> bool {
        TcpListener::bind("[::1]:0").is_ok()
    }

    /// Addresses of both families, and those that another takes: no conflict with ourselves, in whichever order they are given.
    #[tokio::test]
    async fn every_address_on_one_port() {
        if !has_ipv6() {
            return;
        }
        for (wanted, expected) in [
            ("0.0.0.0,::", &["0.0.0.0", "::"][..]),
            ("::,0.0.0.0", &["0.0.0.0", "::"]),
            ("localhost,0.0.0.0", &["0.0.0.0", "::1"]),
            ("::1,::", &["::"]),
            ("127.0.0.1,127.0.0.1", &["127.0.0.1"]),
        ] {
            let (listening, _) =
                bind(&LocalPort::Any, 0, &addresses(wanted), TakenPort::Refuse).await.unwrap();
            let bound = ports(&listening);
            let ips: Vec<_> = bound.iter().map(|(ip, _)| ip.to_string()).collect();
            assert_eq!(ips, expected, "{wanted}");
            assert!(bound.iter().all(|(_, port)| *port == bound[0].1), "{bound:?}");
        }
    }

    /// Of IPv6 alone, as kubectl has it: somebody else may have the port on IPv4.
    #[tokio::test]
    async fn every_ipv6_address_leaves_ipv4_alone() {
        let Ok(listener) = LocalListener::tcp("[::]:0".parse().unwrap()) else { return };
        let port = listener.address().unwrap().port();
        TcpListener::bind(("0.0.0.0", port)).unwrap();
    }

    /// A port that is taken on one of the addresses is replaced by one that is free on all.
    #[tokio::test]
    async fn the_next_port_is_free_on_every_address() {
        let (one, other) = ("127.0.0.1", "127.0.0.2");
        let taken = TcpListener::bind((one, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        // And so may the next be, on the other.
        let _next = TcpListener::bind((other, port.saturating_add(1)));
        for wanted in [format!("{one},{other}"), format!("{other},{one}")] {
            let wanted = addresses(&wanted);
            assert!(bind(&LocalPort::Number(port), 0, &wanted, TakenPort::Refuse).await.is_err());
            let (listening, instead) =
                bind(&LocalPort::Number(port), 0, &wanted, TakenPort::Replace).await.unwrap();
            let bound = ports(&listening);
            assert!(bound.len() == 2 && bound[0].1 == bound[1].1 && bound[0].1 > port + 1, "{bound:?}");
            assert_eq!(instead.map(|instead| (instead.wanted, instead.bound)), Some((port, bound[0].1)));
        }
    }

    /// The system gives a port that is free on the first address, and knows nothing of the others.
    #[tokio::test]
    async fn another_port_is_asked_for_where_one_is_taken_elsewhere() {
        let ips = listen_ips(&addresses("127.0.0.1"));
        let taken = || ("127.0.0.2:1".parse().unwrap(), io::ErrorKind::AddrInUse.into());
        let mut seen = Vec::new();
        let mut free_at = |at: usize| {
            seen.clear();
            first_free(|all| {
                bind_each(0, &ips, all)?;
                seen.push(ports(all)[0].1);
                if seen.len() < at { Err(taken()) } else { Ok(()) }
            })
        };
        let bound = ports(&free_at(3).unwrap());
        assert!(free_at(usize::MAX).is_err());
        assert_eq!((bound.len(), seen.len()), (1, ANY_PORT_TRIES + 1));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), ANY_PORT_TRIES + 1, "a port was given again");
    }

    /// What is the trouble of one client that is gone is nobody else's: the next is accepted at once.
    #[cfg(unix)]
    #[test]
    fn whose_trouble_it_is() {
        use rustix::io::Errno;
        for (errno, own) in [
            (Errno::CONNABORTED, true),
            (Errno::PROTO, true),
            (Errno::PERM, true),
            (Errno::NETDOWN, true),
            (Errno::HOSTUNREACH, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
            (Errno::INVAL, false),
        ] {
            assert_eq!(is_one_clients(&errno.into()), own, "{errno}");
        }
    }
}
