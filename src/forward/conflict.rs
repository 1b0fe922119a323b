//! Why a local port could not be bound, in words that help.
//!
//! A reader wants to know three things: who has the port, which one is free, and what to type.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    process,
};

use listeners::{Listener, Protocol, SocketState};

use super::local;
#[cfg(unix)]
use super::socket::SocketConflict;
use crate::{
    error::{Fatal, io_message},
    model::{forward::PortForward, ports::ListenIp},
};

/// An address that could not be bound, and why.
pub(super) type BindFailure = (SocketAddr, io::Error);

/// How many ports above the wanted one are tried. A hundred taken ones in a row are no accident that one more would end.
const PROBES: u16 = 100;
/// Below it a port may need privileges.
pub(super) const PRIVILEGED: u16 = 1024;
/// What is added to a privileged port to propose another: 80 becomes 8080, 443 becomes 8443.
pub(super) const INSTEAD_OF_PRIVILEGED: u16 = 8000;

const ANY_PORT: &str = "leave the local port empty for any free one, as in :80";

/// The error for a local address that could not be bound, one of those that were wanted. Looks at the system's sockets;
/// blocks for milliseconds.
pub(super) fn explain(address: SocketAddr, error: &io::Error, wanted: &[ListenIp]) -> Fatal {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => in_use(address, holder(address).as_ref(), nearest_free(wanted, port)),
        io::ErrorKind::PermissionDenied if port < PRIVILEGED => {
            let free = nearest_free(wanted, INSTEAD_OF_PRIVILEGED + port - 1);
            Fatal::new("fwd::port::privileged", format!("cannot listen on local port {port}"))
                .because(format!("ports below {PRIVILEGED} need privileges that this process does not have"))
                .help(other_port(port, free))
        }
        io::ErrorKind::AddrNotAvailable => {
            Fatal::new("fwd::port::not_local", format!("{} is not an address of this machine", address.ip()))
                .help("--address takes this machine's own addresses, 0.0.0.0 for all of them, or localhost")
        }
        _ => unexplained(address, error),
    }
}

/// The same without a look.
pub(super) fn unexplained(address: SocketAddr, error: &io::Error) -> Fatal {
    if error.kind() == io::ErrorKind::AddrInUse {
        return in_use(address, None, None);
    }
    Fatal::new("fwd::port::bind", format!("cannot listen on {address}"))
        .because(io_message(error))
        .help("try another address with --address, or another local port")
}

/// The error for a Unix socket that could not be bound.
#[cfg(unix)]
pub(super) fn explain_unix(path: &std::path::Path, taken: &SocketConflict) -> Fatal {
    let path = path.display();
    let why = match taken {
        SocketConflict::Unbound(error) => {
            return Fatal::new("fwd::socket::bind", format!("cannot listen on {path}"))
                .because(io_message(error))
                .help("its directory has to exist, and you need the right to write there");
        }
        SocketConflict::Live => "a process listens on it".to_owned(),
        SocketConflict::Full => "a process listens on it, and its queue of clients is full".to_owned(),
        SocketConflict::OtherKind => "a process uses it, as a socket of another type".to_owned(),
        SocketConflict::NoSocket(what) => {
            format!("it is {what}, and only a socket that nobody listens on is replaced")
        }
        SocketConflict::Unknown(error) => {
            format!("cannot find out whether a process listens on it: {}", io_message(error))
        }
        SocketConflict::NoLock(error) => {
            format!("cannot lock its directory: {}", io_message(error))
        }
    };
    Fatal::new("fwd::socket::in_use", format!("{path} exists already"))
        .because(why)
        .help(format!("remove {path} if nothing uses it, or choose another path"))
}

/// The error for a local address that another forward of the user has.
pub(super) fn held(local: &str, holder: &PortForward, free: Option<u16>) -> Fatal {
    let PortForward { id, target, remote_port, pid, .. } = holder;
    let who = if *pid == process::id() { "this process".to_owned() } else { format!("process {pid}") };
    let other = match free {
        Some(free) => format!("; or use {free}, which is free; or add --auto-port"),
        None => String::new(),
    };
    Fatal::new("fwd::port::in_use", format!("{local} is taken by another forward of yours"))
        .because(format!("{target}:{remote_port} ({id}, {who}) listens there"))
        .help(format!("stop it: kubectl fwd stop {id}; or take its place: add --replace{other}"))
}

