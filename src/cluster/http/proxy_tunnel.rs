//! Making a proxy lead to the server: `CONNECT` of an HTTP proxy, and SOCKS5 (RFC 1928, RFC 1929).
//!
//! The caller limits the time. What a proxy says when it does not lead there is kept, since it is all that there is to tell.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header, uri::Authority};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};
use tower::BoxError;

use super::io::Io;
use crate::cluster::error::connect::ProxyError;

/// How much of an answer to `CONNECT` is read, all its headers together. Some proxies send their policies along. hyper looks
/// after each read, the last of which may double it.
const MAX_ANSWER: usize = 64 * 1024;

/// How many headers it may have. As many as fit in, were they as short as headers are.
const MAX_HEADERS: usize = 1024;

/// Asks an HTTP proxy for a connection to `server`.
pub(in crate::cluster) async fn connect(
    io: Io,
    server: &Authority,
    authorization: Option<HeaderValue>,
) -> Result<Io, BoxError> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(server.as_str())
        .header(header::HOST, server.as_str())
        .body(Empty::<Bytes>::new())?;
    if let Some(value) = &authorization {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, value.clone());
    }
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_ANSWER).max_headers(MAX_HEADERS);
    let (mut sender, connection) = http.handshake(TokioIo::new(io)).await?;
    // The connection ends with this function, unless it has become the tunnel.
    let mut connections = JoinSet::new();
    connections.spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await.map_err(not_http)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            return Err(refused_user("407", authorization.as_ref()).into());
        }
        status => return Err(ProxyError::Refused(status.to_string()).into()),
    }
    let upgraded = hyper::upgrade::on(answer).await?;
    let parts = upgraded.downcast::<TokioIo<Io>>().map_err(|_| "another connection came back")?;
    if parts.read_buf.is_empty() { Ok(parts.io.into_inner()) } else { Err(ProxyError::Early.into()) }
}

/// The proxy did not let in this user, or nobody.
fn refused_user<U>(how: &'static str, user: Option<&U>) -> ProxyError {
    user.map_or(ProxyError::NoUser(how), |_| ProxyError::WrongUser(how))
}

fn not_http(error: hyper::Error) -> BoxError {
    // hyper has a name for it for servers only.
    if error.is_parse() && error.to_string().contains("too large") {
        ProxyError::TooLong(MAX_ANSWER / 1024).into()
    } else if error.is_parse() {
        ProxyError::NoProxy("HTTP").into()
    } else if error.is_incomplete_message() {
        ProxyError::Closed.into()
    } else {
        error.into()
    }
}

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;

/// Asks a SOCKS5 proxy for a connection to this host, whose name is the proxy's to find.
pub(super) async fn socks(
    io: &mut Io,
    host: &str,
    port: u16,
    user: Option<(String, String)>,
) -> Result<(), BoxError> {
    // As Go does it: a proxy may let in whom it could have asked.
    let methods: &[u8] =
        if user.is_some() { &[NO_AUTHENTICATION, USER_AND_PASSWORD] } else { &[NO_AUTHENTICATION] };
    io.write_all(&[&[VERSION, methods.len() as u8], methods].concat()).await?;
    match (read::<2>(io).await?, user) {
        ([VERSION, NO_AUTHENTICATION], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some((name, password))) => {
            let request = [&[1][..], &counted("user", &name)?, &counted("password", &password)?].concat();
            io.write_all(&request).await?;
            if read::<2>(io).await?[1] != 0 {
                return Err(ProxyError::WrongUser("SOCKS").into());
            }
        }
        ([VERSION, _], user) => return Err(refused_user("SOCKS", user.as_ref()).into()),
        _ => return Err(ProxyError::NoProxy("SOCKS5").into()),
    }
    let address = match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => [&[1][..], &address.octets()].concat(),
        Ok(IpAddr::V6(address)) => [&[4][..], &address.octets()].concat(),
        Err(_) => [&[3][..], &counted("host's name", host)?].concat(),
    };
    io.write_all(&[&[VERSION, 1, 0][..], &address, &port.to_be_bytes()].concat()).await?;
    let [version, reply, _, kind] = read(io).await?;
    match (version, reply) {
        (VERSION, 0) => {}
        (VERSION, code) => return Err(ProxyError::Refused(reply_words(code)).into()),
        _ => return Err(ProxyError::NoProxy("SOCKS5").into()),
    }
    // The address that it connected from is of no interest.
    let length = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(read::<1>(io).await?[0]),
        _ => return Err(ProxyError::NoProxy("SOCKS5").into()),
    };
    let mut rest = vec![0; length + 2];
    io.read_exact(&mut rest).await.map_err(closed)?;
    Ok(())
}

async fn read<const N: usize>(io: &mut Io) -> Result<[u8; N], BoxError> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await.map_err(closed)?;
    Ok(bytes)
}

fn closed(error: std::io::Error) -> BoxError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ProxyError::Closed.into(),
        _ => error.into(),
    }
}

fn counted(what: &'static str, text: &str) -> Result<Vec<u8>, ProxyError> {
    let length = u8::try_from(text.len()).map_err(|_| ProxyError::NoRoom(what))?;
    Ok([&[length], text.as_bytes()].concat())
}

fn reply_words(code: u8) -> String {
    let words = match code {
        1 => "it failed",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "timed out",
        7 => "it does not support CONNECT",
        8 => "it does not support this kind of address",
        code => return format!("SOCKS reply {code}"),
    };
    words.to_owned()
}

#[cfg(test)]
#[path = "proxied_tests.rs"]
mod tests;
