//! As much of `/openapi/v3` as keeps kubectl from validating on its own: each kind with a PATCH that takes
//! `fieldValidation`, which says that the server validates.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::api::resources::{self, Resource};
use crate::serve::{self, Body};

/// Answers a path below `/openapi/v3`.
pub(crate) fn answer(path: &str) -> Option<Response<Body>> {
    let rest = path.strip_prefix("/openapi/v3")?.trim_matches('/');
    let document = if rest.is_empty() { index() } else { group_document(rest)? };
    Some(serve::json(StatusCode::OK, &document))
}

/// `api/v1` or `apis/GROUP/v1`.
fn root(resource: &Resource) -> String {
    let prefix = if resource.group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", resource.api_version())
}

fn index() -> Value {
    let paths: Map<String, Value> = resources::ALL
        .iter()
        .map(|resource| root(resource))
        .map(|root| (root.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{root}?hash=0") })))
        .collect();
    json!({ "paths": paths })
}

fn group_document(root_path: &str) -> Option<Value> {
    let mut paths = Map::new();
    for resource in resources::ALL.iter().filter(|resource| root(resource) == root_path) {
        let place = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
        let operation = json!({
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": {
                "group": resource.group, "version": resource.version, "kind": resource.kind,
            },
            "parameters": [
                { "name": "dryRun", "in": "query", "schema": { "type": "string" } },
                { "name": "fieldValidation", "in": "query", "schema": { "type": "string" } },
            ],
            "responses": { "200": { "description": "OK" } },
        });
        paths.insert(
            format!("/{root_path}/{place}{}/{{name}}", resource.plural),
            json!({ "patch": operation }),
        );
    }
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": crate::api::discovery::VERSION },
        "paths": paths, "components": { "schemas": {} },
    }))
}
