//! Reads that are made again, as client-go makes them again (`rest/with_retry.go`): after 429 and 5xx that say when
//! (`Retry-After`), and after a connection that was reset or closed before the answer.
//!
//! Only reads: whatever they did to a server that did not answer, they may do twice. Not watches, nor the lists that go with
//! them: those have a patience of their own (`watcher`).

use std::{
    error::Error,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use tokio::time::{Instant, sleep};
use tower::{BoxError, Service};

use super::{
    response::{RequestDeadline, retry_after},
    transport::{Transport, copy, is_watch},
};

/// How often a read is made again: client-go's number.
const RETRIES: u32 = 10;

/// The pause after a connection that broke: client-go's.
const BROKEN: Duration = Duration::from_secs(1);

/// Marks a request that is made once.
#[derive(Debug, Clone, Copy)]
pub(in crate::cluster) struct NoRetry;

/// Makes reads again.
#[derive(Clone)]
pub(in crate::cluster) struct Retry<S> {
    pub inner: S,
    pub transport: Arc<Transport>,
}

/// Why a read is made again, and when.
#[derive(Debug, PartialEq, Eq)]
struct RetryPlan {
    after: Duration,
    why: String,
}

impl<S, B> Service<Request<Body>> for Retry<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let transport = Arc::clone(&self.transport);
        let once = request.method() != Method::GET
            || is_watch(&request)
            || request.extensions().get::<NoRetry>().is_some();
        let due = request.extensions().get::<RequestDeadline>().map(|due| due.0);
        Box::pin(async move {
            let mut next = Some(request);
            let mut made = 0;
            loop {
                let Some(request) = next.take() else {
                    return Err("a request that cannot be repeated".into());
                };
                if !once && made < RETRIES {
                    next = copy(&request);
                }
                let answer = inner.call(request).await.map_err(Into::into);
                let again = match &answer {
                    Ok(answer) => after_answer(answer.status(), retry_after(answer.headers())),
                    Err(error) => after_error(error.as_ref()),
                };
                let Some(RetryPlan { after, why }) = again.filter(|_| next.is_some()) else { return answer };
                // What cannot be in time is told as it is.
                if due.is_some_and(|due| Instant::now() + after >= due) {
                    return answer;
                }
                drop(answer);
                made += 1;
                tracing::debug!(why, ?after, made, "asking again");
                let _told = transport.note(why);
                sleep(after).await;
            }
        })
    }
}

/// What an answer asks for.
fn after_answer(status: StatusCode, retry_after: Option<u64>) -> Option<RetryPlan> {
    let busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let after = Duration::from_secs(retry_after.filter(|_| busy)?);
    Some(RetryPlan { after, why: format!("it answered {}", status.as_u16()) })
}

/// What is worth another try where there is no answer.
fn after_error(error: &(dyn Error + 'static)) -> Option<RetryPlan> {
    let mut next = Some(error);
    while let Some(error) = next {
        let broken = match error.downcast_ref::<io::Error>() {
            Some(io) => {
                matches!(io.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
            }
            None => error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message),
        };
        if broken {
            return Some(RetryPlan { after: BROKEN, why: "the connection broke".to_owned() });
        }
        // An io::Error that carries another error hands out that one's source, not the error itself.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as _),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::header;
    use parking_lot::Mutex;
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::cluster::fake::nowhere;

    /// What is answered to each request in turn, the last of them again and again: a code with its `Retry-After`, or an
    /// error.
    type Replies = &'static [Result<(u16, &'static str), io::ErrorKind>];

    /// How the first request ends, after how many were made and how many seconds.
    async fn asked(replies: Replies, request: http::request::Builder) -> (Result<u16, String>, u32, u64) {
        let count = Arc::new(AtomicU32::new(0));
        let made = Arc::clone(&count);
        let inner = service_fn(move |_: Request<Body>| {
            let at = made.fetch_add(1, Ordering::Relaxed) as usize;
            let answer = match replies[at.min(replies.len() - 1)] {
                Ok((status, after)) => {
                    let answer = Response::builder().status(status);
                    let named = answer.header(header::RETRY_AFTER, after);
                    Ok(named.body(()).unwrap())
                }
                Err(kind) => Err(BoxError::from(io::Error::from(kind))),
            };
            async move { answer }
        });
        let start = Instant::now();
        let request = request.body(Body::empty()).unwrap();
        let answer = Retry { inner, transport: nowhere() }.oneshot(request).await;
        let answer = answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string());
        (answer, count.load(Ordering::Relaxed), start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_made_again_as_the_server_says() {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, UnexpectedEof};
        let get = || Request::get("/x");
        for (replies, answer, made, seconds) in [
            (&[Ok((429, "2")), Ok((200, ""))][..], Ok(200), 2, 2),
            (&[Ok((503, "1")), Ok((500, "3")), Ok((200, ""))], Ok(200), 3, 4),
            (&[Err(ConnectionReset), Err(UnexpectedEof), Ok((200, ""))], Ok(200), 3, 2),
            // For ever: client-go's eleven requests.
            (&[Ok((429, "1"))], Ok(429), 11, 10),
            // No word of when, and codes that are no trouble of the server's.
            (&[Ok((503, "")), Ok((200, ""))], Ok(503), 1, 0),
            (&[Ok((503, "soon")), Ok((200, ""))], Ok(503), 1, 0),
            (&[Ok((404, "1")), Ok((200, ""))], Ok(404), 1, 0),
            (&[Err(ConnectionRefused)], Err(()), 1, 0),
        ] {
            let (got, count, took) = asked(replies, get()).await;
            assert_eq!((got.map_err(drop), count, took), (answer, made, seconds), "{replies:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_requests_are_made_once() {
        let due = RequestDeadline(Instant::now() + Duration::from_secs(5));
        for request in [
            Request::post("/x"),
            Request::get("/x?watch=true"),
            Request::get("/x").extension(NoRetry),
            // It would be too late.
            Request::get("/x").extension(due),
        ] {
            let (_, count, _) = asked(&[Ok((429, "5")), Ok((200, ""))], request).await;
            assert_eq!(count, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_waits_for_can_be_told() {
        let (transport, seen) = (nowhere(), Arc::<Mutex<Vec<_>>>::default());
        let (noted, notes) = (Arc::clone(&transport), Arc::clone(&seen));
        let inner = service_fn(move |_: Request<Body>| {
            notes.lock().push(noted.noted());
            let answer = Response::builder().status(429).header(header::RETRY_AFTER, "1").body(()).unwrap();
            async move { Ok::<_, BoxError>(answer) }
        });
        let request = Request::get("/x").body(Body::empty()).unwrap();
        let asking = tokio::spawn(Retry { inner, transport: Arc::clone(&transport) }.oneshot(request));
        sleep(Duration::from_millis(500)).await;
        assert_eq!(transport.noted().as_deref(), Some("it answered 429"));
        asking.await.unwrap().unwrap();
        assert_eq!(transport.noted(), None);
        assert!(seen.lock().iter().all(Option::is_none));
    }
}
