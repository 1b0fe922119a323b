//! `/admin/...`: what a test in another process may do to the cluster.
//!
//! ```text
//! POST /admin/faults...                               see `faults`
//! POST /admin/kill-container?namespace=NS&pod=NAME
//! POST /admin/kill-for-memory?namespace=NS&pod=NAME
//! POST /admin/recreate-sandbox?namespace=NS&pod=NAME
//! POST /admin/evict?namespace=NS&pod=NAME
//! POST /admin/complete?namespace=NS&pod=NAME
//! POST /admin/ready?namespace=NS&pod=NAME&ready=false
//! POST /admin/compact
//! POST /admin/restart-api
//! ```

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::request::{self, Query};
use crate::api::status::Status;
use crate::cluster::Cluster;
use crate::controllers::{ContainerEnd, kubelet};
use crate::identity::rbac::Action;
use crate::identity::users::Identity;
use crate::serve::{self, Body};

pub(super) async fn answer(
    cluster: &Arc<Cluster>,
    who: &Identity,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let path = request.uri().path().to_owned();
    let everything = Action { verb: "*", group: "*", resource: "*", ..Action::default() };
    who.check(&everything).map_err(|_| {
        let verb = request.method().as_str().to_ascii_lowercase();
        Status::forbidden_path(format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"", who.name))
    })?;
    if path.starts_with("/admin/faults") {
        let body = request::bytes(request).await?;
        return Ok(cluster.faults.admin(&path, &body));
    }
    if request.method() != Method::POST {
        return Err(Status::method_not_allowed());
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let (namespace, pod) = (query.get("namespace"), query.get("pod"));
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    match path.as_str() {
        "/admin/kill-container" => {
            kubelet::restart_container(cluster, namespace, pod, ContainerEnd::CRASH).await?;
        }
        "/admin/kill-for-memory" => {
            kubelet::restart_container(cluster, namespace, pod, ContainerEnd::OUT_OF_MEMORY).await?;
        }
        "/admin/recreate-sandbox" => kubelet::recreate_sandbox(cluster, namespace, pod).await?,
        "/admin/evict" => kubelet::evict(cluster, namespace, pod).await?,
        "/admin/complete" => kubelet::complete(cluster, namespace, pod).await?,
        "/admin/ready" => kubelet::set_ready(cluster, namespace, pod, query.get("ready") != "false")?,
        "/admin/compact" => cluster.store.compact(),
        "/admin/restart-api" => cluster.restart_api.notify_one(),
        _ => return Err(Status::no_such_path()),
    }
    Ok(serve::json(StatusCode::OK, &json!({ "done": true })))
}
