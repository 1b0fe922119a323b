//! `doctor`: what it says where all is well, and where one thing after the other is missing.
//!
//! The built program is run as a shell runs it, against a sandbox or a server made for the case. Whatever it finds, [`run`]
//! holds it to what is true of every diagnosis: the exit status is 1 where a check failed and 0 where none did, what failed
//! comes with what to do, and nothing secret is shown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod config;
#[cfg(unix)]
mod interrupt;
mod kubectl;
mod run;
mod server;
mod target;
mod well;
