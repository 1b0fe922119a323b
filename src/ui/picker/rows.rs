//! The rows of a list.

use ratatui::{buffer::Buffer, layout::Rect, style::Modifier, text::Line};

use super::search::{SearchEntry, SearchList};
use crate::ui::panel::columns::{PanelLook, cut};

/// Columns in front of a row: its mark.
pub(super) const MARGIN: usize = 2;
pub(super) fn put(buffer: &mut Buffer, area: Rect, line: &Line<'_>) {
    buffer.set_line(area.x, area.y, line, area.width);
}

/// Draws the rows of a list that fit, the selected one among them.
pub(super) fn rows<T: SearchEntry>(
    buffer: &mut Buffer,
    area: Rect,
    list: &mut SearchList<T>,
    look: PanelLook,
    is_marked: impl Fn(&T) -> bool,
    line: impl Fn(&T) -> String,
) {
    list.scroll_to(usize::from(area.height));
    let mark = if look.unicode { "✓ " } else { "x " };
    for (place, entry) in list.shown(list.first).take(list.height).enumerate() {
        let row = Rect { y: area.y + place as u16, height: 1, ..area };
        let text = format!("{}{}", if is_marked(entry) { mark } else { "  " }, line(entry));
        put(buffer, row, &Line::raw(cut(text.trim_end(), area.width.into(), look)));
        if list.first + place == list.position() {
            buffer.set_style(row, Modifier::REVERSED);
        }
    }
}
