//! Bad input: each row is a command line, and what its error has to say.
//!
//! The built program is run as a shell runs it, against a sandbox or a server made for the row. Whatever was wrong, the
//! exit status is 1, stdout is empty, and stderr, which is no terminal, holds one plain error that says what failed, on
//! which object, why, and what to do. See [`check`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod access;
mod check;
mod kubeconfigs;
mod local_ports;
mod plugins;
mod pods;
mod proxies;
mod servers;
mod targets;
mod usage;
