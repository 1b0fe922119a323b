//! The local side: listeners and the connections they accept, TCP or Unix, behind one shape.

use std::{io, net::SocketAddr, time::Duration};

use bytes::BufMut;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::{
    io::{Interest, Ready},
    net::{TcpListener, TcpStream},
};

#[cfg(unix)]
use super::{
    socket::{self, SocketConflict, SocketFile},
    unread::UnreadByte,
};

/// Connections that may wait to be accepted. The system has a limit of its own below it.
const BACKLOG: i32 = 4096;

/// When a client of whom nothing is heard is asked whether it is still there, by its system, and how often before it counts
/// as gone. One that closes while its application reads nothing is not told from one that waits for an answer: only its
/// system knows, once it has forgotten the connection, which on Linux takes it a minute or a few.
const CLIENT_KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));

/// A bound local address.
pub(super) enum LocalListener {
    Tcp(TcpListener),
    /// And its file, which is removed before it is closed.
    #[cfg(unix)]
    Unix(#[expect(dead_code, reason = "held for its drop")] SocketFile, UnixListener),
}

/// An accepted connection.
pub(super) enum LocalStream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream, UnreadByte),
}

/// Listens on a TCP address. On an IPv6 one to IPv6 alone, as Go does with an address that is written out: `::` leaves
/// IPv4 to `0.0.0.0`, whichever of the two is bound first and whatever the system's default is.
pub(super) fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier listener that are not over yet are no conflict. Windows knows none of that, and would
    // share the port with another listener.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Connections have it from their listener.
    socket.set_tcp_keepalive(&CLIENT_KEEPALIVE)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

impl LocalListener {
    /// Binds a TCP address. Inside the runtime only.
    pub(super) fn tcp(address: SocketAddr) -> io::Result<Self> {
        let socket = listen(address)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into()).map(Self::Tcp)
    }

    /// Binds a Unix socket.
    #[cfg(unix)]
    pub(super) async fn unix(path: &std::path::Path) -> Result<Self, SocketConflict> {
        let (file, listener) = socket::bind(path).await?;
        Ok(Self::Unix(file, listener))
    }

    /// The address it is bound to, for TCP.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(..) => None,
        }
    }

    /// Accepts the next connection.
    pub(super) async fn accept(&self) -> io::Result<LocalStream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A client may be gone already, and macOS refuses the option then. Reading tells that it is.
                let _ = stream.set_nodelay(true);
                Ok(LocalStream::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(_, listener) => {
                Ok(LocalStream::Unix(listener.accept().await?.0, UnreadByte::default()))
            }
        }
    }
}

/// Calls the same method on either kind of stream.
macro_rules! on_stream {
    ($local:expr, $stream:ident => $call:expr) => {
        match $local {
            LocalStream::Tcp($stream) => $call,
            #[cfg(unix)]
            LocalStream::Unix($stream, _) => $call,
        }
    };
}

impl LocalStream {
    /// Where it comes from, for people.
    pub(super) fn peer(&self) -> String {
        match self {
            Self::Tcp(stream) => stream
                .peer_addr()
                .map_or_else(|_| "a client that is gone".to_owned(), |peer| peer.to_string()),
            #[cfg(unix)]
            Self::Unix(..) => "a client of the Unix socket".to_owned(),
        }
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        on_stream!(self, stream => stream.readable().await)
    }

    /// Waits for what `interest` names. Of it, `Interest::ERROR` tells that the client has reset the connection, whether
    /// or not there is something to read.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        on_stream!(self, stream => stream.ready(interest).await)
    }

    /// Whether the client has reset the connection, as far as is known. To be asked once.
    pub(super) fn has_failed(&self) -> bool {
        !matches!(on_stream!(self, stream => stream.take_error()), Ok(None))
    }

    pub(super) fn try_read(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer),
            #[cfg(unix)]
            Self::Unix(stream, unread) => unread.read(stream, buffer),
        }
    }

    pub(super) fn try_write(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        on_stream!(self, stream => stream.try_write_vectored(pieces))
    }

    /// Says that nothing more comes.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        on_stream!(self, stream => socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write))
    }

    /// Once this is dropped it looks reset to the client, which cannot be taken for the end of an answer.
    pub(super) fn reset_when_dropped(&self) {
        match self {
            Self::Tcp(stream) => {
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            #[cfg(unix)]
            Self::Unix(_, unread) => unread.keep(),
        }
    }

    /// Once this is dropped it looks closed in order.
    pub(super) fn close_when_dropped(&self) {
        match self {
            Self::Tcp(stream) => {
                let _ = socket2::SockRef::from(stream).set_linger(None);
            }
            #[cfg(unix)]
            Self::Unix(stream, unread) => unread.release(stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn a_client_is_asked_whether_it_is_still_there() {
        let listener = LocalListener::tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let client = TcpStream::connect(listener.address().unwrap()).await.unwrap();
        let LocalStream::Tcp(accepted) = listener.accept().await.unwrap() else { panic!("it is TCP") };
        assert!(SockRef::from(&accepted).keepalive().unwrap());
        drop(client);
    }
}
