//! Requests to the API server, and their answers.
//!
//! - `connect`: one TCP connection with TLS on it, through a proxy (`proxy_tunnel`) where there is one; [`io`] is what it gives.
//! - `transport`: from a request to an answer, for objects and for tunnels.
//! - `response`: how much of an answer is taken, and for how long.
//! - [`request_log`]: what is logged of them.
//! - `retry`: reads that are made again.

pub(super) mod connect;
pub mod io;
mod proxy_tunnel;
pub mod request_log;
pub(super) mod response;
pub(super) mod retry;
pub(super) mod transport;
