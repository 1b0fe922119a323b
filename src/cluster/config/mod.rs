//! Which cluster, which user and which way there: from the command line's flags, the environment and the kubeconfigs.
//!
//! - [`flags`]: what the command line and the environment say; `environment` reads the latter.
//! - `yaml`, `kubeconfig`, `entries`, `in_cluster`, `choice`, `server`, `proxy`: from those to one server, one user, one namespace and
//!   one proxy.
//! - [`place`]: what of that is known without a server.
//! - [`foreign`]: what a kubeconfig of somebody else would do that the user's own do not.
//! - `files`: what of this is read, and for how long.

pub(super) mod choice;
mod entries;
mod environment;
pub(super) mod files;
pub mod flags;
pub mod foreign;
mod in_cluster;
pub(super) mod kubeconfig;
pub mod place;
pub(super) mod proxy;
pub(super) mod server;
pub(super) mod yaml;
