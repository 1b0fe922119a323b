//! Who asks, by what they prove it, and what they may do.

pub(crate) mod kubeconfig;
pub(crate) mod rbac;
pub(crate) mod tls;
pub(crate) mod users;
