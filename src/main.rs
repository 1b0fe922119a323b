//! The binary: words in, an exit status out.

use std::{env, ffi::OsString, process::ExitCode};

fn main() -> ExitCode {
    let argv: Vec<OsString> = env::args_os().skip(1).collect();
    ExitCode::from(kubectl_fwd::app::run(&argv))
}
