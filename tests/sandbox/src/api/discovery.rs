//! What the API server says of itself: its version, its health, and which kinds it serves, in the documents of old
//! and in the aggregated one that newer clients ask for.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::api::resources::{self, Resource, VERBS, group_version};
use crate::serve::{self, Body};

/// Groups that hold no stored objects but answer reviews: group, plural, kind.
const REVIEWS: &[(&str, &str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
];

/// The version that [`crate::Sandbox`] claims to be.
pub(crate) const VERSION: &str = "v1.36.2";

/// Answers a path that is not about objects, if there is such a one.
pub(crate) fn answer(path: &str, accept: &str) -> Option<Response<Body>> {
    let aggregated = accept.contains("as=APIGroupDiscoveryList") && accept.contains("v=v2");
    // `v=v2beta1` comes second from clients that know both.
    let beta = accept.split(',').next().is_some_and(|first| first.contains("v=v2beta1"));
    let document = match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["healthz" | "readyz" | "livez", ..] => return Some(serve::text(StatusCode::OK, "text/plain", "ok")),
        ["version"] => version(),
        ["api"] if aggregated => return Some(group_discovery(&[""], beta)),
        ["apis"] if aggregated => return Some(group_discovery(&groups(), beta)),
        ["api"] => json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1" }],
        }),
        ["apis"] => json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": groups().into_iter().map(group).collect::<Vec<_>>(),
        }),
        ["apis", name] if groups().contains(name) => {
            let mut group = group(name);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }
        ["api", "v1"] => resource_list(""),
        ["apis", group, "v1"] if groups().contains(group) => resource_list(group),
        _ => return None,
    };
    Some(serve::json(StatusCode::OK, &document))
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35", "gitVersion": VERSION,
        "gitCommit": "8e16b12fda", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.26.6", "compiler": "gc", "platform": "linux/amd64",
    })
}

/// Every group but the core one.
fn groups() -> Vec<&'static str> {
    let stored = resources::ALL.iter().map(|resource| resource.group).filter(|group| !group.is_empty());
    let mut groups: Vec<_> = stored.chain(REVIEWS.iter().map(|review| review.0)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn group(name: &str) -> Value {
    let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

fn members(group: &str) -> impl Iterator<Item = &'static Resource> {
    resources::ALL.iter().copied().filter(move |resource| resource.group == group)
}

fn categories(resource: &Resource) -> Option<Value> {
    resource.in_all.then(|| json!(["all"]))
}

fn resource_list(group: &str) -> Value {
    let mut list = Vec::new();
    for resource in members(group) {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": VERBS,
        });
        if !resource.short.is_empty() {
            entry["shortNames"] = json!(resource.short);
        }
        if let Some(categories) = categories(resource) {
            entry["categories"] = categories;
        }
        list.push(entry);
        for sub in resource.subresources {
            let (sub_group, sub_version, kind) = resource.subresource_kind(sub);
            let mut entry = json!({
                "name": format!("{}/{sub}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": kind, "verbs": Resource::subresource_verbs(sub),
            });
            if sub_group != group {
                entry["group"] = json!(sub_group);
                entry["version"] = json!(sub_version);
            }
            list.push(entry);
        }
    }
    for (_, plural, kind) in REVIEWS.iter().filter(|review| review.0 == group) {
        list.push(json!({
            "name": plural, "singularName": kind.to_ascii_lowercase(), "namespaced": false, "kind": kind,
            "verbs": ["create"],
        }));
    }
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, "v1"), "resources": list,
    })
}

fn group_discovery(groups: &[&str], beta: bool) -> Response<Body> {
    let version = if beta { "v2beta1" } else { "v2" };
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
            json!({
                "metadata": metadata,
                "versions": [{ "version": "v1", "freshness": "Current", "resources": discovered(group) }],
            })
        })
        .collect();
    let document = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {},
        "items": items,
    });
    let mut response = serve::json(StatusCode::OK, &document);
    let content_type = if beta {
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    } else {
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn discovered(group: &str) -> Vec<Value> {
    let kind = |(group, version, kind): (&str, &str, &str)| json!({ "group": group, "version": version, "kind": kind });
    let scope = |namespaced| if namespaced { "Namespaced" } else { "Cluster" };
    let stored = members(group).map(|resource| {
        let subresources = resource.subresources.iter().map(|sub| {
            json!({
                "subresource": sub, "responseKind": kind(resource.subresource_kind(sub)),
                "verbs": Resource::subresource_verbs(sub),
            })
        });
        let mut entry = json!({
            "resource": resource.plural, "singularResource": resource.singular, "verbs": VERBS,
            "responseKind": kind((resource.group, resource.version, resource.kind)),
            "scope": scope(resource.namespaced), "subresources": subresources.collect::<Vec<_>>(),
        });
        if !resource.short.is_empty() {
            entry["shortNames"] = json!(resource.short);
        }
        if let Some(categories) = categories(resource) {
            entry["categories"] = categories;
        }
        entry
    });
    let reviews = REVIEWS.iter().filter(|review| review.0 == group).map(|(group, plural, name)| {
        json!({
            "resource": plural, "singularResource": name.to_ascii_lowercase(), "verbs": ["create"],
            "responseKind": kind((group, "v1", name)), "scope": "Cluster",
        })
    });
    stored.chain(reviews).collect()
}
