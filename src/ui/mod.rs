//! F4: what a person sees. Everything here only reads events; nothing it does, or fails to do, touches a forward.

pub mod color;
pub mod door;
pub mod escape;
pub mod json;
pub mod lines;
pub mod list;
pub mod log;
pub mod report;
pub mod throttle;
pub mod wording;

use self::color::Colors;

/// How it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// In words.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// What the user wants to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// How it is told.
    pub output: Output,
    /// Errors only.
    pub quiet: bool,
    /// Where colour goes.
    pub colors: Colors,
    /// `-v`.
    pub verbosity: u8,
}
