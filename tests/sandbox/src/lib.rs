//! A small Kubernetes cluster in one process, for tests, benchmarks and the demo.
//!
//! [`Sandbox::start`] gives an API server with TLS, users, RBAC, discovery, lists, watches and writes, controllers
//! that keep workloads and endpoints as they are wanted, and a node whose pods really listen. Real kubectl works
//! against it.
//!
//! How a request goes, from outside in: [`mod@serve`] (TCP, TLS, HTTP) → `rest` (who asks, for what, may they) →
//! `cluster` (what a write means, and in its `store` the objects and their history). Each change of the store wakes the
//! `controllers`, which change more, and the watches, which tell their clients.

mod api;
mod cluster;
mod controllers;
pub mod demo;
mod error;
pub mod faults;
mod identity;
pub mod node;
mod options;
pub mod portforward;
mod rest;
mod sandbox;
pub mod serve;
pub mod support;
pub mod websocket;

pub use error::Error;
pub use identity::rbac::Rule;
pub use identity::tls::ClientCertificate;
pub use identity::users::{Credential, User};
pub use options::{Options, ServerCertificate};
pub use sandbox::Sandbox;
