//! One connection to the API server: TCP, a proxy where there is one, TLS where the URL says so.
//!
//! Both clients dial here, so both get the same socket options and share one TLS configuration: the second
//! connection resumes the first one's session. Dialling is timed as a whole, because a server that accepts and then
//! says nothing is as gone as one that does not accept.

use std::{
    future::ready,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, Uri, uri::Authority};
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use parking_lot::RwLock;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tower::{BoxError, ServiceExt as _, service_fn};

use super::{io::Io, proxy_tunnel};
use crate::cluster::{
    config::server::percent_decoded,
    error::connect::{ConnectError, ConnectStage, DIAL_TIMEOUT, UnknownHost},
};
use crate::descriptors::{descriptors, is_shortage};
use crate::policy::disturbance::NetworkRoute;

/// Silence after which TCP asks whether the peer lives, and how often it asks again.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 2;

/// How long sent bytes may go unacknowledged (Linux): the default is some 15 minutes, which is how long kubectl hangs
/// after a network change.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Dials one server.
pub(in crate::cluster) struct Connector {
    /// The server with its port spelled out.
    server: Uri,
    server_name: ServerName<'static>,
    proxy: Option<ProxyServer>,
    tls: RwLock<Arc<ClientConfig>>,
    /// Where the last connection went: to the server, or to the proxy.
    peer: RwLock<Option<SocketAddr>>,
}

/// The stages that a dial has come to, each with its beginning.
#[derive(Debug, Default)]
pub(in crate::cluster) struct DialTrace {
    entered: Vec<(ConnectStage, Instant)>,
    ended: Option<Instant>,
}

impl DialTrace {
    /// Where the name is looked up again, for want of a descriptor, the first time counts.
    fn enter(&mut self, stage: ConnectStage) {
        if !self.entered.iter().any(|(entered, _)| *entered == stage) {
            self.entered.push((stage, Instant::now()));
        }
    }

    /// The stage that it is at.
    fn stage(&self) -> ConnectStage {
        self.entered.last().map_or(ConnectStage::Find, |(stage, _)| *stage)
    }

    /// Every stage that was entered, and how long it took.
    pub(in crate::cluster) fn steps(&self) -> impl Iterator<Item = (ConnectStage, Duration)> {
        let ends = self.entered.iter().skip(1).map(|(_, at)| Some(*at)).chain([self.ended]);
        let took = |begun: Instant, end: Option<Instant>| end.map_or(begun.elapsed(), |end| end - begun);
        self.entered.iter().zip(ends).map(move |((stage, begun), end)| (*stage, took(*begun, end)))
    }
}

/// A proxy, taken apart.
#[derive(Clone)]
struct ProxyServer {
    /// Without the user, with the port.
    uri: Uri,
    user: Option<(String, String)>,
}

impl Connector {
    /// `server_name` is `tls-server-name`. Errors are words for a person.
    pub(in crate::cluster) fn new(
        server: &Uri,
        server_name: Option<&str>,
        proxy: Option<&Uri>,
        tls: ClientConfig,
    ) -> Result<Self, String> {
        let name = server_name.or_else(|| server.host()).unwrap_or_default();
        let server_name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
            .map_err(|_| format!("'{name}' is not a name that a certificate can be checked against"))?;
        Ok(Self {
            server: bare(server).ok_or("the server's URL is not usable")?,
            server_name,
            proxy: proxy
                .map(|uri| ProxyServer::new(uri).ok_or("the proxy's URL is not usable"))
                .transpose()?,
            tls: RwLock::new(Arc::new(tls)),
            peer: RwLock::new(None),
        })
    }

    /// From now on, dial with another client certificate.
    pub(in crate::cluster) fn set_tls(&self, tls: ClientConfig) {
        *self.tls.write() = Arc::new(tls);
    }

