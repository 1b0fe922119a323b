//! What the end-to-end tests share: the program at work as a user has it, clients of what it forwards and of its control
//! sockets, and the processes of one user on one cluster.

pub mod client;
#[cfg(unix)]
pub mod control;
pub mod forward;
pub mod kubeconfig;
pub mod kubectl;
pub mod load;
pub mod pods;
pub mod processes;
pub mod servers;
#[cfg(unix)]
pub mod terminal;
mod world;

pub use client::{
    Failure, Test, answer, ask, connect, expect_refusal, expect_reset, post, refused, rest, send, within,
};
#[cfg(unix)]
pub use control::ControlClient;
pub use world::World;
