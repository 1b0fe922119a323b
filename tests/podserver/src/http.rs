//! The HTTP application.
//!
//! | path | answer |
//! |---|---|
//! | `/bytes?n=N` | N bytes, each its offset modulo 251 |
//! | `/sink` | length and SHA-256 of the request's body; with `?sum=no` the length alone, for benchmarks |
//! | `/echo` | the request's body |
//! | `/drip?n=N&ms=M` | the same N bytes in ten parts, M milliseconds before each |
//! | `/slow?ms=N` | the pod's name, after N milliseconds |
//! | `/times?id=X&from=N` | how often X was asked for so far; the requests before the Nth are never answered |
//! | `/stats` | what this application has seen, as JSON |
//! | any other | the pod's name |
//!
//! With `id=N` in its query a request is noted as arrived, and `Request-Id: N` stands in the answer.

use std::convert::Infallible;
use std::future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};

use super::app::{App, hex};
use super::container::Life;
use super::socket::Socket;

/// How long a connection that has not sent its first request yet may still do so when the pod stops: the request may
/// lie in a socket buffer already.
const FRESH: Duration = Duration::from_millis(500);

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

type AppBody = BoxBody<Bytes, hyper::Error>;

/// Serves one connection until it closes or the pod stops; a response in flight is finished first.
pub(super) async fn serve(app: App, socket: Socket, life: &Life) {
    let used = AtomicBool::new(false);
    let service = service_fn(|request| {
        used.store(true, Ordering::Relaxed);
        app.counts.requested();
        answer(app.clone(), request)
    });
    let connection =
        http1::Builder::new().title_case_headers(true).serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = life.stopping.cancelled() => {}
    }
    if !used.load(Ordering::Relaxed) {
        let first = async {
            // Polls the connection until its service was called once.
            future::poll_fn(|cx| match connection.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending if used.load(Ordering::Relaxed) => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        if let Ok(true) = tokio::time::timeout(FRESH, first).await {
            return;
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn answer(app: App, request: Request<Incoming>) -> Result<Response<AppBody>, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let number = |name| parameter(&query, name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let id = parameter(&query, "id").and_then(|id| id.parse::<u64>().ok());
    if let Some(id) = id {
        app.counts.arrived(id);
    }
    let mut response = match request.uri().path() {
        "/bytes" => typed("application/octet-stream", Pattern::new(number("n")).map_err(never).boxed()),
        "/drip" => {
            typed("application/octet-stream", Drip::new(number("n"), number("ms")).map_err(never).boxed())
        }
        "/sink" => sink(request.into_body(), parameter(&query, "sum") != Some("no")).await,
        "/echo" => typed("application/octet-stream", request.into_body().boxed()),
        "/times" => {
            let times = app.counts.asked_for(parameter(&query, "id").unwrap_or_default());
            if times < number("from") {
                future::pending::<()>().await;
            }
            text(format!("{times}\n"))
        }
        "/stats" => {
            let stats = serde_json::to_vec(&app.counts.snapshot()).unwrap_or_default();
            typed("application/json", full(stats))
        }
        path => {
            if path == "/slow" {
                tokio::time::sleep(Duration::from_millis(number("ms"))).await;
            }
            text(format!("{}\n", app.pod))
        }
    };
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, HeaderValue::from(id));
    }
    Ok(response)
}

async fn sink(mut body: Incoming, summed: bool) -> Response<AppBody> {
    let mut sum = digest::Context::new(&digest::SHA256);
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            length += data.len();
            if summed {
                sum.update(data);
            }
        }
    }
    text(if summed { format!("{length} {}\n", hex(sum.finish().as_ref())) } else { format!("{length}\n") })
}

fn text(text: String) -> Response<AppBody> {
    typed("text/plain; charset=utf-8", full(text))
}

fn full(bytes: impl Into<Bytes>) -> AppBody {
    Full::new(bytes.into()).map_err(never).boxed()
}

fn typed(kind: &'static str, body: AppBody) -> Response<AppBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn never(never: Infallible) -> hyper::Error {
    match never {}
}

/// The value of `name` in a query string, as it stands.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Bytes whose value is their offset modulo 251 (a prime, so that no chunk size hides a shift), sliced from one
/// static period: a download costs the application no copy.
struct Pattern {
    length: u64,
    at: u64,
}

/// Whole periods, some 64 KiB of them, and one more to start anywhere in.
static PERIODS: LazyLock<Bytes> = LazyLock::new(|| (0..251u8).cycle().take(251 * 262).collect());

/// The longest slice taken at once.
const SLICE: u64 = 251 * 261;

impl Pattern {
    fn new(length: u64) -> Self {
        Self { length, at: 0 }
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = SLICE.min(self.length - self.at) as usize;
        if length == 0 {
            return Poll::Ready(None);
        }
        let start = (self.at % 251) as usize;
        self.at += length as u64;
        Poll::Ready(Some(Ok(Frame::data(PERIODS.slice(start..start + length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.at)
    }
}

/// The same bytes in parts, with a pause before each.
struct Drip {
    length: u64,
    pause: Duration,
    part: u64,
    rest: Pin<Box<Sleep>>,
}

/// How many parts there are.
const PARTS: u64 = 10;

impl Drip {
    fn new(length: u64, ms: u64) -> Self {
        let pause = Duration::from_millis(ms);
        Self { length, pause, part: 0, rest: Box::pin(tokio::time::sleep(pause)) }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.part == PARTS {
            return Poll::Ready(None);
        }
        ready!(self.rest.as_mut().poll(cx));
        let range = self.length * self.part / PARTS..self.length * (self.part + 1) / PARTS;
        self.part += 1;
        let next = Instant::now() + self.pause;
        self.rest.as_mut().reset(next);
        let bytes: Bytes = range.map(|at| (at % 251) as u8).collect();
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
