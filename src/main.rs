//! The binary: words in, an exit status out.

use std::{env, ffi::OsString, process::ExitCode};

/// musl's own allocator gives large buffers back to the system and asks for them again, for every few frames.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let argv: Vec<OsString> = env::args_os().skip(1).collect();
    ExitCode::from(kubectl_fwd::app::run(&argv))
}
