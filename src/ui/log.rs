//! The log of `-v NUMBER`, on stderr or wherever a process without one writes.
//!
//! At every level only targets are let through whose lines are known to hold no header and no body: tokens travel in
//! headers. Our own crate never logs one; hyper and kube log theirs at `trace`, which is never switched on.

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets, fmt::writer::BoxMakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

const OURS: &str = "kubectl_fwd";
/// Theirs, which `-v 8` adds, at `debug` and no further.
const THEIRS: [&str; 4] = ["hyper", "hyper_util", "kube_client", "kube_runtime"];

/// What is let through at this verbosity.
pub fn filter(verbosity: u8) -> Targets {
    let ours = match verbosity {
        0 => Level::WARN,
        1..=3 => Level::INFO,
        4..=6 => Level::DEBUG,
        7.. => Level::TRACE,
    };
    let theirs = if verbosity >= 8 { LevelFilter::DEBUG } else { LevelFilter::OFF };
    THEIRS.into_iter().fold(Targets::new().with_target(OURS, ours), |all, name| all.with_target(name, theirs))
}

/// Switches the log on for the process. A second call changes nothing.
pub fn install(verbosity: u8, color: bool, to: BoxMakeWriter) {
    // Left to itself it writes to stdout, and in colour even to a pipe.
    let layer = tracing_subscriber::fmt::layer().with_writer(to).with_ansi(color).with_target(verbosity >= 4);
    let _ = tracing_subscriber::registry().with(layer).with(filter(verbosity)).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_through() {
        for (verbosity, target, level, expected) in [
            (0, "kubectl_fwd::tunnel", Level::WARN, true),
            (0, "kubectl_fwd::tunnel", Level::INFO, false),
            (0, "kube_client::client", Level::ERROR, false),
            (1, "kubectl_fwd", Level::INFO, true),
            (3, "kubectl_fwd", Level::DEBUG, false),
            (4, "kubectl_fwd", Level::DEBUG, true),
            (6, "kubectl_fwd", Level::TRACE, false),
            (7, "kubectl_fwd", Level::TRACE, true),
            (7, "hyper::proto", Level::ERROR, false),
            (8, "hyper::proto", Level::DEBUG, true),
            (8, "kube_client::client", Level::DEBUG, true),
            // Where kube logs headers, and rustls keys.
            (9, "kube_client::client", Level::TRACE, false),
            (255, "hyper::proto", Level::TRACE, false),
            (255, "rustls::client", Level::ERROR, false),
            (255, "tower_http::trace", Level::ERROR, false),
        ] {
            assert_eq!(
                filter(verbosity).would_enable(target, &level),
                expected,
                "{verbosity} {target} {level}"
            );
        }
    }
}
