//! Real applications behind the built `kubectl-fwd`, driven by the clients that people use: PostgreSQL over TLS, Redis, nginx
//! (HTTP, HTTP/2 without TLS, WebSocket) and gRPC.
//!
//! A server is a process of this machine, in a directory of its own, and pods of the sandbox pass a port on to it. What is
//! checked is that everything arrives: no failure, the same bytes, the right counts. How fast it is, is no test:
//! `figures.rs` prints that as a table.
//!
//! Programs that are not there are named, once each, and what needs them is skipped; with `FWD_REQUIRE_APPLICATIONS` set
//! that is a failure.

#![cfg(unix)]

mod behind;
mod figures;
mod grpc;
mod nginx;
mod passing;
mod postgres;
mod programs;
mod redis;
mod running;
mod servers;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");
