//! What is taken of an answer: for how long, how much of it, and what it has to be.
//!
//! kube's client collects bodies without an end and without a limit, and reads what is no `Status` as a failure of its own.
//! [`ResponseBounds`] stands below it and above the decompression, so that what it counts is what would be held in memory. A
//! refusal leaves it as a `Status` in any case, with the code that was answered and words of a bearable length.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode, header, response::Parts};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use kube::{
    client::Body,
    core::{Status, response::StatusDetails},
};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout_at};
use tower::{BoxError, Service};

use super::transport::is_watch;
use crate::cluster::error::response::{NotKubernetes, ResponseTimeout, ResponseTooLarge};

/// How long a whole request may take where the user set no `--request-timeout`: the head, the body, and asking again. A page
/// of a list fits through a telephone line meanwhile.
const WHOLE: Duration = Duration::from_secs(120);

/// How long an answer that has begun may pause. A server sends what it has; more than this is a connection that is dead.
const PAUSE: Duration = Duration::from_secs(15);

/// How long the text of a refusal is waited for: its code is known, and says the most.
const REFUSAL_TIME: Duration = Duration::from_secs(5);

/// What is read of one object, decompressed. etcd takes 1.5 MiB, as protobuf; as JSON that is a few times more.
pub(in crate::cluster) const OBJECT: SizeLimit =
    SizeLimit { bytes: 8 << 20, objects: 20_000, of: "one object" };

/// What is read of one page of a list, decompressed: 500 objects of 64 KiB each, where pods have some 10.
const PAGE: SizeLimit = SizeLimit { bytes: 32 << 20, objects: 500_000, of: "one page of a list" };

/// What is read of a list that is asked for at once, decompressed: some 13,000 pods of the usual 10 KiB, each of which is a
/// hundred JSON objects.
const WHOLE_LIST: SizeLimit = SizeLimit { bytes: 128 << 20, objects: 2_000_000, of: "one list" };

/// Marks the request for a list without pages.
#[derive(Debug, Clone, Copy)]
pub(in crate::cluster) struct WithoutPages;

/// What is read of a refusal. The API server's are one sentence.
const REFUSAL: usize = 1 << 20;

/// After so many bytes at once other tasks have their turn: a body that is decompressed is always ready.
const TURN: usize = 256 << 10;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) struct SizeLimit {
    pub bytes: usize,
    /// JSON objects, in any depth. Two bytes are one, and a few hundred in memory once it is parsed.
    pub objects: usize,
    /// Of what.
    pub of: &'static str,
}

impl SizeLimit {
    /// The error that more was answered.
    pub(in crate::cluster) fn too_long(self) -> ResponseTooLarge {
        ResponseTooLarge::Bytes { bytes: self.bytes, of: self.of }
    }

    /// Refuses a text that would take too much memory once it is parsed.
    pub(in crate::cluster) fn check_objects(self, text: &[u8]) -> Result<(), ResponseTooLarge> {
        if count_objects(text) > self.objects {
            return Err(ResponseTooLarge::Objects { objects: self.objects, of: self.of });
        }
        Ok(())
    }
}

/// How many objects begin in a text. Braces inside strings are counted as well: it is a limit, and far.
fn count_objects(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'{').count() - 1
}

/// Until when a whole request may take, for what is below.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestDeadline(pub Instant);

/// Bounds answers.
#[derive(Clone)]
pub(in crate::cluster) struct ResponseBounds<S> {
    pub inner: S,
    /// The user's `--request-timeout`.
    pub wanted: Option<Duration>,
}

/// The body of a bounded answer.
pub(in crate::cluster) type BoundedResponse = Response<UnsyncBoxBody<Bytes, BoxError>>;

impl<S, B> Service<Request<Body>> for ResponseBounds<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = BoundedResponse;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<BoundedResponse, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // A watch lasts, and its reader bounds its lines. What it is refused with is an answer like others.
        let watch = is_watch(&request);
        let time = self.wanted.filter(|_| !watch).unwrap_or(WHOLE);
        let due = Instant::now() + time;
        let limit = match request.extensions().get::<WithoutPages>() {
            Some(_) => WHOLE_LIST,
            None if is_page(&request) => PAGE,
            None => OBJECT,
        };
        request.extensions_mut().insert(RequestDeadline(due));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = timeout_at(due, answer)
                .await
                .map_err(|_| ResponseTimeout::Head(time))?
                .map_err(Into::into)?;
            let (parts, body) = answer.into_parts();
            if parts.status.is_client_error() || parts.status.is_server_error() {
                return Ok(refusal(parts, body, due).await);
            }
            check(&parts)?;
            let body = body.map_err(Into::into).boxed_unsync();
            let body = if watch {
                body
            } else {
                MeasuredBody::new(body, limit, due, ResponseTimeout::Whole(time)).boxed_unsync()
            };
            Ok(Response::from_parts(parts, body))
        })
    }
}

