//! As whom requests are made.
//!
//! - `authentication`: by which means a user of the kubeconfig authenticates.
//! - `exec`, `oidc`: the means that have to be asked, a plugin and an issuer.
//! - `credentials`: the `Authorization` header that they give, kept fresh; `authorize` puts it on every request.

pub(super) mod authentication;
pub(super) mod authorize;
pub(super) mod credentials;
pub(super) mod exec;
pub(super) mod oidc;
