//! The HTTP half: which protocol, or which refusal (PROTOCOL §1). Each hop refuses in its own words: the API server with
//! a JSON Status, kubelet and runtime with plain text, a proxy with a page.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};

use crate::node::Support;
use crate::serve::Body;
use crate::websocket;

/// What is spoken after the 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protocol {
    /// SPDY frames in a WebSocket.
    Tunnel,
    /// SPDY frames.
    Spdy,
    /// Channels in a WebSocket.
    Legacy {
        /// The ports, channels in this order.
        ports: Vec<u16>,
        /// Channel and payload as text.
        base64: bool,
    },
}

/// How long the API server tries to reach a node.
const NODE_TIMEOUT: Duration = Duration::from_secs(30);

const PORTFORWARD: &str = "portforward.k8s.io";
const BINARY_CHANNELS: &str = "v4.channel.k8s.io";
const BASE64_CHANNELS: &str = "v4.base64.channel.k8s.io";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// An answer that is not a 101, boxed as the rarer and larger outcome.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Box<Response<Body>>);

/// Agrees on a protocol and its 101, or refuses.
pub(super) fn negotiate<B>(
    request: &Request<B>,
    support: Support,
    uid: Option<&str>,
    has_sandbox: bool,
) -> Result<(Response<Body>, Protocol), Refusal> {
    let headers = request.headers();
    if !has_token(headers, &CONNECTION, "upgrade") || !headers.contains_key(UPGRADE) {
        return Err(status("Upgrade request required"));
    }
    if has_token(headers, &UPGRADE, "websocket") {
        return web_socket(request, support, uid, has_sandbox);
    }
    if support == Support::LegacyOnly {
        return Err(page(StatusCode::FORBIDDEN));
    }
    if !has_sandbox {
        return Err(no_sandbox(request, uid));
    }
    if !has_token(headers, &UPGRADE, "spdy/3.1") {
        return Err(text(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request"));
    }
    let offered = tokens(headers, &STREAM_PROTOCOL);
    if offered.is_empty() {
        let why = "unable to upgrade: header X-Stream-Protocol-Version does not exist";
        return Err(text(StatusCode::BAD_REQUEST, why));
    }
    if !offered.contains(&PORTFORWARD) {
        return Err(no_common_protocol(&offered));
    }
    let mut response = switching("SPDY/3.1");
    response.headers_mut().insert(STREAM_PROTOCOL, HeaderValue::from_static(PORTFORWARD));
    Ok((response, Protocol::Spdy))
}

fn web_socket<B>(
    request: &Request<B>,
    support: Support,
    uid: Option<&str>,
    has_sandbox: bool,
) -> Result<(Response<Body>, Protocol), Refusal> {
    if request.method() != Method::GET {
        return Err(text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
    }
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()) else {
        return Err(text(StatusCode::BAD_REQUEST, "Bad Request"));
    };
    let offered = tokens(request.headers(), &SEC_WEBSOCKET_PROTOCOL);
    let tunnel = offered.iter().find_map(|name| {
        let name = name.strip_prefix("SPDY/3.1+")?;
        name.ends_with(".k8s.io").then_some(name)
    });
    if let (Some(name), Support::Full) = (tunnel, support) {
        if !has_sandbox {
            return Err(no_sandbox(request, uid));
        }
        if name != PORTFORWARD {
            return Err(no_common_protocol(&[name]));
        }
        let protocol = HeaderValue::from_static("SPDY/3.1+portforward.k8s.io");
        return Ok((web_socket_switching(key, Some(protocol)), Protocol::Tunnel));
    }
    let chosen = offered.iter().find(|name| [BINARY_CHANNELS, BASE64_CHANNELS].contains(name)).copied();
    // A tunnel is not among the protocols of a server that does not know it, but it gets no further than its ports.
    if chosen.is_none() && tunnel.is_none() && !offered.is_empty() {
        return Err(text(StatusCode::FORBIDDEN, "Forbidden"));
    }
    let ports = ports(request.uri().query().unwrap_or_default())
        .map_err(|why| text(StatusCode::BAD_REQUEST, &why))?;
    if tunnel.is_some() && chosen.is_none() {
        return Err(text(StatusCode::FORBIDDEN, "Forbidden"));
    }
    if !has_sandbox {
        return Err(no_sandbox(request, uid));
    }
    let protocol = chosen.and_then(|name| HeaderValue::from_str(name).ok());
    let base64 = chosen == Some(BASE64_CHANNELS);
    Ok((web_socket_switching(key, protocol), Protocol::Legacy { ports, base64 }))
}

/// The ports of a query: `ports` (or the `port` that the API server makes of it), repeated or with commas.
fn ports(query: &str) -> Result<Vec<u16>, String> {
    let query = query.replace("%2C", ",").replace("%2c", ",");
    let values = query.split('&').filter_map(|pair| pair.split_once('='));
    let values = values.filter(|(name, _)| matches!(*name, "ports" | "port"));
    let mut ports = Vec::new();
    for value in values.flat_map(|(_, value)| value.split(',')) {
        match value.parse() {
            Ok(port) if port > 0 => ports.push(port),
            _ => return Err(format!("unable to parse {value:?} as a port")),
        }
    }
    if ports.is_empty() {
        return Err("query parameter \"port\" is required".to_owned());
    }
    Ok(ports)
}

/// What the API server says of a node that does not answer, and when.
pub(super) async fn node_out_of_reach() -> Response<Body> {
    tokio::time::sleep(NODE_TIMEOUT).await;
    let message = "error dialing backend: dial tcp 192.0.2.1:10250: i/o timeout";
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "code": 500,
    });
    *answer(StatusCode::INTERNAL_SERVER_ERROR, "application/json", status.to_string()).0
}

