//! Taking a request apart: path, query, headers and body.

use std::collections::HashMap;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use super::view::View;
use crate::api::protobuf;
use crate::api::resources::{self, NAMESPACE, Resource};
use crate::api::selector::Selector;
use crate::api::status::Status;
use crate::identity::rbac::Action;

/// No object is larger; the real limit is 3 MiB too.
const BODY_LIMIT: usize = 3 << 20;

/// What a path points at.
pub(super) enum Target<'a> {
    /// Objects.
    Object { resource: &'static Resource, namespace: &'a str, name: &'a str, subresource: &'a str },
    /// A review that is created and answered but never stored.
    Review(&'a str),
    /// Anything else: discovery, health, version.
    Path(&'a str),
}

impl<'a> Target<'a> {
    pub(super) fn parse(path: &'a str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Self::Path(path),
        };
        if let ("authorization.k8s.io" | "authentication.k8s.io", [review]) = (group, rest) {
            return Self::Review(review);
        }
        let (namespace, plural, rest) = match rest {
            ["namespaces", name, sub @ ("status" | "finalize")] => {
                return Self::Object { resource: &NAMESPACE, namespace: "", name, subresource: sub };
            }
            ["namespaces", namespace, plural, rest @ ..] => (*namespace, *plural, rest),
            [plural, rest @ ..] => ("", *plural, rest),
            [] => return Self::Path(path),
        };
        let Some(resource) = resources::find(group, version, plural) else { return Self::Path(path) };
        let (name, subresource) = match rest {
            [] => ("", ""),
            [name] => (*name, ""),
            [name, subresource] => (*name, *subresource),
            _ => return Self::Path(path),
        };
        let known = subresource.is_empty() || resource.subresources.contains(&subresource);
        let complete = name.is_empty() || resource.namespaced != namespace.is_empty();
        if !known || !complete || (!resource.namespaced && !namespace.is_empty()) {
            return Self::Path(path);
        }
        Self::Object { resource, namespace, name, subresource }
    }
}

/// The query parameters.
#[derive(Debug, Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !matches!(value.as_str(), "0" | "false"))
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok()
    }

    /// A resource version, or an empty string for none.
    pub(crate) fn version(&self, name: &str) -> Result<Option<u64>, Status> {
        match self.get(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Status::bad_request(format!("invalid resource version \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"))
            }),
        }
    }
}

/// Undoes percent encoding; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let escaped = match tail {
            [high, low, ..] if *byte == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            decoded.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            decoded.push(if *byte == b'+' { b' ' } else { *byte });
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A request for objects.
pub(super) struct Call {
    pub(super) verb: &'static str,
    pub(super) resource: &'static Resource,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) subresource: String,
    pub(super) query: Query,
    pub(super) view: View,
    pub(super) selector: Selector,
}

impl Call {
    pub(super) fn new<B>(
        request: &Request<B>,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        query: Query,
    ) -> Result<Self, Status> {
        let verb = match *request.method() {
            Method::GET | Method::HEAD if subresource == "portforward" => "get",
            Method::GET | Method::HEAD if query.flag("watch") && name.is_empty() => "watch",
            Method::GET | Method::HEAD if name.is_empty() => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST if name.is_empty() || ["portforward", "token"].contains(&subresource) => "create",
            Method::PUT if !name.is_empty() => "update",
            Method::PATCH if !name.is_empty() => "patch",
            Method::DELETE if name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => return Err(Status::method_not_allowed()),
        };
        if !subresource.is_empty() && !Resource::subresource_verbs(subresource).contains(&verb) {
            return Err(Status::method_not_allowed());
        }
        let selector = Selector::parse(resource, query.get("labelSelector"), query.get("fieldSelector"))?;
        Ok(Self {
            verb,
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            view: View::of(&header(request, "accept"), &query),
            query,
            selector,
        })
    }

    /// What RBAC is asked about. A namespace is its own namespace.
    pub(super) fn action(&self) -> Action<'_> {
        let namespace = if *self.resource == NAMESPACE { &self.name } else { &self.namespace };
        Action {
            verb: self.verb,
            group: self.resource.group,
            resource: self.resource.plural,
            subresource: &self.subresource,
            namespace,
            name: &self.name,
        }
    }

    /// The namespace that a list or watch is limited to.
    pub(super) fn scope(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }
}

/// A header's value, or an empty string.
pub(super) fn header<B>(request: &Request<B>, name: &str) -> String {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The whole body.
pub(super) async fn bytes(request: Request<Incoming>) -> Result<Bytes, Status> {
    let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| Status::bad_request(format!("cannot read the body: {error}")))
}

/// The body as JSON; an empty one is null.
pub(super) async fn body(request: Request<Incoming>) -> Result<Value, Status> {
    let content_type = header(&request, "content-type");
    let bytes = bytes(request).await?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    if content_type.starts_with("application/vnd.kubernetes.protobuf") {
        return protobuf::decode(&bytes).ok_or_else(Status::unsupported_media_type);
    }
    let json = ["", "application/json"].contains(&content_type.split(';').next().unwrap_or_default().trim())
        || content_type.contains("json")
        || content_type.contains("yaml");
    if !json {
        return Err(Status::unsupported_media_type());
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Option<(&'static str, &str, &str, &str)> {
        match Target::parse(path) {
            Target::Object { resource, namespace, name, subresource } => {
                Some((resource.plural, namespace, name, subresource))
            }
            _ => None,
        }
    }

    #[test]
    fn paths() {
        assert_eq!(target("/api/v1/pods"), Some(("pods", "", "", "")));
        assert_eq!(
            target("/api/v1/namespaces/default/pods/db-0/portforward"),
            Some(("pods", "default", "db-0", "portforward"))
        );
        assert_eq!(target("/api/v1/namespaces/prod"), Some(("namespaces", "", "prod", "")));
        assert_eq!(target("/apis/apps/v1/namespaces/a/deployments/b/scale").map(|t| t.3), Some("scale"));
        for nothing in [
            "/",
            "/api/v1",
            "/api/v1/pods/x",
            "/api/v1/namespaces/a/nodes/b",
            "/api/v2/pods",
            "/api/v1/nodes/a/b/c",
            "/api/v1/namespaces/a/pods/b/exec",
        ] {
            assert_eq!(target(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn queries() {
        let query =
            Query::parse("labelSelector=app%3Dweb%2Ctier+in+%28a%29&watch=1&allow&bad=%zz%4&limit=500");
        assert_eq!(query.get("labelSelector"), "app=web,tier in (a)");
        assert!(query.flag("watch") && query.flag("allow") && !query.flag("gone"));
        assert_eq!(query.get("bad"), "%zz%4");
        assert_eq!(query.number("limit"), Some(500));
        assert!(Query::parse("resourceVersion=x").version("resourceVersion").is_err());
    }
}
