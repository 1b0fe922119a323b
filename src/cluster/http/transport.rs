//! From a request to an answer: the bottom of both clients' stacks.
//!
//! [`OneShot`] is the data plane's: every request gets a connection of its own, which becomes the tunnel; the first may be
//! dialled ahead. [`Pooled`] is the API's: hyper's pool over the same dialler, with [`Deadline`] around it.
//! What else goes around them is in `authorize`, `response` and `retry`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, Uri, header};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use kube::client::Body;
use parking_lot::{Mutex, RwLock};
use rustls::ClientConfig;
use tokio::{sync::Notify, task::JoinHandle};
use tower::{BoxError, Service};

use super::{
    connect::{Connector, DialTrace},
    io::Io,
};
use crate::{
    cluster::{
        error::{connect::ConnectError, response::ResponseTimeout},
        tls::CertificateFiles,
    },
    policy::disturbance::NetworkRoute,
};

/// Idle API connections are closed after this: most servers and proxies close theirs soon after.
const IDLE: Duration = Duration::from_secs(60);

/// How long an answer may take to begin where the user set no `--request-timeout`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an upgrade may take, from dialling to the head of its answer. Dialling has its own limit within it, which leaves
/// the server five seconds at least. It answers within a few round trips where it reaches the node; a node that is gone
/// takes it half a minute, for which no connection is to wait: a round of attempts is over by then, and tells.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a watch's answer may take to begin. A server answers at once and then tells what happens; one that waits with
/// the head until something does (some proxies hold it back) is of no use.
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Informational answers (1xx) that are read before the real one. Servers send one or two, if any.
const INFORMATIONAL: u32 = 16;

/// How long a connection that was dialled ahead is of use. A server or a proxy closes one on which nothing is asked; what
/// it is for follows within a few round trips.
const AHEAD: Duration = Duration::from_secs(10);

/// The dialler and the pool over it.
pub(in crate::cluster) struct Transport {
    dialer: Arc<Connector>,
    pool: RwLock<HttpPool>,
    /// Connections of the pool that are being dialled.
    dialling: Arc<AtomicUsize>,
    /// Why a request waits to be made again, the latest.
    note: Mutex<Option<String>>,
    /// What [`OneShot`] takes before it dials, where it is there.
    preconnect: Mutex<Option<Preconnect>>,
    /// Where the client's certificate may be replaced.
    certificate: Option<CertificateFiles>,
}

/// A connection that is being dialled, or was.
type Preconnect = JoinHandle<Result<Io, ConnectError>>;

type HttpPool = legacy::Client<PoolConnector, Body>;

impl Transport {
    pub(in crate::cluster) fn new(dialer: Connector, certificate: Option<CertificateFiles>) -> Arc<Self> {
        let (dialer, dialling) = (Arc::new(dialer), Arc::default());
        Arc::new(Self {
            pool: RwLock::new(pool(&dialer, &dialling)),
            dialling,
            dialer,
            note: Mutex::default(),
            preconnect: Mutex::default(),
            certificate,
        })
    }

    /// Dials the next tunnel's connection now, so that it stands by the time that the tunnel's pod is known.
    pub(in crate::cluster) fn preconnect(self: &Arc<Self>) {
        let dialer = Arc::clone(&self.dialer);
        self.set_preconnect(Some(tokio::spawn(async move { dialer.dial().await })));
        let transport = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(AHEAD).await;
            if let Some(transport) = transport.upgrade() {
                transport.set_preconnect(None);
            }
        });
    }

    /// One new connection that nothing is asked on yet.
    pub(in crate::cluster) async fn dial_traced(&self, trace: &mut DialTrace) -> Result<Io, ConnectError> {
        self.dialer.dial_traced(trace).await
    }

    /// Keeps a connection that stands for the next tunnel.
    pub(in crate::cluster) fn keep(&self, io: Io) {
        self.set_preconnect(Some(tokio::spawn(async move { Ok(io) })));
    }

    /// Whether a request of the pool waits for a connection, as far as can be told.
    pub(in crate::cluster) fn is_dialling(&self) -> bool {
        self.dialling.load(Ordering::Relaxed) > 0
    }

    /// Notes why a request waits to be made again, for as long as it does.
    pub(super) fn note(&self, why: String) -> impl Drop {
        *self.note.lock() = Some(why);
        NoteGuard(&self.note)
    }

    /// Why a request waits to be made again, if one does.
    pub(in crate::cluster) fn noted(&self) -> Option<String> {
        self.note.lock().clone()
    }

    fn set_preconnect(&self, ahead: Option<Preconnect>) -> Option<Preconnect> {
        std::mem::replace(&mut *self.preconnect.lock(), ahead)
    }

    /// The connection that was dialled ahead, if it was and came to be.
    async fn take_preconnected(&self) -> Option<Io> {
        let dialled = self.set_preconnect(None)?.await;
        dialled.ok()?.ok()
    }

    /// Leaves the connections behind that requests would go over: they may be dead.
    pub(in crate::cluster) fn renew(&self) {
        self.set_preconnect(None);
        *self.pool.write() = pool(&self.dialer, &self.dialling);
    }

    /// The way by which the server, or the proxy before it, would be reached now.
    pub(in crate::cluster) fn route(&self) -> NetworkRoute {
        self.dialer.route()
    }

    /// Takes the client certificate into use that is in its files now, if it is another one.
    async fn reread_certificate(&self) {
        if let Some(files) = &self.certificate
            && let Some(tls) = files.changed().await
        {
            tracing::debug!("the client certificate has been replaced");
            self.set_tls(tls);
        }
    }

    /// Takes another client certificate into use. Pooled connections have shown the old one, so they are left behind.
    pub(in crate::cluster) fn set_tls(&self, tls: ClientConfig) {
        self.dialer.set_tls(tls);
        self.renew();
    }
}

