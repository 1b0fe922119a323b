//! The HTTP half: one request, one upgraded connection (PROTOCOL §1, §7).
//!
//! Nothing is sent behind the request's head before the 101: bytes that come early are lost (§1).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use kube::{client::Body, core::Status};
use tokio::time::timeout;

use super::{
    protocol::{Protocol, UpgradeRefusal},
    websocket,
};
use crate::{cluster::http::io::Io, model::endpoint::PodId};

/// Subprotocols of the tunnel, best first. KEP-4006 plans a `v2.portforward.k8s.io` that carries the same frames
/// (PROTOCOL §9).
const TUNNEL_SUBPROTOCOLS: &str = "SPDY/3.1+portforward.k8s.io";

/// The legacy subprotocol, binary (PROTOCOL §5).
const LEGACY_SUBPROTOCOL: &str = "v4.channel.k8s.io";

/// The protocol inside plain SPDY (PROTOCOL §1).
const STREAM_PROTOCOL: &str = "portforward.k8s.io";

/// What is read of a refusal's body: a Status is a few hundred bytes, a proxy's page may be anything.
const MAX_REFUSAL: usize = 16 * 1024;

/// How long a refusal's body is waited for. It follows its head at once; what has not come by then is left out.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no upgraded connection.
#[derive(Debug)]
pub enum UpgradeError {
    /// The server answered something else.
    Refused(UpgradeRefusal),
    /// The server was not reached, or the connection broke before an answer.
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
}

/// An upgraded connection, and what was read past the answer's head.
pub struct Upgraded {
    /// The connection below HTTP.
    pub io: Io,
    /// Its first inbound bytes.
    pub early: Bytes,
}

/// Asks for an upgrade to `protocol` for `pod`. `port` goes into the request of the legacy protocol only.
pub async fn upgrade(
    client: &kube::Client,
    pod: &PodId,
    protocol: Protocol,
    port: u16,
) -> Result<Upgraded, UpgradeError> {
    let key = websocket::new_key();
    let request =
        request(pod, protocol, port, &key).map_err(|error| UpgradeError::Unreachable(error.into()))?;
    let mut response = client.send(request).await.map_err(|error| UpgradeError::Unreachable(error.into()))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpgradeError::Refused(refusal(response).await));
    }
    if !is_wanted(response.headers(), protocol, &key) {
        let status = StatusCode::SWITCHING_PROTOCOLS;
        let nothing =
            UpgradeRefusal { status, kubernetes_status: None, text: String::new(), retry_after: None };
        return Err(UpgradeError::Refused(nothing));
    }
    let upgraded =
        hyper::upgrade::on(&mut response).await.map_err(|error| UpgradeError::Unreachable(error.into()))?;
    match upgraded.downcast::<TokioIo<Io>>() {
        Ok(parts) => Ok(Upgraded { io: parts.io.into_inner(), early: parts.read_buf }),
        Err(_) => Err(UpgradeError::Unreachable("the upgraded connection is not one of ours".into())),
    }
}

fn request(pod: &PodId, protocol: Protocol, port: u16, key: &str) -> Result<Request<Body>, http::Error> {
    let path = format!("/api/v1/namespaces/{}/pods/{}/portforward", pod.namespace, pod.name);
    let request = Request::builder().header(header::CONNECTION, "Upgrade");
    let websocket = |request: http::request::Builder, subprotocol| {
        request
            .method(Method::GET)
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, subprotocol)
    };
    let request = match protocol {
        Protocol::WebSocketTunnel => websocket(request, TUNNEL_SUBPROTOCOLS).uri(path),
        Protocol::LegacyWebSocket => {
            websocket(request, LEGACY_SUBPROTOCOL).uri(format!("{path}?ports={port}"))
        }
        Protocol::Spdy => request
            .method(Method::POST)
            .uri(path)
            .header(header::UPGRADE, "SPDY/3.1")
            .header("X-Stream-Protocol-Version", STREAM_PROTOCOL)
            .header(header::CONTENT_LENGTH, "0"),
    };
    request.body(Body::empty())
}

/// Whether a 101 is to what was asked for. Values are compared as lists of tokens in any case: proxies rewrite them.
fn is_wanted(headers: &HeaderMap, protocol: Protocol, key: &str) -> bool {
    let has = |name: &str, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !has("connection", "upgrade") {
        return false;
    }
    let websocket = |subprotocol| {
        has("upgrade", "websocket")
            && has("sec-websocket-protocol", subprotocol)
            && headers.get("sec-websocket-accept").and_then(|value| value.to_str().ok())
                == Some(websocket::accept_for(key).as_str())
    };
    match protocol {
        Protocol::WebSocketTunnel => websocket(TUNNEL_SUBPROTOCOLS),
        Protocol::LegacyWebSocket => websocket(LEGACY_SUBPROTOCOL),
        Protocol::Spdy => has("upgrade", "SPDY/3.1") && has("x-stream-protocol-version", STREAM_PROTOCOL),
    }
}

async fn refusal(response: Response<Body>) -> UpgradeRefusal {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value: &HeaderValue| value.to_str().ok()?.parse().ok());
    let body = beginning(response.into_body()).await;
    let said =
        serde_json::from_slice::<Status>(&body).ok().filter(|said| !said.message.is_empty()).map(Box::new);
    let text = String::from_utf8_lossy(&body).lines().next().unwrap_or_default().to_owned();
    UpgradeRefusal { status, kubernetes_status: said, text, retry_after }
}

/// What comes of a body, up to its limits.
async fn beginning(mut body: Body) -> Vec<u8> {
    let mut beginning = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await
            && beginning.len() < MAX_REFUSAL
        {
            let data = frame.into_data().unwrap_or_default();
            beginning.extend_from_slice(&data[..data.len().min(MAX_REFUSAL - beginning.len())]);
        }
    };
    let _ = timeout(REFUSAL_TIMEOUT, read).await;
    beginning
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
    }

    #[test]
    fn accepts_a_101_in_any_dress() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let good = [
            ("connection", "keep-alive, upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        assert!(is_wanted(&headers(&good), Protocol::WebSocketTunnel, key));
        assert!(!is_wanted(&headers(&good), Protocol::LegacyWebSocket, key));
        assert!(!is_wanted(&headers(&good), Protocol::Spdy, key));
        assert!(!is_wanted(&headers(&good), Protocol::WebSocketTunnel, "b3RoZXI="));
        let spdy = [
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "portforward.k8s.io"),
        ];
        assert!(is_wanted(&headers(&spdy), Protocol::Spdy, key));
    }
}
