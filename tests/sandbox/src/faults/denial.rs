//! Requests refused on purpose.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde::Deserialize;

use super::BadAnswer;
use crate::serve::Body;

/// Which requests are refused, how, and how often.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    status: u16,
    /// Any method without.
    method: Option<String>,
    /// A part of path and query.
    path: Option<String>,
    user: Option<String>,
    /// The message of the JSON Status.
    message: Option<String>,
    /// A plain text instead of a JSON Status, as from a kubelet or a proxy.
    text: Option<String>,
    /// Seconds.
    retry_after: Option<u64>,
    /// For ever without.
    times: Option<u32>,
    /// No refusal, but this.
    bad_answer: Option<BadAnswer>,
}

impl Denial {
    /// Refuses every request with `status` and a JSON Status.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status: status.as_u16(),
            method: None,
            path: None,
            user: None,
            message: None,
            text: None,
            retry_after: None,
            times: None,
            bad_answer: None,
        }
    }

    /// Only requests of this method.
    #[must_use]
    pub fn method(mut self, method: &Method) -> Self {
        self.method = Some(method.to_string());
        self
    }

    /// Only requests whose path and query contain this.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only requests of this user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// No refusal at all, but something worse.
    #[must_use]
    pub fn bad_answer(mut self, bad_answer: BadAnswer) -> Self {
        self.bad_answer = Some(bad_answer);
        self
    }

    /// With this message in its JSON Status.
    #[must_use]
    pub fn message(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// Answers with a plain text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Only so often.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    pub(super) fn matches(&self, method: &Method, path: &str, query: Option<&str>, user: &str) -> bool {
        let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        self.times != Some(0)
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method.as_str()))
            && self.path.as_deref().is_none_or(|part| target.contains(part))
            && self.user.as_deref().is_none_or(|wanted| wanted == user)
    }

    /// The refusal; counts as one time.
    pub(super) fn response(&mut self) -> Response<Body> {
        self.times = self.times.map(|times| times.saturating_sub(1));
        if let Some(bad_answer) = self.bad_answer {
            return bad_answer.response();
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, body) = match &self.text {
            Some(text) => ("text/plain; charset=utf-8", text.clone()),
            None => ("application/json", status_json(status, self.message.as_deref(), self.retry_after)),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    pub(super) fn resets(&self) -> bool {
        self.bad_answer == Some(BadAnswer::Reset)
    }

    pub(super) fn is_spent(&self) -> bool {
        self.times == Some(0)
    }
}

/// A `metav1.Status` as the API server words it.
fn status_json(status: StatusCode, message: Option<&str>, retry_after: Option<u64>) -> String {
    let (reason, usual) = match status.as_u16() {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden: denied by the sandbox's faults"),
        404 => ("NotFound", "the server could not find the requested resource"),
        410 => ("Expired", "The resourceVersion for the provided watch is too old."),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => ("Timeout", "the server was unable to return a response in the time allotted"),
        _ => ("InternalError", "an error on the server has prevented the request from succeeding"),
    };
    let mut body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message.unwrap_or(usual), "reason": reason, "code": status.as_u16(),
    });
    if let Some(seconds) = retry_after {
        body["details"] = serde_json::json!({ "retryAfterSeconds": seconds });
    }
    body.to_string()
}
