//! The user's directories, as each system has them.

use std::path::PathBuf;

/// The user's directory for configuration, as each system has it. Pure, unlike the crates for such directories, which read the
/// environment themselves; and on macOS `XDG_CONFIG_HOME` counts where it is set.
pub(super) fn configuration(
    variable: impl Fn(&str) -> Option<PathBuf>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    if cfg!(windows) {
        return variable("APPDATA");
    }
    // A relative path means nothing, says the XDG specification.
    let xdg = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let own = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    xdg.or_else(|| Some(home?.join(own)))
}

/// The user's directory for what programs remember.
pub(super) fn state(variable: impl Fn(&str) -> Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if cfg!(windows) {
        return variable("LOCALAPPDATA");
    }
    let xdg = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let own = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" };
    xdg.or_else(|| Some(home?.join(own)))
}