/// Kubelet's words for a pod it runs nothing of.
fn no_sandbox<B>(request: &Request<B>, uid: Option<&str>) -> Refusal {
    let mut path = request.uri().path().split('/').skip_while(|part| *part != "namespaces").skip(1);
    let namespace = path.next().unwrap_or_default();
    let pod = path.nth(1).unwrap_or_default();
    let why = match uid {
        None => format!("pod not found (\"{pod}_{namespace}\")"),
        Some(uid) => format!("failed to find sandboxID for pod \"{pod}_{namespace}({uid})\""),
    };
    text(StatusCode::INTERNAL_SERVER_ERROR, &why)
}

fn no_common_protocol(offered: &[&str]) -> Refusal {
    let offered = offered.join(" ");
    let why = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{offered}], server accepts [{PORTFORWARD}]"
    );
    let mut response = text(StatusCode::FORBIDDEN, &why);
    response.0.headers_mut().insert(ACCEPTED_PROTOCOLS, HeaderValue::from_static(PORTFORWARD));
    response
}

fn switching(upgrade: &'static str) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(upgrade));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response
}

fn web_socket_switching(key: &str, protocol: Option<HeaderValue>) -> Response<Body> {
    let mut response = switching("websocket");
    if let Ok(accept) = HeaderValue::from_str(&websocket::accept(key)) {
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The API server's 400.
fn status(message: &str) -> Refusal {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "BadRequest", "code": 400,
    });
    answer(StatusCode::BAD_REQUEST, "application/json", status.to_string())
}

/// Kubelet's and the runtime's refusals.
fn text(status: StatusCode, why: &str) -> Refusal {
    answer(status, "text/plain; charset=utf-8", format!("{why}\n"))
}

