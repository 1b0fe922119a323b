//! Draws status lines at the bottom of a terminal, and takes them away again.
//!
//! The cursor rests at the beginning of the first of them. So taking them away is one sequence, "erase from here to the end of
//! the screen", which is right however the terminal was resized meanwhile: whether it wraps anew or cuts off what no longer
//! fits, the cursor stays where it is in the text.

use std::io;

use super::status_line::StatusLine;

/// Back to the first column, and erase everything from there on.
const CLEAR: &str = "\r\u{1b}[J";
/// Erase what is left of this line.
const CLEAR_TO_END: &str = "\u{1b}[K";

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TerminalSize {
    pub columns: usize,
    pub rows: usize,
}

impl Default for TerminalSize {
    /// What terminals have that were never resized.
    fn default() -> Self {
        Self { columns: 80, rows: 24 }
    }
}

impl TerminalSize {
    /// That of the terminal that stderr is.
    pub(super) fn of_stderr() -> Self {
        let size = terminal_size::terminal_size_of(io::stderr());
        size.map_or_else(Self::default, |(columns, rows)| Self {
            columns: columns.0.into(),
            rows: rows.0.into(),
        })
    }
}

/// Where status lines are drawn.
pub(super) struct StatusArea {
    size: fn() -> TerminalSize,
    is_drawn: bool,
}

impl StatusArea {
    pub(super) fn new(size: fn() -> TerminalSize) -> Self {
        Self { size, is_drawn: false }
    }

    /// What takes the lines away that are there.
    pub(super) fn clear(&mut self) -> String {
        if std::mem::take(&mut self.is_drawn) { CLEAR.to_owned() } else { String::new() }
    }

    /// What shows these lines in place of those that are there.
    pub(super) fn draw(&mut self, lines: &[StatusLine]) -> String {
        let TerminalSize { columns, rows } = (self.size)();
        // A last column that is filled makes some terminals wrap. What is above the lines keeps half of the terminal.
        let (columns, rows) = (columns.saturating_sub(1), rows / 2);
        if lines.is_empty() || columns == 0 || rows == 0 {
            return self.clear();
        }
        let shown: Vec<_> = lines.iter().take(rows).map(|line| line.fit(columns)).collect();
        let up = match shown.len() - 1 {
            0 => String::new(),
            up => format!("\u{1b}[{up}A"),
        };
        self.is_drawn = true;
        format!("\r{}{CLEAR_TO_END}\u{1b}[J{up}\r", shown.join(&format!("{CLEAR_TO_END}\r\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> StatusLine {
        StatusLine { text: text.into(), ..StatusLine::default() }
    }

    #[test]
    fn lines_are_drawn_over_and_taken_away() {
        let mut area = StatusArea::new(TerminalSize::default);
        assert_eq!((area.clear(), area.draw(&[])), (String::new(), String::new()));
        assert_eq!(area.draw(&[line("a")]), "\ra\u{1b}[K\u{1b}[J\r");
        assert_eq!(area.draw(&[line("a"), line("b")]), "\ra\u{1b}[K\r\nb\u{1b}[K\u{1b}[J\u{1b}[1A\r");
        assert_eq!((area.clear().as_str(), area.clear().as_str()), (CLEAR, ""));
        area.draw(&[line("a")]);
        assert_eq!(area.draw(&[]), CLEAR);
    }

    #[test]
    fn a_small_terminal_is_not_filled() {
        let mut area = StatusArea::new(|| TerminalSize { columns: 3, rows: 5 });
        assert_eq!(area.draw(&[line("abcd"), line("b"), line("c")]).matches('\n').count(), 1);
        assert!(area.draw(&[line("abcd")]).contains("\ra…\u{1b}"));
        let mut area = StatusArea::new(|| TerminalSize { columns: 0, rows: 0 });
        assert_eq!(area.draw(&[line("a")]), "");
    }
}
