//! F2, the operating system: what several rooms need of it that is neither network nor cluster.
//!
//! [`mod@file`] replaces files whole, `identity` tells one file from another of the same name, [`permissions`] who may read
//! one, [`process_state`] whether a process is suspended, [`terminal`] whether it is somebody else's, and [`wait_limit`] bounds waits that the system itself does not end.

pub mod file;
#[cfg(unix)]
pub(crate) mod identity;
pub mod permissions;
pub mod process_state;
pub mod terminal;
pub mod wait_limit;
