//! One connection to the API server: TCP, a proxy where there is one, TLS where the URL says so.
//!
//! Both clients dial here, so both get the same socket options and share one TLS configuration: the second
//! connection resumes the first one's session. Dialling is timed as a whole, because a server that accepts and then
//! says nothing is as gone as one that does not accept.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri, uri::Authority};
use hyper_util::{
    client::legacy::connect::{
        Connected, Connection, HttpConnector,
        proxy::{SocksV5, Tunnel},
    },
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::{BoxError, Service, ServiceExt as _};

use crate::descriptors::{descriptors, is_shortage};

/// How long a connection may take until TLS stands. A round trip around the world and a slow authentication proxy fit
/// in; a person's patience ends about here.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence after which TCP asks whether the peer lives, and how often it asks again.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 2;

/// How long sent bytes may go unacknowledged (Linux): the default is some 15 minutes, which is how long kubectl hangs
/// after a network change.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// A dialled connection, as the tunnels get it back from hyper.
#[derive(Debug)]
pub enum Io {
    /// Plain TCP, or a plain tunnel through a proxy.
    Tcp(TcpStream),
    /// TLS over TCP, or over what a proxy leads to.
    Tls(Box<TlsStream<Self>>),
}

impl Io {
    /// The socket at the bottom: the server's, or the proxy's.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0.socket(),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

// What hyper's connection pool wants to know; there is nothing to tell.
impl Connection for Io {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Which part of dialling failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Finding the host and opening a TCP connection to it.
    Connect,
    /// Making a proxy lead to the server.
    Proxy,
    /// The TLS handshake.
    Tls,
}

/// Why there is no connection.
#[derive(Debug)]
pub struct DialError {
    /// Where it ended.
    pub stage: Stage,
    /// What happened; `None` means that [`DIAL_TIMEOUT`] passed.
    pub cause: Option<BoxError>,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Connect => "connecting",
            Stage::Proxy => "connecting through the proxy",
            Stage::Tls => "the TLS handshake",
        };
        match self.cause {
            Some(_) => write!(f, "{stage} failed"),
            None => write!(f, "{stage} took longer than {} s", DIAL_TIMEOUT.as_secs()),
        }
    }
}

impl Error for DialError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref() as _)
    }
}

/// Dials one server.
pub(super) struct Dialer {
    /// The server with its port spelled out.
    server: Uri,
    server_name: ServerName<'static>,
    proxy: Option<Proxy>,
    tls: RwLock<Arc<ClientConfig>>,
}

/// A proxy, taken apart.
#[derive(Clone)]
struct Proxy {
    /// Without the user, with the port.
    uri: Uri,
    user: Option<(String, String)>,
}

impl Dialer {
    /// `server_name` is `tls-server-name`. Errors are words for a person.
    pub(super) fn new(
        server: &Uri,
        server_name: Option<&str>,
        proxy: Option<&Uri>,
        tls: ClientConfig,
    ) -> Result<Self, String> {
        let name = server_name.or_else(|| server.host()).unwrap_or_default();
        let server_name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
            .map_err(|_| format!("'{name}' is no name that a certificate can be checked against"))?;
        Ok(Self {
            server: bare(server).ok_or("the server's URL is not usable")?,
            server_name,
            proxy: proxy.map(|uri| Proxy::new(uri).ok_or("the proxy's URL is not usable")).transpose()?,
            tls: RwLock::new(Arc::new(tls)),
        })
    }

    /// From now on, dial with another client certificate.
    pub(super) fn set_tls(&self, tls: ClientConfig) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tls);
    }

    /// One new connection.
    pub(super) async fn dial(&self) -> Result<Io, DialError> {
        let mut stage = Stage::Connect;
        let result = tokio::time::timeout(DIAL_TIMEOUT, self.dial_in_stages(&mut stage)).await;
        match result {
            Ok(Ok(io)) => Ok(io),
            Ok(Err(cause)) => Err(DialError { stage, cause: Some(cause) }),
            Err(_) => Err(DialError { stage, cause: None }),
        }
    }

    async fn dial_in_stages(&self, stage: &mut Stage) -> Result<Io, BoxError> {
        let tls = Arc::clone(&self.tls.read().unwrap_or_else(PoisonError::into_inner));
        let plain = match &self.proxy {
            None => tcp(self.server.clone()).await?,
            Some(proxy) => {
                *stage = Stage::Proxy;
                proxy.lead_to(self.server.clone(), Arc::clone(&tls)).await?
            }
        };
        if self.server.scheme_str() == Some("http") {
            return Ok(plain);
        }
        *stage = Stage::Tls;
        encrypt(plain, tls, self.server_name.clone()).await
    }
}

