//! kubectl fwd: forwards local ports to ready pods, and keeps forwarding them.

pub mod cluster;
pub mod error;
pub mod forward;
pub mod model;
pub mod policy;
pub mod spdy;
pub mod tunnel;
