//! Requests: who asks, what for, and which of the modules below answers.

mod admin;
mod counts;
mod read;
mod request;
mod review;
mod view;
mod watch;
mod write;

use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

pub(crate) use self::counts::RequestCounts;
pub(crate) use self::request::Query;
use self::request::{Call, Target};
use crate::api::discovery;
use crate::api::meta;
use crate::api::openapi;
use crate::api::resources::POD;
use crate::api::status::Status;
use crate::cluster::Cluster;
use crate::cluster::store::Key;
use crate::faults::NeverAnswered;
use crate::identity::rbac::Action;
use crate::identity::users::Identity;
use crate::portforward;
use crate::serve::{self, Body};

/// Answers one request.
pub(crate) async fn answer(
    cluster: &std::sync::Arc<Cluster>,
    certificate: Option<&[u8]>,
    request: Request<Incoming>,
) -> Response<Body> {
    match dispatch(cluster, certificate, request).await {
        Ok(response) => response,
        Err(status) => status.response(),
    }
}

async fn dispatch(
    cluster: &std::sync::Arc<Cluster>,
    certificate: Option<&[u8]>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let who = cluster.users.identify(request.headers(), certificate, &cluster.store)?;
    let (method, uri) = (request.method().clone(), request.uri().clone());
    if uri.path().starts_with("/admin/") {
        return admin::answer(cluster, &who, request).await;
    }
    cluster.requests.count(&method, &uri);
    if let Some(response) = cluster.faults.intercept(&method, uri.path(), uri.query(), &who.name) {
        if response.extensions().get::<NeverAnswered>().is_some() {
            std::future::pending::<()>().await;
        }
        return Ok(response);
    }
    match Target::parse(uri.path()) {
        Target::Path(path) => {
            let accept = request::header(&request, "accept");
            let found = discovery::answer(path, &accept).or_else(|| openapi::answer(path));
            found.filter(|_| method == Method::GET || method == Method::HEAD).ok_or_else(Status::no_such_path)
        }
        Target::Review(kind) if method == Method::POST => {
            let body = request::body(request).await?;
            review::answer(kind, &who, body).map(|review| serve::json(StatusCode::CREATED, &review))
        }
        Target::Review(_) => Err(Status::method_not_allowed()),
        Target::Object { resource, namespace, name, subresource } => {
            let query = Query::parse(uri.query().unwrap_or_default());
            let call = Call::new(&request, resource, namespace, name, subresource, query)?;
            who.check(&call.action())?;
            if call.subresource == "portforward" {
                return port_forward(cluster, &who, &call, request).await;
            }
            if call.subresource == "log" {
                return log(cluster, &call);
            }
            if call.subresource == "token" {
                return token(cluster, &call, request).await;
            }
            match call.verb {
                "get" | "list" => read::answer(cluster, &call),
                "watch" => watch::answer(cluster, &call),
                _ => write::answer(cluster, &call, request).await,
            }
        }
    }
}

/// A token for a service account: `kubectl create token`.
async fn token(cluster: &Cluster, call: &Call, request: Request<Incoming>) -> Result<Response<Body>, Status> {
    let mut asked = request::body(request).await?;
    let account = Key::new(call.resource, &call.namespace, &call.name);
    let found = cluster.store.get(&account).ok_or_else(|| account.not_found())?;
    let seconds = asked.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(60 * 60);
    let Some(lifetime) = u64::try_from(seconds).ok().filter(|seconds| *seconds >= 10 * 60) else {
        let why = format!("Invalid value: {seconds}: may not specify a duration less than 10 minutes");
        return Err(Status::invalid(call.resource, &call.name, "spec.expirationSeconds", &why));
    };
    let lifetime = Duration::from_secs(lifetime);
    asked["spec"]["expirationSeconds"] = json!(seconds);
    asked["status"] = json!({
        "token": cluster.users.issue(account, meta::uid(&found), lifetime),
        "expirationTimestamp": meta::in_future(lifetime),
    });
    Ok(serve::json(StatusCode::CREATED, &asked))
}

/// What a pod logged: `kubectl logs`. It is as long as it is now, and whole.
fn log(cluster: &Cluster, call: &Call) -> Result<Response<Body>, Status> {
    let pod = cluster.store.get(&Key::new(&POD, &call.namespace, &call.name));
    let pod = pod.ok_or_else(|| Status::not_found(&POD, &call.name))?;
    let log = cluster.node.log(meta::uid(&pod)).unwrap_or_default();
    Ok(serve::text(StatusCode::OK, "text/plain", log))
}

async fn port_forward(
    cluster: &Cluster,
    who: &Identity,
    call: &Call,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    if call.verb == "get" && cluster.strict_websocket_create {
        who.check(&Action { verb: "create", ..call.action() })?;
    }
    let pod = cluster.store.get(&Key::new(&POD, &call.namespace, &call.name));
    let pod = pod.ok_or_else(|| Status::not_found(&POD, &call.name))?;
    if meta::text(&pod, "/spec/nodeName").is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.name)));
    }
    let uid = Some(meta::uid(&pod)).filter(|uid| cluster.node.is_running(uid));
    Ok(portforward::handle(&cluster.node, uid, request).await)
}