/// What a proxy that does not know the upgrade answers.
fn page(status: StatusCode) -> Refusal {
    answer(status, "text/html", format!("<html><body><h1>{status}</h1></body></html>\n"))
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Refusal {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Refusal(Box::new(response))
}

/// The comma-separated values of a header, however often it comes.
fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty()).collect()
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).iter().any(|value| value.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const TUNNEL: (&str, &str) = ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io");
    const CHANNELS: (&str, &str) = ("sec-websocket-protocol", "v4.channel.k8s.io");
    const WEBSOCKET: &[(&str, &str)] =
        &[("connection", "keep-alive, upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "a2V5")];
    const SPDY: &[(&str, &str)] = &[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];

    fn ask(
        method: Method,
        query: &str,
        headers: &[&[(&str, &str)]],
        support: Support,
    ) -> Result<Protocol, StatusCode> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/namespaces/shop/pods/web-0/portforward{query}"));
        for (name, value) in headers.concat() {
            request = request.header(name, value);
        }
        let agreed = negotiate(&request.body(()).unwrap(), support, Some("uid"), true);
        agreed.map(|(_, protocol)| protocol).map_err(|refusal| refusal.0.status())
    }

    fn legacy(ports: &[u16]) -> Protocol {
        Protocol::Legacy { ports: ports.to_vec(), base64: false }
    }

    #[test]
    fn the_best_protocol_offered_is_taken() {
        let full = Support::Full;
        assert_eq!(ask(Method::GET, "", &[WEBSOCKET, &[TUNNEL]], full), Ok(Protocol::Tunnel));
        assert_eq!(ask(Method::GET, "", &[WEBSOCKET, &[CHANNELS, TUNNEL]], full), Ok(Protocol::Tunnel));
        assert_eq!(ask(Method::GET, "?ports=80,81&ports=82", &[WEBSOCKET], full), Ok(legacy(&[80, 81, 82])));
        let spdy = [("x-stream-protocol-version", "portforward.k8s.io")];
        assert_eq!(ask(Method::POST, "", &[SPDY, &spdy], full), Ok(Protocol::Spdy));
        assert_eq!(ask(Method::GET, "", &[SPDY, &spdy], full), Ok(Protocol::Spdy));
    }

    #[test]
    fn refusals_have_the_codes_of_the_real_server() {
        let full = Support::Full;
        let plain = [("sec-websocket-protocol", "portforward.k8s.io")];
        let other = [("x-stream-protocol-version", "other")];
        assert_eq!(ask(Method::GET, "", &[WEBSOCKET, &plain], full), Err(StatusCode::FORBIDDEN));
        assert_eq!(ask(Method::POST, "", &[WEBSOCKET, &[TUNNEL]], full), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(ask(Method::GET, "", &[WEBSOCKET, &[CHANNELS]], full), Err(StatusCode::BAD_REQUEST));
        assert_eq!(ask(Method::POST, "", &[], full), Err(StatusCode::BAD_REQUEST));
        assert_eq!(ask(Method::POST, "", &[SPDY], full), Err(StatusCode::BAD_REQUEST));
        assert_eq!(ask(Method::POST, "", &[SPDY, &other], full), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn refusals_have_the_words_of_the_real_server() {
        let words = |support, has_sandbox, uid| {
            let mut request = Request::builder().uri("/api/v1/namespaces/shop/pods/web-0/portforward");
            for (name, value) in [WEBSOCKET, &[TUNNEL]].concat() {
                request = request.header(name, value);
            }
            let refusal = negotiate(&request.body(()).unwrap(), support, uid, has_sandbox).unwrap_err();
            let body = refusal.0.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
            String::from_utf8(body.to_vec()).unwrap()
        };
        assert_eq!(words(Support::NoTunnel, true, Some("1")), "query parameter \"port\" is required\n");
        assert_eq!(words(Support::Full, false, None), "pod not found (\"web-0_shop\")\n");
        let gone = words(Support::Full, false, Some("1"));
        assert_eq!(gone, "failed to find sandboxID for pod \"web-0_shop(1)\"\n");
    }

    #[test]
    fn lesser_servers_leave_lesser_protocols() {
        let spdy = [("x-stream-protocol-version", "portforward.k8s.io")];
        let old = Support::NoTunnel;
        assert_eq!(ask(Method::GET, "", &[WEBSOCKET, &[TUNNEL]], old), Err(StatusCode::BAD_REQUEST));
        assert_eq!(ask(Method::POST, "", &[SPDY, &spdy], old), Ok(Protocol::Spdy));
        let proxied = Support::LegacyOnly;
        assert_eq!(ask(Method::GET, "", &[WEBSOCKET, &[TUNNEL]], proxied), Err(StatusCode::BAD_REQUEST));
        assert_eq!(ask(Method::POST, "", &[SPDY, &spdy], proxied), Err(StatusCode::FORBIDDEN));
        assert_eq!(ask(Method::GET, "?ports=80", &[WEBSOCKET, &[CHANNELS]], proxied), Ok(legacy(&[80])));
    }
}
