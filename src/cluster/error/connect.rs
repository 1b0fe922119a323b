//! Why there is no connection.

use std::{error::Error, fmt, io, time::Duration};

use tower::BoxError;

/// How long a connection may take until TLS stands. A round trip around the world and a slow authentication proxy fit
/// in; a person's patience ends about here.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A part of dialling, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectStage {
    /// Finding the address of a proxy.
    FindProxy,
    /// A TCP connection to it.
    ReachProxy,
    /// TLS with the proxy itself.
    ProxyTls,
    /// Making it lead to the server.
    Proxy,
    /// Finding the server's address.
    Find,
    /// A TCP connection to it.
    Connect,
    /// The TLS handshake with the server.
    Tls,
}

impl ConnectStage {
    /// Whether the proxy is what fails.
    pub(super) fn is_of_the_proxy(self) -> bool {
        matches!(self, Self::FindProxy | Self::ReachProxy | Self::ProxyTls | Self::Proxy)
    }
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FindProxy => "looking up the proxy's name",
            Self::ReachProxy => "connecting to the proxy",
            Self::ProxyTls => "the TLS handshake with the proxy",
            Self::Proxy => "connecting through the proxy",
            Self::Find => "looking up the server's name",
            Self::Connect => "connecting",
            Self::Tls => "the TLS handshake",
        })
    }
}

/// The name of a host leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("unknown host")]
pub(in crate::cluster) struct UnknownHost(#[source] pub(in crate::cluster) io::Error);

/// Why there is no connection.
#[derive(Debug)]
pub struct ConnectError {
    /// Where it ended.
    pub stage: ConnectStage,
    /// What happened; `None` means that [`DIAL_TIMEOUT`] passed.
    pub cause: Option<BoxError>,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.stage;
        match self.cause {
            Some(_) => write!(f, "{stage} failed"),
            None => write!(f, "{stage} took longer than {} s", DIAL_TIMEOUT.as_secs()),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref() as _)
    }
}

/// Why a proxy does not lead to the server, in words.
#[derive(Debug, thiserror::Error)]
pub(in crate::cluster) enum ProxyError {
    /// It wants to know who asks.
    #[error("the proxy requires a user and a password ({0})")]
    NoUser(&'static str),
    /// It does not believe it.
    #[error("the proxy does not accept this user and password ({0})")]
    WrongUser(&'static str),
    /// It said no, and why.
    #[error("the proxy refuses to connect there ({0})")]
    Refused(String),
    /// It spoke, and not as such a proxy does.
    #[error("the proxy's answer is not {0}")]
    NoProxy(&'static str),
    /// It closed the connection.
    #[error("the proxy closed the connection")]
    Closed,
    /// It sent more than an answer.
    #[error("the proxy's answer has more than {0} KiB of headers")]
    TooLong(usize),
    /// It sends bytes as if they came from the server, which has not been asked anything.
    #[error("the proxy sent data before the connection was used")]
    Early,
    /// A name or a password that the protocol has no room for.
    #[error("the {0} is too long for a SOCKS proxy")]
    NoRoom(&'static str),
}
