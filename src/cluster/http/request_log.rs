//! The requests to the API server, in the log: from `-v 6` on a line for each answer, from `-v 8` on its headers too, as kubectl
//! has it. Never a header of a request, where credentials travel, nor a body, which may be a Secret.

use std::{
    fmt::Write as _,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, Method, Request, Response, Uri, header};
use kube::client::Body;
use tokio::time::Instant;
use tower::{BoxError, Service};

use crate::cluster::error::reason::reason;

/// What the lines are logged as: at `debug` those of answers, at `trace` those of their headers.
pub const TARGET: &str = "kubectl_fwd::requests";

/// Headers of answers whose values are shown. Of all others there is the name: what a proxy sets, a cookie for instance, may
/// open something.
const SHOWN: [HeaderName; 12] = [
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::DATE,
    header::RETRY_AFTER,
    header::SERVER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VIA,
    HeaderName::from_static("audit-id"),
];

/// Logs what is asked, and how it is answered.
#[derive(Clone)]
pub(in crate::cluster) struct RequestLog<S>(pub S);

impl<S, B> Service<Request<Body>> for RequestLog<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
            .then(|| (question(request.method(), request.uri()), Instant::now()));
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into);
            if let Some((question, begun)) = asked {
                log(&question, begun, answer.as_ref().map(|answer| (answer.status(), answer.headers())));
            }
            answer
        })
    }
}

fn log(question: &str, begun: Instant, answer: Result<(http::StatusCode, &HeaderMap), &BoxError>) {
    let took = begun.elapsed().as_millis();
    match answer {
        Ok((status, headers)) => {
            tracing::debug!(target: TARGET, "{question} {status} in {took} milliseconds");
            tracing::trace!(target: TARGET, "Response Headers: {}", shown(headers));
        }
        Err(error) => {
            let why = reason(error.as_ref());
            tracing::debug!(target: TARGET, "{question} failed after {took} milliseconds: {why}");
        }
    }
}

/// What is asked, without the user and the password that a URL may hold.
fn question(method: &Method, uri: &Uri) -> String {
    let scheme = uri.scheme_str().map(|scheme| format!("{scheme}://")).unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    format!("{method} {scheme}{}{port}{path}", uri.host().unwrap_or_default())
}

fn shown(headers: &HeaderMap) -> String {
    let mut out = String::new();
    for (name, value) in headers {
        let value = if SHOWN.contains(name) { value.to_str().unwrap_or("<binary>") } else { "<hidden>" };
        let _ = write!(out, "{}{name}: {value}", if out.is_empty() { "" } else { ", " });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_opens_anything() {
        for (uri, expected) in [
            ("https://u:s3cret@a.example:6443/api?watch=true", "GET https://a.example:6443/api?watch=true"),
            ("https://[::1]:6443/api", "GET https://[::1]:6443/api"),
            ("/api", "GET /api"),
        ] {
            assert_eq!(question(&Method::GET, &uri.parse().unwrap()), expected);
        }
        let headers: HeaderMap =
            [(header::SET_COOKIE, "session=s3cret"), (header::CONTENT_TYPE, "application/json")]
                .into_iter()
                .map(|(name, value)| (name, value.parse().unwrap()))
                .collect();
        assert_eq!(shown(&headers), "set-cookie: <hidden>, content-type: application/json");
    }
}
