//! What a test sees of a full screen.

use ratatui::{Frame, Terminal, backend::TestBackend};
use unicode_width::UnicodeWidthStr as _;

/// The lines of a screen of that size. A cell behind a wide character is its second half.
pub(super) fn screen_lines(width: u16, height: u16, draw: impl FnOnce(&mut Frame<'_>)) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(draw).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let (mut line, mut skip) = (String::new(), 0);
        for x in 0..width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            skip = symbol.width().saturating_sub(1);
            line.push_str(symbol);
        }
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}
