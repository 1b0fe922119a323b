//! A small Kubernetes cluster in one process, for tests, benchmarks and the demo.
//!
//! [`Sandbox::start`] gives an API server with TLS, users, RBAC, discovery, lists, watches and writes, controllers
//! that keep workloads and endpoints as they are wanted, and a node whose pods really listen. Real kubectl works
//! against it.
//!
//! How a request goes, from outside in: [`mod@serve`] (TCP, TLS, HTTP) → `rest` (who asks, for what, may they) →
//! `cluster` (what a write means) → `store` (objects and their history). Each change of the store wakes the
//! `controllers`, which change more, and the watches, which tell their clients.

pub mod client;
mod cluster;
mod controllers;
mod defaults;
pub mod demo;
mod discovery;
mod error;
pub mod faults;
pub mod forward;
mod kubeconfig;
pub mod kubectl;
pub mod load;
mod manifest;
mod meta;
pub mod node;
mod openapi;
mod options;
mod patch;
pub mod portforward;
mod protobuf;
mod rbac;
mod resources;
mod rest;
mod sandbox;
mod select;
pub mod serve;
mod shape;
mod status;
mod store;
mod table;
mod tls;
mod users;
pub mod websocket;

pub use error::Error;
pub use options::{Options, ServerCertificate};
pub use rbac::Rule;
pub use sandbox::Sandbox;
pub use users::{Credential, User};
