//! What a test may choose about its cluster.

use std::time::Duration;

use serde_json::Value;

use crate::identity::users::User;

/// The shape of a sandbox. `Options::default()` is a cluster with every default user and object.
#[derive(Debug, Clone)]
pub struct Options {
    /// From scheduling to ready.
    pub pod_start: Duration,
    /// How long a deleted pod gets to end what is in flight; the real thing has 30 s.
    pub deletion: Duration,
    /// The port of the API server; 0 is any free one.
    pub port: u16,
    /// Users beside, or (by the same name) instead of, [`User::defaults`].
    pub users: Vec<User>,
    /// Objects beside the default ones.
    pub objects: Vec<Value>,
    /// Whether the default objects are made.
    pub default_objects: bool,
    /// What the API server shows to clients.
    pub server_certificate: ServerCertificate,
    /// Whether a WebSocket port-forward needs `create` beside `get`, as from Kubernetes 1.35 on.
    pub strict_websocket_create: bool,
}

/// What the API server shows, and what its kubeconfigs believe: each is found in clusters, and taken by kubectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerCertificate {
    /// One for servers, of the cluster's authority.
    #[default]
    Usual,
    /// One that is an authority's, and believed itself: what `openssl req -x509` makes.
    Itself,
    /// One of the cluster's authority, believed in its place.
    Pinned,
    /// One of the cluster's authority that is an authority's too.
    Authority,
    /// One of the cluster's authority for any use.
    AnyUse,
    /// As usual, with keys on the curve P-521.
    P521,
    /// One that ended yesterday.
    Expired,
    /// One that ends tomorrow.
    Ending,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pod_start: Duration::from_millis(50),
            deletion: Duration::from_millis(300),
            port: 0,
            users: Vec::new(),
            objects: Vec::new(),
            default_objects: true,
            server_certificate: ServerCertificate::default(),
            strict_websocket_create: true,
        }
    }
}
