//! GET and LIST.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::request::Call;
use super::write;
use crate::api::status::Status;
use crate::cluster::Cluster;
use crate::cluster::store::{Key, Listed};
use crate::serve::{self, Body};

pub(super) fn answer(cluster: &Cluster, call: &Call) -> Result<Response<Body>, Status> {
    let object = if call.verb == "get" { get(cluster, call)? } else { list(cluster, call)? };
    Ok(serve::json(StatusCode::OK, &object))
}

fn get(cluster: &Cluster, call: &Call) -> Result<Value, Status> {
    let key = Key::new(call.resource, &call.namespace, &call.name);
    let object = cluster.store.get(&key).ok_or_else(|| key.not_found())?;
    Ok(if call.subresource == "scale" {
        write::scale_of(&object)
    } else {
        call.view.object(call.resource, &object)
    })
}

/// Where the next page of a list begins: the version that all pages show, and the last object already shown.
struct Continue {
    version: u64,
    namespace: String,
    name: String,
}

impl Continue {
    fn parse(token: &str) -> Result<Self, Status> {
        let wrong = || Status::bad_request("continue key is not valid");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let mut parts = text.splitn(3, '/');
        let (Some(version), Some(namespace), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let version = version.parse().map_err(|_| wrong())?;
        Ok(Self { version, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    fn token(version: u64, last: &Key) -> String {
        URL_SAFE_NO_PAD.encode(format!("{version}/{}/{}", last.namespace, last.name))
    }
}

fn list(cluster: &Cluster, call: &Call) -> Result<Value, Status> {
    let from = Some(call.query.get("continue")).filter(|token| !token.is_empty());
    let from = from.map(Continue::parse).transpose()?;
    let Listed { mut items, version } = match &from {
        Some(from) => cluster
            .store
            .list_at(call.resource, call.scope(), from.version)
            .map_err(|_| Status::continue_expired())?,
        None => snapshot(cluster, call)?,
    };
    items.retain(|(_, object)| call.selector.matches(object));
    if let Some(from) = &from {
        let seen = (from.namespace.as_str(), from.name.as_str());
        items.retain(|(key, _)| (key.namespace.as_str(), key.name.as_str()) > seen);
    }
    let mut meta = json!({ "resourceVersion": version.to_string() });
    let limit = call.query.number("limit").filter(|limit| *limit > 0);
    if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok())
        && items.len() > limit
    {
        meta["remainingItemCount"] = json!(items.len() - limit);
        items.truncate(limit);
        meta["continue"] = json!(items.last().map(|(last, _)| Continue::token(version, last)));
    }
    Ok(call.view.list(call.resource, &meta, items.iter().map(|(_, object)| &**object)))
}

/// The list at the version that `resourceVersion` and `resourceVersionMatch` ask for.
fn snapshot(cluster: &Cluster, call: &Call) -> Result<Listed, Status> {
    let wanted = call.query.version("resourceVersion")?;
    let exact = call.query.get("resourceVersionMatch") == "Exact";
    let current = cluster.store.version();
    match wanted {
        Some(wanted) if wanted > current => Err(Status::version_from_the_future(wanted, current)),
        Some(wanted) if exact && wanted > 0 => cluster.store.list_at(call.resource, call.scope(), wanted),
        _ => Ok(cluster.store.list(call.resource, call.scope())),
    }
}
