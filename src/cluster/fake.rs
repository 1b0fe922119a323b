//! An API server in memory: paths in, scripted answers out. No socket, no clock.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::service_fn;

use super::{
    client::Cluster,
    http::{connect::Connector, transport::Transport},
};

/// One answer.
pub(super) enum FakeReply {
    /// A whole answer.
    Json(u16, Value),
    /// A watch that lasts until its sender is dropped. A string is sent as it is.
    Stream(UnboundedReceiver<Value>),
}

/// A text of the path, and the answers to it.
type FakeRule = (String, VecDeque<FakeReply>);

/// What was asked, and what is answered to the next request whose path and query hold a text.
#[derive(Clone, Default)]
pub(super) struct FakeApiServer {
    rules: Arc<Mutex<Vec<FakeRule>>>,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl FakeApiServer {
    /// Answers, in this order, to requests that hold `text`. The last whole answer is given again and again.
    pub(super) fn on(&self, text: &str, replies: impl IntoIterator<Item = FakeReply>) -> &Self {
        self.rules.lock().push((text.to_owned(), replies.into_iter().collect()));
        self
    }

    fn answer(&self, request: &Request<Body>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let path = request.uri().to_string();
        self.asked.lock().push(path.clone());
        let mut rules = self.rules.lock();
        // Rules made later, and with replies left, come first.
        let rule = rules
            .iter_mut()
            .rev()
            .find(|(text, replies)| path.contains(text.as_str()) && !replies.is_empty());
        let reply = rule.and_then(|(_, replies)| {
            let reply = replies.pop_front();
            if let (Some(FakeReply::Json(code, value)), true) = (&reply, replies.is_empty()) {
                replies.push_back(FakeReply::Json(*code, value.clone()));
            }
            reply
        });
        let (code, body) = match reply {
            Some(FakeReply::Json(code, value)) => {
                (code, Full::new(Bytes::from(value.to_string())).boxed_unsync())
            }
            Some(FakeReply::Stream(receiver)) => {
                let frames = stream::unfold(receiver, |mut receiver| async {
                    let line = match receiver.recv().await? {
                        Value::String(text) => format!("{text}\n"),
                        line => format!("{line}\n"),
                    };
                    Some((Ok(Frame::data(Bytes::from(line))), receiver))
                });
                (200, StreamBody::new(frames).boxed_unsync())
            }
            None => (404, Full::new(Bytes::from(failure(404, "not found").to_string())).boxed_unsync()),
        };
        Response::builder().status(code).body(body).unwrap()
    }

    /// A cluster whose every request comes here.
    pub(super) fn cluster(&self) -> Cluster {
        let fake = self.clone();
        let answer = move |request: Request<Body>| {
            let answer = fake.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        };
        let client = Client::new(service_fn(answer), "default");
        Cluster {
            api: client.clone(),
            data: client,
            server: "https://fake".into(),
            context: Some("fake".into()),
            namespace: "default".into(),
            flags: Arc::default(),
            list_time: super::client::LIST_TIME,
            transport: nowhere(),
            expiry: super::client::CredentialExpiry::default(),
        }
    }
}

/// What is never asked to dial.
pub(super) fn nowhere() -> Arc<Transport> {
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    Transport::new(Connector::new(&"https://fake".parse().unwrap(), None, None, tls).unwrap(), None)
}

pub(super) fn ok(value: Value) -> FakeReply {
    FakeReply::Json(200, value)
}

pub(super) fn failure(code: u16, message: &str) -> Value {
    let reason = if code == 404 { "NotFound" } else { "" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": reason})
}

pub(super) fn no(code: u16, message: &str) -> FakeReply {
    FakeReply::Json(code, failure(code, message))
}

pub(super) fn list(version: &str, items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items})
}

pub(super) fn watch() -> (UnboundedSender<Value>, FakeReply) {
    let (sender, receiver) = unbounded_channel();
    (sender, FakeReply::Stream(receiver))
}

/// A pod of this name, ready or not.
pub(super) fn pod(name: &str, version: &str, ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "resourceVersion": version},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    })
}
