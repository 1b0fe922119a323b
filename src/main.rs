//! The binary: words in, an exit status out.

use std::{env, ffi::OsString, process::ExitCode};

fn main() -> ExitCode {
    let mut words = env::args_os();
    let name = words.next().unwrap_or_default();
    let argv: Vec<OsString> = words.collect();
    ExitCode::from(kubectl_fwd::app::run(&name, &argv))
}
