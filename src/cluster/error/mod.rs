//! What goes wrong with a cluster: the types of errors, and the reason in words that each stands for.
//!
//! It is the bottom of [`cluster`](super): nothing here knows how a request is made. What a person can do about an error,
//! on which server, is added above, in [`access`](super::access).

pub mod connect;
pub mod denied;
pub mod reason;
pub(super) mod response;
pub(super) mod tls;
