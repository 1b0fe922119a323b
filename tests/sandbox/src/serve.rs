//! From a TCP connection to an HTTP answer: the listener, TLS, and how connections die when the server does.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use crate::cluster::Cluster;
use crate::rest;

/// The body of every answer.
pub type Body = BoxBody<Bytes, Infallible>;

/// An answer with this text.
pub(crate) fn text(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(http_body_util::Full::new(body.into()).boxed());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer with this object.
pub(crate) fn json(code: StatusCode, body: &Value) -> Response<Body> {
    text(code, "application/json", body.to_string())
}

/// An answer whose body is sent piece by piece, until the sender is dropped.
pub(crate) fn stream() -> (mpsc::Sender<Bytes>, Response<Body>) {
    let (sender, pieces) = mpsc::channel(64);
    let mut response = Response::new(Pieces(pieces).boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (sender, response)
}

struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// The listening half of the API server, which can be stopped and started while the cluster lives on.
pub(crate) struct Server {
    cluster: Arc<Cluster>,
    acceptor: TlsAcceptor,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
    /// Ends whatever runs, now and later.
    dead: CancellationToken,
}

struct Running {
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Listens on loopback; port 0 is any free port.
    pub(crate) async fn start(
        cluster: Arc<Cluster>,
        tls: Arc<rustls::ServerConfig>,
        port: u16,
    ) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let server = Arc::new(Self {
            cluster,
            acceptor: TlsAcceptor::from(tls),
            address,
            running: Mutex::new(None),
            dead: CancellationToken::new(),
        });
        *server.running.lock().await = Some(server.clone().run(listener));
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, upgraded ones too, the way a dead process does: no TLS farewell, no last frame.
    pub(crate) async fn stop(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.stop.cancel();
            running.connections.close();
            running.connections.wait().await;
        }
    }

    /// As [`Server::stop`], without waiting.
    pub(crate) fn abandon(&self) {
        self.dead.cancel();
    }

    /// Listens again on the same port.
    pub(crate) async fn resume(self: &Arc<Self>) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            *running = Some(self.clone().run(TcpListener::bind(self.address).await?));
        }
        Ok(())
    }

    fn run(self: Arc<Self>, listener: TcpListener) -> Running {
        let running = Running { stop: self.dead.child_token(), connections: TaskTracker::new() };
        let (stop, connections) = (running.stop.clone(), running.connections.clone());
        running.connections.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((socket, _)) => {
                        let (server, stop) = (self.clone(), stop.clone());
                        connections.spawn(async move {
                            let connection = server.connection(socket, stop.clone());
                            tokio::select! {
                                () = stop.cancelled() => {}
                                result = connection => if let Err(error) = result {
                                    tracing::debug!(%error, "connection ended");
                                },
                            }
                        });
                    }
                    Err(error) => {
                        // Out of descriptors, most likely; let others give some back.
                        tracing::warn!(%error, "accept");
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        running
    }

    async fn connection(&self, socket: TcpStream, stop: CancellationToken) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let io = StoppableIo::new(self.cluster.faults.wrap(socket), &stop);
        let tls = self.acceptor.accept(io).await?;
        let certificate: Option<Arc<[u8]>> =
            tls.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|der| Arc::from(der.as_ref()));
        let service = service_fn(|request: Request<Incoming>| {
            let (cluster, certificate) = (self.cluster.clone(), certificate.clone());
            async move {
                let mut response = rest::answer(&cluster, certificate.as_deref(), request).await;
                if let Some(date) = cluster.faults.date() {
                    response.headers_mut().insert(header::DATE, date);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let http = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(tls), service)
            .with_upgrades();
        http.await.map_err(io::Error::other)
    }
}

/// A connection that ends when the server does, in whoever's hands it is by then.
pub(crate) struct StoppableIo<T> {
    io: Option<T>,
    /// For whoever reads, and for whoever writes: each wakes the task that polled it last, and those may be two.
    stopped: [Pin<Box<WaitForCancellationFutureOwned>>; 2],
}

/// Indices into [`StoppableIo::stopped`].
const READING: usize = 0;
const WRITING: usize = 1;

impl<T: Unpin> StoppableIo<T> {
    pub(crate) fn new(io: T, stop: &CancellationToken) -> Self {
        let stopped = || Box::pin(stop.clone().cancelled_owned());
        Self { io: Some(io), stopped: [stopped(), stopped()] }
    }

    /// The connection; after the end of the server it is closed and gone.
    fn live(&mut self, way: usize, context: &mut Context<'_>) -> io::Result<Pin<&mut T>> {
        if self.io.is_some() && self.stopped[way].as_mut().poll(context).is_ready() {
            self.io = None;
        }
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StoppableIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.live(READING, context)?.poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StoppableIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.live(WRITING, context)?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.live(WRITING, context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.live(WRITING, context)?.poll_shutdown(context)
    }
}