async fn encrypt(plain: Io, tls: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Io, BoxError> {
    Ok(Io::Tls(Box::new(TlsConnector::from(tls).connect(name, plain).await?)))
}

/// TCP to the host of `uri`.
async fn tcp(uri: Uri) -> Result<Io, BoxError> {
    match race(uri.clone()).await {
        // Clients have all descriptors, and none of them is served without this one.
        Err(error) if is_shortage(error.as_ref()) => {
            let _loan = descriptors().lend();
            race(uri).await
        }
        dialled => dialled,
    }
}

/// IPv4 and IPv6 racing.
async fn race(uri: Uri) -> Result<Io, BoxError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    Ok(Io::Tcp(connector.oneshot(uri).await?.into_inner()))
}

impl Proxy {
    fn new(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?.as_str();
        let user = authority.rsplit_once('@').map(|(user, _)| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (percent_decoded(name), percent_decoded(password))
        });
        Some(Self { uri: bare(uri)?, user })
    }

    /// A connection on which the server's bytes flow.
    fn lead_to(&self, server: Uri, tls: Arc<ClientConfig>) -> BoxFuture<'static, Result<Io, BoxError>> {
        let Self { uri, user } = self.clone();
        let to_proxy = ToProxy(Some(tls).filter(|_| uri.scheme_str() == Some("https")));
        Box::pin(async move {
            let io = if matches!(uri.scheme_str(), Some("socks5" | "socks5h")) {
                let mut socks = SocksV5::new(uri, to_proxy);
                if let Some((name, password)) = user {
                    socks = socks.with_auth(name, password);
                }
                socks.oneshot(server).await.map_err(BoxError::from)?
            } else {
                let mut tunnel = Tunnel::new(uri, to_proxy);
                if let Some((name, password)) = user {
                    tunnel = tunnel.with_auth(basic(&name, &password)?);
                }
                tunnel.oneshot(server).await.map_err(BoxError::from)?
            };
            Ok(io.into_inner())
        })
    }
}

/// Opens connections to a proxy, for hyper-util's tunnels.
#[derive(Clone)]
struct ToProxy(Option<Arc<ClientConfig>>);

impl Service<Uri> for ToProxy {
    type Response = TokioIo<Io>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<TokioIo<Io>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let opening = open_proxy(uri, self.0.clone());
        Box::pin(async move { opening.await.map_err(io::Error::other) })
    }
}

/// TCP to the proxy, with TLS on it where the proxy is an https one.
async fn open_proxy(uri: Uri, tls: Option<Arc<ClientConfig>>) -> Result<TokioIo<Io>, BoxError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let plain = tcp(uri).await?;
    let io = match tls {
        Some(tls) => encrypt(plain, tls, ServerName::try_from(host)?).await?,
        None => plain,
    };
    Ok(TokioIo::new(io))
}

fn basic(name: &str, password: &str) -> Result<HeaderValue, BoxError> {
    use base64::Engine as _;
    let words = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {words}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Scheme, host and port, the port always spelled out: `CONNECT` and SOCKS need one.
fn bare(uri: &Uri) -> Option<Uri> {
    let default = match uri.scheme_str() {
        Some("http") => 80,
        Some("socks5" | "socks5h") => 1080,
        _ => 443,
    };
    let authority = format!("{}:{}", uri.host()?, uri.port_u16().unwrap_or(default));
    let authority: Authority = authority.parse().ok()?;
    Uri::builder().scheme(uri.scheme_str()?).authority(authority).path_and_query("/").build().ok()
}

/// `%40` is `@`; what is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, digit(at + 1), digit(at + 2)) {
            decoded.push((high * 16 + low) as u8);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_spelled_out() {
        for (uri, expected) in [
            ("https://a/prefix", "https://a:443/"),
            ("http://a", "http://a:80/"),
            ("https://[::1]:6443", "https://[::1]:6443/"),
            ("socks5://u:p@s", "socks5://s:1080/"),
        ] {
            assert_eq!(bare(&uri.parse().unwrap()).unwrap(), expected);
        }
    }

    #[test]
    fn proxy_users() {
        let proxy = Proxy::new(&"http://j%40ne:p%3Aw%zz@p:1".parse().unwrap()).unwrap();
        assert_eq!(proxy.uri, "http://p:1/");
        assert_eq!(proxy.user, Some(("j@ne".into(), "p:w%zz".into())));
        assert_eq!(Proxy::new(&"http://p".parse().unwrap()).unwrap().user, None);
    }
}
