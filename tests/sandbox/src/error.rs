//! Why a sandbox could not start.

use std::fmt;
use std::io;

/// A sandbox could not be set up. Nothing in it is for a user of `kubectl fwd`.
#[derive(Debug)]
pub enum Error {
    /// A socket or a file.
    Io(io::Error),
    /// Certificates and keys.
    Tls(String),
    /// An object the cluster refused.
    Refused(String),
    /// No user with this name.
    NoSuchUser(String),
    /// What was waited for did not come about.
    Timeout(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Tls(error) => write!(f, "cannot set up TLS: {error}"),
            Self::Refused(message) => write!(f, "the cluster refused: {message}"),
            Self::NoSuchUser(name) => write!(f, "no user {name}"),
            Self::Timeout(what) => write!(f, "waited in vain for {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Tls(error.to_string())
    }
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error.to_string())
    }
}

impl From<crate::api::status::Status> for Error {
    fn from(status: crate::api::status::Status) -> Self {
        Self::Refused(status.to_string())
    }
}