fn in_use(address: SocketAddr, holder: Option<&PortHolder>, free: Option<u16>) -> Fatal {
    let port = address.port();
    let fatal = Fatal::new("fwd::port::in_use", format!("local port {port} is taken ({address})"));
    let fatal = match holder {
        Some(holder) if holder.pid == process::id() => fatal.because("this process listens on it already"),
        Some(PortHolder { pid, name, socket }) => {
            fatal.because(format!("{name} (process {pid}) listens on {socket}"))
        }
        None => fatal.because("another process listens on it; the system does not tell which"),
    };
    fatal.help(match free {
        Some(free) => format!("use {free} instead, which is free; or add --auto-port; or {ANY_PORT}"),
        None => ANY_PORT.to_owned(),
    })
}

/// What to do in place of `port`, for which `--auto-port` would look for no other.
fn other_port(port: u16, free: Option<u16>) -> String {
    match free {
        Some(free) => format!("use {free} instead of {port}; or {ANY_PORT}"),
        None => ANY_PORT.to_owned(),
    }
}

/// The ports above this one that are tried in its place.
pub(super) fn above(port: u16) -> impl Iterator<Item = u16> {
    (u32::from(port) + 1..=u32::from(port) + u32::from(PROBES)).map_while(|port| u16::try_from(port).ok())
}

/// The first of them that is free on every address that was wanted.
pub(super) fn nearest_free(wanted: &[ListenIp], port: u16) -> Option<u16> {
    above(port).find(|port| is_free(*port, wanted))
}

/// Whether all of these can be listened on.
pub(super) fn is_free(port: u16, ips: &[ListenIp]) -> bool {
    // All at once, for one must not be in the way of another. What the machine lacks is in nobody's way.
    let listen = |one: &ListenIp| (one.optional, local::listen(SocketAddr::new(one.ip, port)));
    let tried: Vec<_> = ips.iter().map(listen).collect();
    tried.iter().all(|(may_lack, tried)| match tried {
        Ok(_) => true,
        Err(error) => *may_lack && error.kind() != io::ErrorKind::AddrInUse,
    })
}

/// Who listens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PortHolder {
    pid: u32,
    name: String,
    socket: SocketAddr,
}

/// The process that listens where `wanted` would. `None` where the system does not tell: another user's process is
/// often invisible.
fn holder(wanted: SocketAddr) -> Option<PortHolder> {
    let all = listeners::get_all().ok()?;
    pick(all, wanted)
}

/// Every process that listens on this port of these IPs, as far as the system tells.
pub(super) fn holders(port: u16, ips: &[ListenIp]) -> Vec<u32> {
    let there = |one: &Listener| {
        one.protocol == Protocol::TCP
            && one.state == SocketState::Listen
            && one.socket.port() == port
            && ips.iter().any(|own| in_the_way(one.socket.ip(), own.ip))
    };
    let all = listeners::get_all().into_iter().flatten();
    all.filter(there).map(|one| one.process.pid).collect()
}

fn pick(all: impl IntoIterator<Item = Listener>, wanted: SocketAddr) -> Option<PortHolder> {
    all.into_iter()
        .filter(|one| one.protocol == Protocol::TCP && one.state == SocketState::Listen)
        .filter(|one| one.socket.port() == wanted.port() && in_the_way(one.socket.ip(), wanted.ip()))
        // The exact address before one that covers it, then the oldest process: the same answer each time.
        .min_by_key(|one| (one.socket.ip() != wanted.ip(), one.process.pid))
        .map(|one| PortHolder { pid: one.process.pid, name: one.process.name, socket: one.socket })
}

