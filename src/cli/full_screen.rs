//! Whether a full screen can be shown.

use crate::{error::Fatal, ui::color::ColorEnvironment};

/// What stdin and stdout are, for what takes the whole screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TerminalKind {
    /// Not both of them are a terminal.
    #[default]
    None,
    /// One that can only go on writing.
    Dumb,
    /// One with a screen.
    Full,
}

impl TerminalKind {
    /// What these streams are.
    pub fn of(stdin_is_terminal: bool, signals: &ColorEnvironment) -> Self {
        match (stdin_is_terminal && signals.stdout_is_terminal, signals.dumb) {
            (false, _) => Self::None,
            (true, true) => Self::Dumb,
            (true, false) => Self::Full,
        }
    }

    /// The error where there is no screen.
    pub fn check(self) -> Result<(), Fatal> {
        let what = match self {
            Self::Full => return Ok(()),
            Self::Dumb => "this terminal (TERM=dumb) cannot show a full screen",
            Self::None => "a full screen needs a terminal, for stdin and for stdout",
        };
        Err(Fatal::new("fwd::usage::no_terminal", what)
            .help("to see forwards line by line, run: kubectl fwd list -w"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_screen_needs() {
        let terminal = ColorEnvironment { stdout_is_terminal: true, ..ColorEnvironment::default() };
        let dumb = ColorEnvironment { dumb: true, ..terminal };
        for (stdin, signals, expected, says) in [
            (true, terminal, TerminalKind::Full, ""),
            (false, terminal, TerminalKind::None, "stdin"),
            (true, ColorEnvironment::default(), TerminalKind::None, "stdout"),
            (true, dumb, TerminalKind::Dumb, "TERM=dumb"),
        ] {
            let kind = TerminalKind::of(stdin, &signals);
            assert_eq!(kind, expected);
            let said = kind.check().err().map(|fatal| fatal.to_string()).unwrap_or_default();
            assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{said}");
        }
    }
}
