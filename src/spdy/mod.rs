//! F1, SPDY/3.1 as port-forwarding speaks it, sans-IO: bytes in, events and bytes out (PROTOCOL §2, §3).

mod credit;
pub mod frame;
pub mod header;
pub mod session;