fn in_the_way(theirs: IpAddr, ours: IpAddr) -> bool {
    let (theirs, ours) = (theirs.to_canonical(), ours.to_canonical());
    // A listener on every IPv6 address usually takes IPv4 as well. Ours does not.
    theirs == ours
        || ours.is_unspecified() && ours.is_ipv4() == theirs.is_ipv4()
        || theirs.is_unspecified() && (theirs.is_ipv6() || ours.is_ipv4())
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error,
        net::{Ipv4Addr, Ipv6Addr, TcpListener},
    };

    use listeners::Process;
    use miette::Diagnostic;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn only(ip: IpAddr) -> Vec<ListenIp> {
        vec![ListenIp { ip, optional: false }]
    }

    fn listener(pid: u32, socket: &str, state: SocketState) -> Listener {
        let process = Process { pid, name: format!("p{pid}"), path: String::new() };
        Listener { process, socket: socket.parse().unwrap(), protocol: Protocol::TCP, state }
    }

    #[test]
    fn the_holder_is_the_one_that_listens_there() {
        use SocketState::{Established, Listen};
        let all = || {
            vec![
                listener(1, "127.0.0.1:8080", Established),
                listener(2, "0.0.0.0:8080", Listen),
                listener(3, "127.0.0.1:8080", Listen),
                listener(4, "127.0.0.2:8080", Listen),
                listener(5, "127.0.0.1:9090", Listen),
                listener(6, "[::]:7070", Listen),
                listener(7, "[::1]:6060", Listen),
            ]
        };
        for (wanted, pid) in [
            ("127.0.0.1:8080", Some(3)),
            ("127.0.0.3:8080", Some(2)),
            ("0.0.0.0:8080", Some(2)),
            ("[::1]:8080", None),
            ("[::]:8080", None),
            ("[::]:6060", Some(7)),
            ("0.0.0.0:7070", Some(6)),
            ("127.0.0.1:7070", Some(6)),
            ("127.0.0.1:6060", None),
            ("127.0.0.1:1", None),
        ] {
            let found = pick(all(), wanted.parse().unwrap()).map(|holder| holder.pid);
            assert_eq!(found, pid, "{wanted}");
        }
    }

    #[test]
    fn a_taken_port() {
        let taken = TcpListener::bind((HERE, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = TcpListener::bind(address).unwrap_err();
        let fatal = explain(address, &error, &only(HERE));
        assert_eq!(fatal.code(), "fwd::port::in_use");
        assert!(fatal.to_string().contains(&address.to_string()));
        #[cfg(target_os = "linux")]
        assert_eq!(
            fatal.source().map(ToString::to_string).as_deref(),
            Some("this process listens on it already")
        );
        let help = Diagnostic::help(&fatal).map(|help| help.to_string()).unwrap_or_default();
        assert!(help.contains("--auto-port") && help.contains(":80"), "{help}");
    }

    #[test]
    fn another_process_is_named() {
        let holder = PortHolder { pid: 7, name: "nginx".into(), socket: "0.0.0.0:80".parse().unwrap() };
        let fatal = in_use("127.0.0.1:80".parse().unwrap(), Some(&holder), None);
        let why = fatal.source().map(ToString::to_string);
        assert_eq!(why.as_deref(), Some("nginx (process 7) listens on 0.0.0.0:80"));
        let unknown = in_use("127.0.0.1:80".parse().unwrap(), None, None);
        assert!(unknown.source().is_some_and(|why| why.to_string().contains("does not tell")));
    }

    #[test]
    fn other_reasons() {
        for (address, kind, code) in [
            ("127.0.0.1:80", io::ErrorKind::PermissionDenied, "fwd::port::privileged"),
            ("127.0.0.1:8080", io::ErrorKind::PermissionDenied, "fwd::port::bind"),
            ("10.255.255.1:80", io::ErrorKind::AddrNotAvailable, "fwd::port::not_local"),
            ("127.0.0.1:80", io::ErrorKind::Unsupported, "fwd::port::bind"),
        ] {
            let fatal = explain(address.parse().unwrap(), &kind.into(), &only(HERE));
            assert_eq!(fatal.code(), code, "{address} {kind}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn unix_sockets() {
        let path = std::path::Path::new("/tmp/x.sock");
        for (taken, code) in [
            (SocketConflict::Live, "fwd::socket::in_use"),
            (SocketConflict::NoSocket("a directory"), "fwd::socket::in_use"),
            (SocketConflict::NoLock(io::ErrorKind::TimedOut.into()), "fwd::socket::in_use"),
            (SocketConflict::Unbound(io::ErrorKind::NotFound.into()), "fwd::socket::bind"),
        ] {
            assert_eq!(explain_unix(path, &taken).code(), code, "{taken:?}");
        }
        assert_eq!(io_message(&io::Error::from_raw_os_error(13)), "Permission denied");
    }

    #[test]
    fn the_nearest_free_port() {
        let taken = TcpListener::bind((HERE, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        // Taken on one of two addresses is taken.
        let both = [&only(HERE)[..], &only(Ipv4Addr::new(127, 0, 0, 2).into())[..]].concat();
        for wanted in [&both[..1], &both] {
            if let Some(free) = port.checked_sub(1).and_then(|below| nearest_free(wanted, below)) {
                assert!(free > port, "{free} is taken");
            }
            assert_eq!(nearest_free(wanted, u16::MAX), None);
        }
        // One must not be in the way of the other.
        let every = [only(Ipv4Addr::UNSPECIFIED.into()), only(Ipv6Addr::UNSPECIFIED.into())].concat();
        if local::listen((Ipv6Addr::UNSPECIFIED, 0).into()).is_ok() {
            assert!(nearest_free(&every, port).is_some());
        }
        // Not an address of this machine: nothing is free there, and nothing fails.
        assert_eq!(nearest_free(&only(Ipv4Addr::new(192, 0, 2, 1).into()), 8080), None);
    }
}
