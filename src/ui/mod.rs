//! F4: what a person sees. Everything here only reads events; nothing it does, or fails to do, touches a forward.

pub mod color;
pub mod columns;
pub mod doctor;
pub mod dump;
pub mod escape;
pub mod json;
pub mod key_bindings;
pub mod known;
pub mod list;
pub mod log;
pub mod outages;
pub mod output_writer;
pub mod panel;
pub mod people;
pub mod picker;
pub mod report;
#[cfg(test)]
mod screen_lines;
pub mod status;
mod status_area;
pub mod status_line;
mod stream_writer;
pub mod text;
pub mod throttle;
pub mod wording;
pub mod yaml;

use jiff::{Timestamp, Unit};

use self::color::{ColorEnvironment, Colors};

/// How it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// In words.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

/// Who reads stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StdoutReader {
    /// A program, perhaps: it finds kubectl's lines there, byte for byte.
    #[default]
    Program,
    /// A person at a terminal.
    Person,
}

/// How people are told of what lasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Presentation {
    /// By lines, now and then.
    #[default]
    Lines,
    /// By status lines at the bottom of the terminal, which change in place.
    Live,
}

/// Whether lines for people begin with the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LineTimes {
    /// They do not.
    #[default]
    Hidden,
    /// They do.
    Shown,
}

/// What the user wants to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputSettings {
    /// How it is told.
    pub output: OutputFormat,
    /// Errors only.
    pub quiet: bool,
    /// Who reads stdout.
    pub stdout: StdoutReader,
    /// How people are told of what lasts.
    pub presentation: Presentation,
    /// `--timestamps`.
    pub times: LineTimes,
    /// Where colour goes.
    pub colors: Colors,
    /// `-v`.
    pub verbosity: u8,
}

impl OutputSettings {
    /// Fits what is shown to these terminals. Where errors alone are shown, or programs read it, nothing changes in place.
    #[must_use]
    pub fn on(self, terminals: &ColorEnvironment) -> Self {
        let live = terminals.can_move_cursor() && !self.quiet && self.output == OutputFormat::Text;
        Self {
            presentation: if live { Presentation::Live } else { Presentation::Lines },
            stdout: if terminals.stdout_is_terminal { StdoutReader::Person } else { StdoutReader::Program },
            ..self
        }
    }
}

impl LineTimes {
    /// What stands in front of a line.
    pub fn prefix(self) -> String {
        match self {
            Self::Hidden => String::new(),
            Self::Shown => format!("{} ", Timestamp::now().round(Unit::Millisecond).unwrap_or_default()),
        }
    }
}
