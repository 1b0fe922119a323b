//! F2, the cluster: which one, as whom, what a target means there, and which pods it has now.
//!
//! Top down:
//!
//! - [`flags`]: what the command line and the environment say.
//! - `yaml`, `kubeconfig`, `entries`, `pod`, `choice`, `server`, `proxy`: from those to one server, one user, one namespace and
//!   one proxy.
//! - [`foreign`]: what a kubeconfig of somebody else would do that the user's own do not.
//! - `authentication`, `exec`, `oidc`, `credentials`: by which means a user authenticates, those that have to be asked, and
//!   the `Authorization` header that they give, kept fresh.
//! - `files`: what of this is read, and for how long.
//! - `tls`: whose certificates are believed, and which one is shown.
//! - [`connect`]: one TCP connection with TLS on it, through a proxy (`proxied`) where there is one.
//! - [`client`]: the two clients of a [`client::Cluster`]: `api` for objects, `data` for tunnels.
//! - [`target`]: what a target stands for: a query for pods, and the way from its ports to theirs.
//! - [`watch`]: the pods of that query, as snapshots that change.
//! - [`awaited`]: what is waited for, told once the wait is long.
//! - [`access`]: every error in words, with what to do about it.
//!
//! Tokens and keys stay in `SecretString`s and in header values marked sensitive, and nothing here logs a request's
//! headers. kube itself logs answers that it cannot read (at `warn`), and those may hold what they hold: a subscriber
//! has to be filtered to `kubectl_fwd` alone ([`LOG_FILTER`]).

pub mod access;
mod answer;
mod authentication;
mod authorize;
pub mod awaited;
mod choice;
pub mod client;
pub mod connect;
mod credentials;
mod denied;
mod endpoint;
mod entries;
mod events;
pub mod examine;
mod exec;
#[cfg(test)]
mod fake;
mod files;
pub mod flags;
pub mod foreign;
mod kubeconfig;
mod listing;
mod oidc;
mod pod;
mod proxied;
mod proxy;
mod retry;
mod selector;
mod server;
mod slices;
pub mod target;
mod tls;
mod transport;
pub mod watch;
mod watcher;
mod yaml;

/// The tracing filter that shows everything of this program and nothing of the libraries below it, `LEVEL` being one
/// of tracing's: `off,kubectl_fwd=LEVEL`. Libraries log bodies and URLs that may hold secrets.
pub const LOG_FILTER: &str = "off,kubectl_fwd=";
