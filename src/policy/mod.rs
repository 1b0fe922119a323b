//! F1, decisions: pure functions from what is known to what to do. No clock, no socket, no cluster, no printing.

pub mod backoff;
pub mod command_values;
pub mod disturbance;
pub mod liveness;
pub mod nearest;
pub mod placement;
pub mod retry;
pub mod rights;
pub mod safe_http;
pub mod select;
pub mod translate;
pub mod usage;
pub mod web_address;