/// A note that is taken back.
struct NoteGuard<'a>(&'a Mutex<Option<String>>);

impl Drop for NoteGuard<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

fn pool(dialer: &Arc<Connector>, dialling: &Arc<AtomicUsize>) -> HttpPool {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(PoolConnector { dialer: Arc::clone(dialer), dialling: Arc::clone(dialling) })
}

/// hyper's pool asks for a connection by URL; there is one server, so it is not looked at.
#[derive(Clone)]
pub(super) struct PoolConnector {
    dialer: Arc<Connector>,
    dialling: Arc<AtomicUsize>,
}

/// One dial of the pool, for as long as it lasts.
struct ConnectGuard(Arc<AtomicUsize>);

impl ConnectGuard {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for ConnectGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service<Uri> for PoolConnector {
    type Response = TokioIo<Io>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (dialer, dialling) = (Arc::clone(&self.dialer), ConnectGuard::begin(&self.dialling));
        Box::pin(async move {
            let _dialling = dialling;
            dialer.dial().await.map(TokioIo::new)
        })
    }
}

/// The API's bottom.
#[derive(Clone)]
pub(in crate::cluster) struct Pooled(pub Arc<Transport>);

impl Service<Request<Body>> for Pooled {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let transport = Arc::clone(&self.0);
        Box::pin(async move {
            transport.reread_certificate().await;
            let pool = transport.pool.read().clone();
            let too_many = limit_informational(&mut request);
            tokio::select! {
                biased;
                () = too_many.notified() => Err(TooManyInformational.into()),
                answer = pool.request(request) => answer.map_err(Into::into),
            }
        })
    }
}

/// The data plane's bottom: one dial and one HTTP/1.1 conversation a request.
///
/// hyper's pool would wrap the connection in layers of its own; this way `Upgraded::downcast` gives the [`Io`] back.
#[derive(Clone)]
pub(in crate::cluster) struct OneShot(pub Arc<Transport>);

impl Service<Request<Body>> for OneShot {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let transport = Arc::clone(&self.0);
        Box::pin(async move {
            transport.reread_certificate().await;
            address(&mut request)?;
            match tokio::time::timeout(UPGRADE_TIMEOUT, transport.ask(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(ResponseTimeout::Head(UPGRADE_TIMEOUT).into()),
            }
        })
    }
}

impl Transport {
    /// Sends a request on a connection of its own.
    async fn ask(&self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        if let Some(again) = copy(&request)
            && let Some(io) = self.take_preconnected().await
        {
            match exchange(io, again).await {
                // What a proxy says of a connection on which it was asked nothing for too long.
                Ok(answer) if answer.status() == StatusCode::REQUEST_TIMEOUT => {
                    tracing::debug!("the connection that was dialled ahead was left idle for too long");
                }
                Ok(answer) => return Ok(answer),
                // Nobody says how long an idle connection lasts. An upgrade that was not answered did nothing.
                Err(error) => {
                    tracing::debug!(%error, "the connection that was dialled ahead is of no use");
                }
            }
        }
        exchange(self.dialer.dial().await?, request).await
    }
}

/// One conversation, on a connection of its own.
async fn exchange(io: Io, mut request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
    let too_many = limit_informational(&mut request);
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    // Ends with the conversation, or hands the socket to the upgrade.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the API server ended badly");
        }
    });
    tokio::select! {
        biased;
        () = too_many.notified() => Err(TooManyInformational.into()),
        answer = sender.send_request(request) => Ok(answer?),
    }
}

/// The server sends one informational answer after the other.
#[derive(Debug, thiserror::Error)]
#[error("more than {INFORMATIONAL} informational answers (1xx) and no final one")]
struct TooManyInformational;

/// Has the informational answers to a request counted; what is returned is told when there are too many.
fn limit_informational(request: &mut Request<Body>) -> Arc<Notify> {
    let too_many = Arc::new(Notify::new());
    let (tell, count) = (Arc::clone(&too_many), AtomicU32::new(0));
    hyper::ext::on_informational(request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= INFORMATIONAL {
            tell.notify_one();
        }
    });
    too_many
}

/// What hyper's pool does for its requests: the host goes into a header, the path alone into the request line.
fn address(request: &mut Request<Body>) -> Result<(), BoxError> {
    if let Some(authority) = request.uri().authority() {
        let host = match request.uri().port_u16() {
            Some(port) => format!("{}:{port}", request.uri().host().unwrap_or_default()),
            None => authority.host().to_owned(),
        };
        let host = host.parse()?;
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *request.uri_mut() = path.parse()?;
    Ok(())
}

/// The same request once more; `None` where its body is a stream.
pub(in crate::cluster) fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    Some(copy)
}

/// Ends requests whose answer does not begin in time. A watch's answer begins at once and then lasts.
#[derive(Clone)]
pub(in crate::cluster) struct Deadline<S> {
    pub inner: S,
    pub wanted: Option<Duration>,
}

/// Whether a request is a watch, whose answer lasts.
pub(super) fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|word| word == "watch=true"))
}

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>>,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limit = if is_watch(&request) { WATCH_TIMEOUT } else { self.wanted.unwrap_or(ANSWER_TIMEOUT) };
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(ResponseTimeout::Head(limit).into()),
            }
        })
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
