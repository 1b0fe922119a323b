//! What decides where sockets are.

use std::path::PathBuf;

use crate::error::Fatal;

/// What the environment says about where sockets are; read once, by `cli/resolve`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketEnvironment {
    /// `XDG_RUNTIME_DIR`.
    pub runtime: Option<PathBuf>,
    /// The directory for temporary files.
    pub temporary: PathBuf,
    /// The user's name, where names are all that keeps users apart.
    pub user: String,
}

pub(super) fn no_place(why: impl std::fmt::Display) -> Fatal {
    Fatal::new("fwd::control::place", "there is no safe directory for a control socket").because(why)
}
