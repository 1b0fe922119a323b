//! Upgrades that go wrong although all was agreed on: of what a proxy, an API server or a runtime in trouble does.

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use kubectl_fwd::spdy::frame::{put_goaway, put_ping};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Runtime;
use crate::serve::{self, Body};
use crate::websocket;

/// What becomes of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeFault {
    /// It is never answered.
    Unanswered,
    /// It is refused by a 503, and the rest of the body never comes.
    HalfRefused,
    /// After the 101 the connection is closed.
    Closed,
    /// After the 101 comes a GOAWAY, and then the end.
    GoAway,
    /// After the 101 come the WebSocket's pings without end, and nothing is read.
    WebSocketPings,
    /// The same with pings of SPDY.
    SpdyPings,
}

/// An upgrade fault that is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) what: UpgradeFault,
    /// For ever without.
    pub(super) times: Option<u32>,
}

/// Bytes of a flood that are written at once.
const CHUNK: usize = 64 * 1024;

/// A refusal that begins and does not go on.
pub(crate) async fn half_refused() -> Response<Body> {
    let (sender, mut response) = serve::stream();
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let _ = sender.send(Bytes::from_static(b"no way to the node, as it")).await;
    tokio::spawn(async move { sender.closed().await });
    response
}

impl UpgradeFault {
    /// What it does with an upgraded connection.
    pub(crate) async fn run(
        self,
        mut io: impl AsyncRead + AsyncWrite + Unpin,
        tunnel: bool,
        runtime: &Runtime,
    ) {
        let message = self.message(tunnel);
        let floods = matches!(self, Self::WebSocketPings | Self::SpdyPings);
        while io.write_all(&message).await.is_ok() && floods {
            runtime.flooded(message.len());
        }
        let _ = io.shutdown().await;
    }

    /// What it says.
    fn message(self, tunnel: bool) -> Vec<u8> {
        let mut spdy = BytesMut::new();
        match self {
            Self::Unanswered | Self::HalfRefused | Self::Closed => {}
            Self::WebSocketPings => return [0x89, 0].repeat(CHUNK / 2),
            Self::GoAway => put_goaway(&mut spdy, 0, 0),
            Self::SpdyPings => {
                // Of a server's own parity, or they would be answers.
                for id in 1..=(CHUNK / 12) as u32 {
                    put_ping(&mut spdy, 2 * id);
                }
            }
        }
        let mut rope = Vec::new();
        if tunnel && !spdy.is_empty() {
            websocket::put_binary(&mut rope, spdy.freeze());
        } else {
            rope.push(spdy.freeze());
        }
        rope.concat()
    }
}
