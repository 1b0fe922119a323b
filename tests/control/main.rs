//! Management, end to end: several processes of the built binary, and other programs that drive them over their
//! control sockets.
//!
//! Every test has a cluster and a runtime directory of its own, so that it sees its own processes only.
#![cfg(unix)]

mod contract;
mod hostile;
mod listing;
mod many;
mod methods;
mod python;
mod serving;
mod sharing;
mod socket_files;
mod steering;
mod stopping;
mod watching;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");
