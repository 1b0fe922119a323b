//! Ports, as a word each.

use std::str::FromStr;

use crate::{
    error::Fatal,
    model::ports::{PortError, PortSpec},
};

/// Reads one port: `[[ADDRESS:]LOCAL:]REMOTE`.
pub fn port(text: &str) -> Result<PortSpec, Fatal> {
    PortSpec::parse(text).map_err(|error| bad_port(text, &error))
}

/// The error for a word that is no port.
pub fn bad_port(text: &str, error: &PortError) -> Fatal {
    let what = if text.is_empty() { "a port is empty".to_owned() } else { error.to_string() };
    Fatal::new("fwd::usage::bad_port", what).help(match error {
        PortError::BadAddress(_) => {
            "the address in front of a port is an IP or localhost: 127.0.0.1:8080:80, [::1]:8080:80"
        }
        PortError::OutOfRange { part, .. } if part == "0" => {
            "for any free local port write :PORT, for example :80"
        }
        _ => "write a port as REMOTE, LOCAL:REMOTE or :REMOTE, for example 8080:80",
    })
}

/// Reads `[[ADDRESS:]LOCAL:]REMOTE`: `8080:http`, `80` for the same local port, `:80` for any free one,
/// `unix:/tmp/api.sock:80` for a Unix socket.
impl FromStr for PortSpec {
    type Err = Fatal;

    fn from_str(text: &str) -> Result<Self, Fatal> {
        port(text)
    }
}
