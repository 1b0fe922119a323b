//! Whether to colour, decided once for each stream.
//!
//! The crates that colour each have their own idea of `NO_COLOR` and of pipes, so none of them is asked: the decision
//! made here is what owo-colors, miette and tracing are told.

use owo_colors::{OwoColorize as _, Style};

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// As the environment and the terminal say.
    #[default]
    Auto,
    /// Whatever they say.
    Always,
    /// Not at all.
    Never,
}

/// What the environment and the terminals say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each true or not")]
pub struct ColorEnvironment {
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` or `FORCE_COLOR` is set, and neither empty nor 0.
    pub force_color: bool,
    /// `TERM` is `dumb`.
    pub dumb: bool,
    /// stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// stderr is a terminal.
    pub stderr_is_terminal: bool,
    /// The terminal is known to understand the sequences that move its cursor. An old console of Windows prints them.
    pub moves_cursor: bool,
}

/// How a text is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Styling {
    /// As it is.
    #[default]
    Plain,
    /// With ANSI escape sequences for colours.
    Ansi,
}

/// How each stream is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Colors {
    /// stdout.
    pub stdout: Styling,
    /// stderr.
    pub stderr: Styling,
}

impl ColorEnvironment {
    /// The flag first, then `NO_COLOR`, then those that force, then the terminal.
    pub fn decide(&self, when: ColorChoice) -> Colors {
        let stream = |is_terminal: bool| match when {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !self.no_color && (self.force_color || (is_terminal && !self.dumb)),
        };
        let styling = |is_terminal| if stream(is_terminal) { Styling::Ansi } else { Styling::Plain };
        Colors { stdout: styling(self.stdout_is_terminal), stderr: styling(self.stderr_is_terminal) }
    }

    /// Whether lines of stderr may change in place.
    pub fn can_move_cursor(&self) -> bool {
        self.can_draw() && self.moves_cursor
    }

    /// Whether an error may be drawn: a dumb terminal is but a slow pipe.
    pub fn can_draw(&self) -> bool {
        self.stderr_is_terminal && !self.dumb
    }
}

/// Colours a text, or leaves it alone. The only place that asks owo-colors for anything: its styles do not check.
pub fn paint(styling: Styling, text: &str, style: Style) -> String {
    match styling {
        Styling::Ansi => text.style(style).to_string(),
        Styling::Plain => text.to_owned(),
    }
}

/// The text without what [`paint`] adds, for a file.
pub fn strip_ansi(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        out.push_str(rest.strip_prefix('m').unwrap_or(rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_is_what_was_painted() {
        let painted = paint(Styling::Ansi, "x", Style::new().red().bold())
            + " y "
            + &paint(Styling::Ansi, "z", Style::new().yellow());
        assert_eq!((strip_ansi(&painted).as_str(), strip_ansi("x y").as_str()), ("x y z", "x y"));
    }

    #[test]
    fn one_decision() {
        let terminal = ColorEnvironment {
            stdout_is_terminal: true,
            stderr_is_terminal: true,
            ..ColorEnvironment::default()
        };
        let piped = ColorEnvironment { stdout_is_terminal: false, ..terminal };
        let all = Colors { stdout: Styling::Ansi, stderr: Styling::Ansi };
        for (signals, when, expected) in [
            (terminal, ColorChoice::Auto, all),
            (piped, ColorChoice::Auto, Colors { stdout: Styling::Plain, stderr: Styling::Ansi }),
            (ColorEnvironment::default(), ColorChoice::Auto, Colors::default()),
            (ColorEnvironment { dumb: true, ..terminal }, ColorChoice::Auto, Colors::default()),
            (ColorEnvironment { no_color: true, ..terminal }, ColorChoice::Auto, Colors::default()),
            (ColorEnvironment { force_color: true, ..ColorEnvironment::default() }, ColorChoice::Auto, all),
            (
                ColorEnvironment { no_color: true, force_color: true, ..terminal },
                ColorChoice::Auto,
                Colors::default(),
            ),
            (ColorEnvironment { no_color: true, ..ColorEnvironment::default() }, ColorChoice::Always, all),
            (ColorEnvironment { force_color: true, ..terminal }, ColorChoice::Never, Colors::default()),
        ] {
            assert_eq!(signals.decide(when), expected, "{signals:?} {when:?}");
        }
    }

    #[test]
    fn drawings_are_for_terminals_that_can() {
        let terminal = ColorEnvironment { stderr_is_terminal: true, ..ColorEnvironment::default() };
        assert!(terminal.can_draw() && ColorEnvironment { no_color: true, ..terminal }.can_draw());
        assert!(
            !ColorEnvironment { dumb: true, ..terminal }.can_draw()
                && !ColorEnvironment::default().can_draw()
        );
    }

    #[test]
    fn paint_is_off_or_on() {
        assert_eq!(paint(Styling::Plain, "x", Style::new().red()), "x");
        assert_eq!(paint(Styling::Ansi, "x", Style::new().red()), "\u{1b}[31mx\u{1b}[0m");
    }
}
