//! Servers, each a process in a directory of its own that is gone when the test is over.

pub(crate) mod grpc;
pub(crate) mod nginx;
pub(crate) mod postgres;
mod process;
pub(crate) mod redis;

pub(crate) use process::{Directory, Server};
