//! F4: what a person sees. Everything here only reads events; nothing it does, or fails to do, touches a forward.

pub mod color;
pub mod door;
pub mod escape;
pub mod lines;
pub mod log;
pub mod report;
pub mod throttle;
pub mod wording;

use self::color::Colors;

/// What the user wants to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Errors only.
    pub quiet: bool,
    /// Where colour goes.
    pub colors: Colors,
    /// `-v`.
    pub verbosity: u8,
}
