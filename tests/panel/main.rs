//! The panel as a person has it: the built binary in a terminal (tmux), with keys and a mouse, on the sandbox.
//!
//! Where there is no tmux these tests say so and pass; with `FWD_REQUIRE_TMUX` they fail.
#![cfg(unix)]

mod adding;
mod leaving;
#[cfg(target_os = "linux")]
mod load;
mod looking;
mod picking;
mod steering;
mod usage;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");
