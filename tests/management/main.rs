//! Forwards in the background, sets, and what scripts wait for, end to end: several processes of the built program at a
//! time, real sockets, and a cluster of its own for every test.
//!
//! Nothing here sleeps. A test waits for what it is about; where that is a process that is not its child, it looks again
//! until it is so.

#![cfg(unix)]

mod background;
mod current;
mod ended;
mod logs;
mod ready;
mod set_status;
mod sets;
mod taken;
mod trust;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");
