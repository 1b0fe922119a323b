//! How a session ends.

use std::io;

use super::websocket;
use crate::spdy::frame;

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    /// Its last handle and stream are gone.
    #[error("no longer needed")]
    Unneeded,
    /// A bulk stream was given up, and no other is left. The runtime would go on sending it for a second
    /// (PROTOCOL §0.6); dialling anew costs less.
    #[error("a transfer was given up")]
    Abandoned,
    /// The connection ended, in order or not.
    #[error("the server closed the connection")]
    Eof,
    /// GOAWAY.
    #[error("the server ended the session")]
    GoAway,
    /// A WebSocket Close with this status.
    #[error("the server closed the tunnel (WebSocket status {0})")]
    WebSocketClose(u16),
    /// No byte came for this many seconds, pings notwithstanding.
    #[error("no answer for {0} s")]
    Silence(u64),
    /// The transport failed.
    #[error("{0}")]
    Io(String),
    /// What came is not SPDY.
    #[error("protocol error from the server: {0}")]
    Frame(#[from] frame::FrameError),
    /// What came is not WebSocket.
    #[error("protocol error from the server: {0}")]
    WebSocket(#[from] websocket::WebSocketError),
    /// The driver's task panicked.
    #[error("the session's task failed")]
    Panicked,
}

impl From<io::Error> for SessionEnd {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // TLS without a close_notify, as an API server leaves when it restarts.
            io::ErrorKind::UnexpectedEof => Self::Eof,
            io::ErrorKind::ConnectionReset => Self::Io("the connection was reset".to_owned()),
            io::ErrorKind::TimedOut => Self::Io("the connection timed out".to_owned()),
            _ => Self::Io(error.to_string()),
        }
    }
}