    /// The way by which the last connection's peer would be reached now. A socket of UDP that is connected sends nothing;
    /// the system looks up its route, and with that the local address.
    pub(in crate::cluster) fn route(&self) -> NetworkRoute {
        let Some(peer) = *self.peer.read() else { return NetworkRoute::Unknown };
        let any: IpAddr =
            if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let local = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect(peer)?;
            socket.local_addr()
        });
        match local {
            Ok(local) => NetworkRoute::From(local.ip()),
            Err(error) => match error.kind() {
                ErrorKind::NetworkUnreachable
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkDown
                | ErrorKind::AddrNotAvailable => NetworkRoute::Missing,
                _ => NetworkRoute::Unknown,
            },
        }
    }

    /// One new connection.
    pub(in crate::cluster) async fn dial(&self) -> Result<Io, ConnectError> {
        self.dial_traced(&mut DialTrace::default()).await
    }

    /// The same, where `trace` tells afterwards how long each stage took.
    pub(in crate::cluster) async fn dial_traced(&self, trace: &mut DialTrace) -> Result<Io, ConnectError> {
        let result = tokio::time::timeout(DIAL_TIMEOUT, self.dial_in_stages(trace)).await;
        trace.ended = Some(Instant::now());
        let stage = trace.stage();
        match result {
            Ok(Ok(io)) => Ok(io),
            Ok(Err(cause)) => Err(ConnectError { stage, cause: Some(cause) }),
            Err(_) => Err(ConnectError { stage, cause: None }),
        }
    }

    async fn dial_in_stages(&self, trace: &mut DialTrace) -> Result<Io, BoxError> {
        let tls = Arc::clone(&self.tls.read());
        let plain = match &self.proxy {
            None => tcp(&self.server, trace, [ConnectStage::Find, ConnectStage::Connect]).await?,
            Some(proxy) => proxy.tunnel_to(&self.server, Arc::clone(&tls), trace).await?,
        };
        *self.peer.write() = plain.socket().peer_addr().ok();
        if self.server.scheme_str() == Some("http") {
            return Ok(plain);
        }
        trace.enter(ConnectStage::Tls);
        encrypt(plain, tls, self.server_name.clone()).await
    }
}

async fn encrypt(plain: Io, tls: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Io, BoxError> {
    Ok(Io::Tls(Box::new(TlsConnector::from(tls).connect(name, plain).await?)))
}

/// TCP to the host of `uri`. `stages` are those of looking its name up and of connecting.
async fn tcp(uri: &Uri, trace: &mut DialTrace, stages: [ConnectStage; 2]) -> Result<Io, BoxError> {
    match happy_eyeballs(uri, trace, stages).await {
        // Clients have all descriptors, and none of them is served without this one.
        Err(error) if is_shortage(error.as_ref()) => {
            let _loan = descriptors().lend();
            happy_eyeballs(uri, trace, stages).await
        }
        dialled => dialled,
    }
}

/// IPv4 and IPv6 racing.
async fn happy_eyeballs(uri: &Uri, trace: &mut DialTrace, stages: [ConnectStage; 2]) -> Result<Io, BoxError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    trace.enter(stages[0]);
    let found = tokio::net::lookup_host((host, uri.port_u16().unwrap_or_default())).await;
    let addresses: Vec<_> = found.map_err(UnknownHost)?.collect();
    trace.enter(stages[1]);
    let found = service_fn(move |_: Name| ready(Ok::<_, io::Error>(addresses.clone().into_iter())));
    let mut connector = HttpConnector::new_with_resolver(found);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    Ok(Io::Tcp(connector.oneshot(uri.clone()).await?.into_inner()))
}

impl ProxyServer {
    fn new(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?.as_str();
        let user = authority.rsplit_once('@').map(|(user, _)| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (percent_decoded(name), percent_decoded(password))
        });
        Some(Self { uri: bare(uri)?, user })
    }

    /// A connection on which the server's bytes flow.
    async fn tunnel_to(
        &self,
        server: &Uri,
        tls: Arc<ClientConfig>,
        trace: &mut DialTrace,
    ) -> Result<Io, BoxError> {
        let mut io = tcp(&self.uri, trace, [ConnectStage::FindProxy, ConnectStage::ReachProxy]).await?;
        if self.uri.scheme_str() == Some("https") {
            trace.enter(ConnectStage::ProxyTls);
            let host = self.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            io = encrypt(io, tls, ServerName::try_from(host)?).await?;
        }
        trace.enter(ConnectStage::Proxy);
        let authority = server.authority().ok_or("the server's URL has no host")?;
        if matches!(self.uri.scheme_str(), Some("socks5" | "socks5h")) {
            let port = server.port_u16().unwrap_or_default();
            proxy_tunnel::socks(&mut io, authority.host(), port, self.user.clone()).await?;
            return Ok(io);
        }
        let user = self.user.as_ref().map(|(name, password)| basic(name, password)).transpose()?;
        proxy_tunnel::connect(io, authority, user).await
    }
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
        let proxy = ProxyServer::new(&"http://j%40ne:p%3Aw%zz@p:1".parse().unwrap()).unwrap();
        assert_eq!(proxy.uri, "http://p:1/");
        assert_eq!(proxy.user, Some(("j@ne".into(), "p:w%zz".into())));
        assert_eq!(ProxyServer::new(&"http://p".parse().unwrap()).unwrap().user, None);
    }
}
