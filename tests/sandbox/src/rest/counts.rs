//! How many requests there were, by what they asked for.

use std::collections::BTreeMap;

use http::{Method, Uri};
use parking_lot::Mutex;

use super::request::{Query, Target};

/// The requests so far, each as `list pods`, `create pods/portforward`, `GET /version`.
#[derive(Default)]
pub(crate) struct RequestCounts(Mutex<BTreeMap<String, usize>>);

impl RequestCounts {
    pub(super) fn count(&self, method: &Method, uri: &Uri) {
        *self.0.lock().entry(kind(method, uri)).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, usize> {
        self.0.lock().clone()
    }
}

fn kind(method: &Method, uri: &Uri) -> String {
    let Target::Object { resource, name, subresource, .. } = Target::parse(uri.path()) else {
        return format!("{method} {}", uri.path());
    };
    let watches = Query::parse(uri.query().unwrap_or_default()).flag("watch");
    let verb = match (method, name.is_empty()) {
        (&Method::GET | &Method::HEAD, true) if watches => "watch",
        (&Method::GET | &Method::HEAD, true) => "list",
        (&Method::GET | &Method::HEAD, false) => "get",
        (&Method::POST, _) => "create",
        _ => method.as_str(),
    };
    let plural = resource.plural;
    if subresource.is_empty() { format!("{verb} {plural}") } else { format!("{verb} {plural}/{subresource}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (uri, expected) in [
            ("/api/v1/namespaces/a/pods?limit=500", "list pods"),
            ("/api/v1/namespaces/a/pods?watch=true", "watch pods"),
            ("/api/v1/namespaces/a/services/b", "get services"),
            ("/api/v1/namespaces/a/pods/b/portforward", "get pods/portforward"),
            ("/version", "GET /version"),
        ] {
            assert_eq!(kind(&Method::GET, &uri.parse().unwrap()), expected);
        }
    }
}
