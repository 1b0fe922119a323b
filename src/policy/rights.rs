//! Which rights forwarding to a target takes, and what one that is missing comes to.
//!
//! Not every right is needed: where pods may not be watched they are listed again and again, and either way into a pod has a
//! verb of its own. So what a missing right means depends on the others, and on the version of the server.

use crate::model::target::Kind;

/// A right, as RBAC has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// `get`, `list`, `watch`, `create`.
    pub verb: &'static str,
    /// The API group, empty for the core one.
    pub group: &'static str,
    /// `pods`.
    pub resource: &'static str,
    /// `portforward`, or empty.
    pub subresource: &'static str,
}

/// How the pods of a target are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodLookup {
    /// One pod, by its name.
    Name,
    /// By a label selector.
    Labels,
    /// By the EndpointSlices of a service.
    Slices,
}

/// What a missing right comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingRight {
    /// Without it there is no forwarding.
    Needed,
    /// There is, but in a worse way: how.
    Helpful(&'static str),
}

/// The minor version from which on an API server has the WebSocket tunnel (PROTOCOL §1).
pub const WEBSOCKET_SINCE: u32 = 31;

/// The minor version from which on a WebSocket takes the verb `create` beside `get`.
const WEBSOCKET_CREATES_SINCE: u32 = 35;

/// EndpointSlices, as RBAC writes them.
pub const SLICES: &str = "endpointslices";

const PODS: Right = Right { verb: "get", group: "", resource: "pods", subresource: "" };
const LIST_SLICES: Right =
    Right { verb: "list", group: "discovery.k8s.io", resource: SLICES, subresource: "" };

/// Into the pods by plain SPDY.
const CREATE: Right = Right { verb: "create", subresource: "portforward", ..PODS };
/// Into the pods by a WebSocket.
const GET: Right = Right { verb: "get", ..CREATE };

impl Right {
    const fn verb(self, verb: &'static str) -> Self {
        Self { verb, ..self }
    }

    /// The resource with its subresource: `pods/portforward`.
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// The rights that are asked about: those for an object of this kind, `None` for a label selector, whose pods are found so.
pub fn rights(kind: Option<Kind>, lookup: PodLookup) -> Vec<Right> {
    let object = kind.filter(|kind| *kind != Kind::Pod);
    let object = object.map(|kind| Right {
        verb: "get",
        group: kind.group(),
        resource: kind.plural(),
        subresource: "",
    });
    let pods: &[Right] = match lookup {
        PodLookup::Name => &[PODS, PODS.verb("list"), PODS.verb("watch")],
        PodLookup::Labels => &[PODS.verb("list"), PODS.verb("watch")],
        PodLookup::Slices => &[LIST_SLICES, LIST_SLICES.verb("watch"), PODS],
    };
    object.into_iter().chain(pods.iter().copied()).chain([CREATE, GET]).collect()
}

/// What it comes to that `missing` is not granted, while those for which `allowed` is true are. `minor` is the version of the
/// server, where it is known.
pub fn missing(
    missing: &Right,
    lookup: PodLookup,
    minor: Option<u32>,
    allowed: impl Fn(&Right) -> bool,
) -> MissingRight {
    let list = PODS.verb("list");
    match (missing.full_resource().as_str(), missing.verb, lookup) {
        // A WebSocket is tried first, and before that version it takes nothing but `get`.
        ("pods/portforward", "create", _)
            if allowed(&GET)
                && minor.is_some_and(|minor| (WEBSOCKET_SINCE..WEBSOCKET_CREATES_SINCE).contains(&minor)) =>
        {
            MissingRight::Helpful("plain SPDY cannot be used, which some servers and proxies need")
        }
        ("pods/portforward", "get", _) if allowed(&CREATE) => {
            MissingRight::Helpful("WebSockets cannot be used, and some proxies let nothing else through")
        }
        ("pods" | SLICES, "watch", _) => {
            MissingRight::Helpful("the pods are listed every 2 s instead, so changes are seen later")
        }
        ("pods", "list", PodLookup::Name) if allowed(&PODS) => {
            MissingRight::Helpful("the pod is read every 2 s instead, so changes are seen later")
        }
        ("pods", "get", PodLookup::Name) if allowed(&list) => {
            MissingRight::Helpful("errors about the pod say less")
        }
        _ => MissingRight::Needed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(kind: Option<Kind>, lookup: PodLookup) -> Vec<String> {
        rights(kind, lookup).iter().map(|right| format!("{} {}", right.verb, right.full_resource())).collect()
    }

    #[test]
    fn what_is_asked_about() {
        let forward = ["create pods/portforward", "get pods/portforward"];
        for (kind, lookup, expected) in [
            (Some(Kind::Service), PodLookup::Labels, &["get services", "list pods", "watch pods"][..]),
            (Some(Kind::Pod), PodLookup::Name, &["get pods", "list pods", "watch pods"]),
            (None, PodLookup::Labels, &["list pods", "watch pods"]),
            (
                Some(Kind::Service),
                PodLookup::Slices,
                &["get services", "list endpointslices", "watch endpointslices", "get pods"],
            ),
        ] {
            assert_eq!(words(kind, lookup), [expected, &forward].concat());
        }
        assert_eq!(rights(Some(Kind::Deployment), PodLookup::Labels)[0].group, "apps");
    }

    #[test]
    fn what_a_missing_right_comes_to() {
        use PodLookup as L;
        let needed = |right: Right, lookup, minor, has: &[Right]| {
            missing(&right, lookup, minor, |right| has.contains(right)) == MissingRight::Needed
        };
        let (list, watch, get) = (PODS.verb("list"), PODS.verb("watch"), GET);
        for (right, lookup, minor, has, expected) in [
            (list, L::Labels, None, &[PODS][..], true),
            (list, L::Name, None, &[PODS], false),
            (list, L::Name, None, &[], true),
            (PODS, L::Name, None, &[list], false),
            (PODS, L::Slices, None, &[list], true),
            (watch, L::Labels, None, &[], false),
            (LIST_SLICES, L::Slices, None, &[], true),
            (LIST_SLICES.verb("watch"), L::Slices, None, &[], false),
            (CREATE, L::Labels, Some(33), &[get], false),
            (CREATE, L::Labels, Some(33), &[], true),
            (CREATE, L::Labels, Some(35), &[get], true),
            (CREATE, L::Labels, Some(30), &[get], true),
            (CREATE, L::Labels, None, &[get], true),
            (get, L::Labels, Some(36), &[CREATE], false),
            (get, L::Labels, Some(33), &[], true),
            (Right { resource: "services", ..PODS }, L::Labels, None, &[], true),
        ] {
            assert_eq!(needed(right, lookup, minor, has), expected, "{right:?} {lookup:?} {minor:?}");
        }
    }
}
