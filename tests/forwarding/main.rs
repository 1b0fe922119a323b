//! Forwarding, end to end: the built `kubectl-fwd`, real sockets, and a cluster of its own for every test.
//!
//! Nothing here sleeps. A test waits for what it is about: a line that the program says, an answer, a change in the
//! cluster or in what an application has seen.
//!
//! Forwards are ended with signals, which Windows has not.

#![cfg(unix)]

mod addresses;
mod answers;
mod certificates;
mod descriptors;
mod disturbed;
mod ending;
mod halves;
mod isolation;
mod json;
mod kubeconfigs;
mod kubectl;
mod latency;
mod many;
mod pods;
mod pool;
mod ports;
mod replay;
mod report;
mod resent;
mod rights;
mod secrets;
mod sessions;
mod start;
mod targets;
mod traffic;
mod unready;
mod upgrade_faults;
mod verbosity;
