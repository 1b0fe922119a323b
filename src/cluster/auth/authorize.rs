//! The credential of a plugin, on every request of both clients.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use kube::client::Body;
use tower::{BoxError, Service};

use super::credentials::Credentials;
use crate::cluster::http::transport::copy;

/// Puts a plugin's credential on every request, and once more where the server refuses it.
#[derive(Clone)]
pub(in crate::cluster) struct Authorize<S> {
    pub credentials: Option<Arc<Credentials>>,
    pub inner: S,
}

impl<S, B> Service<Request<Body>> for Authorize<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let Some(credentials) = self.credentials.clone() else {
            let answer = inner.call(request);
            return Box::pin(async move { answer.await.map_err(Into::into) });
        };
        Box::pin(async move {
            let ticket = credentials.current().await?;
            let again = copy(&request);
            if let Some(header) = ticket.header.clone() {
                request.headers_mut().insert(header::AUTHORIZATION, header);
            }
            let answer = inner.call(request).await.map_err(Into::into)?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
            match (again, credentials.after_refusal(&ticket).await?) {
                (Some(mut request), Some(ticket)) => {
                    if let Some(header) = ticket.header {
                        request.headers_mut().insert(header::AUTHORIZATION, header);
                    }
                    inner.call(request).await.map_err(Into::into)
                }
                _ => Ok(answer),
            }
        })
    }
}
