//! F4: what a person sees. Everything here only reads events; nothing it does, or fails to do, touches a forward.

pub mod color;
pub mod columns;
pub mod doctor;
pub mod escape;
pub mod json;
pub mod known;
pub mod list;
pub mod log;
pub mod outages;
pub mod output_writer;
pub mod people;
pub mod report;
pub mod text;
pub mod throttle;
pub mod wording;
pub mod yaml;

use self::color::Colors;

/// How it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// In words.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

/// What the user wants to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputSettings {
    /// How it is told.
    pub output: OutputFormat,
    /// Errors only.
    pub quiet: bool,
    /// Where colour goes.
    pub colors: Colors,
    /// `-v`.
    pub verbosity: u8,
}