/// Lists are asked for by the page; see `listing`.
fn is_page(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|word| word.starts_with("limit=")))
}

/// Refuses what no API server answers.
fn check(parts: &Parts) -> Result<(), NotKubernetes> {
    let word = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if parts.status.is_redirection() {
        let to = match word(header::LOCATION) {
            "" => "nowhere".to_owned(),
            // What follows may be a ticket of somebody's login.
            to => to.split(['?', '#']).next().unwrap_or_default().to_owned(),
        };
        return Err(NotKubernetes::Redirect { code: parts.status, to });
    }
    // A review that is posted was created, as it were.
    if !matches!(parts.status, StatusCode::OK | StatusCode::CREATED) {
        return Err(NotKubernetes::Code(parts.status));
    }
    match word(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim() {
        "text/html" => Err(NotKubernetes::Type("a web page".to_owned())),
        json if json.is_empty() || json.ends_with("json") => Ok(()),
        other => Err(NotKubernetes::Type(other.to_owned())),
    }
}

/// A refusal as a `Status` with its code, whatever its body is.
async fn refusal<B>(parts: Parts, body: B, due: Instant) -> BoundedResponse
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let due = due.min(Instant::now() + REFUSAL_TIME);
    let status = match timeout_at(due, Limited::new(body, REFUSAL).collect()).await {
        Ok(Ok(body)) => read_refusal(&body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            words(format!("its explanation is longer than {} MiB", REFUSAL >> 20))
        }
        Ok(Err(_)) | Err(_) => words("its explanation did not arrive".to_owned()),
    };
    let mut status = status.with_code(parts.status.as_u16());
    if let Some(seconds) = retry_after(&parts.headers) {
        let details = status.details.get_or_insert_with(nothing_more);
        details.retry_after_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
    // Strings and numbers: there is nothing in it that JSON could not hold.
    let text = serde_json::to_vec(&status).unwrap_or_default();
    let mut answer =
        Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = parts.status;
    answer
}

/// What a refusal says. A proxy's or another server's is a text, or nothing.
fn read_refusal(body: &[u8]) -> Status {
    let status = serde_json::from_slice::<Status>(body).ok();
    // Any JSON object would do, for each of its fields may be absent.
    let status = status.filter(|status| !status.message.is_empty() || !status.reason.is_empty());
    status.unwrap_or_else(|| words(String::from_utf8_lossy(body).trim().to_owned()))
}

fn words(message: String) -> Status {
    Status { message, ..Status::failure("", "") }
}

fn nothing_more() -> StatusDetails {
    let (name, group, kind, uid) = Default::default();
    StatusDetails { name, group, kind, uid, causes: Vec::new(), retry_after_seconds: 0 }
}

/// `Retry-After` in seconds, the form that API servers use and client-go reads.
pub(in crate::cluster) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// A body that is counted and timed.
struct MeasuredBody {
    inner: UnsyncBoxBody<Bytes, BoxError>,
    limit: SizeLimit,
    bytes: usize,
    objects: usize,
    /// Since others had their turn.
    turn: usize,
    pause: Pin<Box<Sleep>>,
    due: Pin<Box<Sleep>>,
    late: ResponseTimeout,
}

impl MeasuredBody {
    fn new(
        inner: UnsyncBoxBody<Bytes, BoxError>,
        limit: SizeLimit,
        due: Instant,
        late: ResponseTimeout,
    ) -> Self {
        let (pause, due) = (Box::pin(sleep(PAUSE)), Box::pin(sleep_until(due)));
        Self { inner, limit, bytes: 0, objects: 0, turn: 0, pause, due, late }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), ResponseTooLarge> {
        let SizeLimit { bytes, objects, of } = self.limit;
        self.bytes += piece.len();
        self.objects += count_objects(piece);
        if self.bytes > bytes {
            return Err(ResponseTooLarge::Bytes { bytes, of });
        }
        if self.objects > objects {
            return Err(ResponseTooLarge::Objects { objects, of });
        }
        self.turn += piece.len();
        self.pause.as_mut().reset(Instant::now() + PAUSE);
        Ok(())
    }
}

impl HttpBody for MeasuredBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.due.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(this.late.clone().into())));
        }
        if this.turn >= TURN {
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let taken = this.take(frame.data_ref().map_or(&[], Bytes::as_ref));
                Poll::Ready(Some(taken.map(|()| frame).map_err(Into::into)))
            }
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => {
                ready!(this.pause.as_mut().poll(cx));
                Poll::Ready(Some(Err(ResponseTimeout::Pause(PAUSE).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
