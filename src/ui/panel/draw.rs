//! Makes a screen of the panel's state. It only reads, but for what it notes of what was drawn where, for the mouse.

use jiff::{Timestamp, tz::TimeZone};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr as _;

pub use super::columns::PanelLook;
use super::{
    columns::{self, PanelColumn},
    dialog::PanelDialog,
    effect::UnansweredWhy,
    keys::BINDINGS,
    overlay,
    row::PanelRow,
    state::{DrawnScreen, EventsSize, PanelPane, PanelScope, PanelSpot, PanelState},
};
use crate::{
    model::forward::ForwardState,
    ui::{
        key_bindings,
        list::{self, RowState},
        wording::Severity,
    },
};

/// Rows of a screen from which on the events have a part of it.
const ROWS_FOR_EVENTS: u16 = 12;
/// Columns in front of a row: its mark.
const MARGIN: u16 = 2;

const STOP: &str = "[ Stop ]";
const STOP_ALL: &str = "[ Stop all ]";

/// Draws the panel.
pub fn draw(frame: &mut Frame<'_>, state: &mut PanelState, look: PanelLook, now: Timestamp) {
    let area = frame.area();
    let first = state.drawn.first;
    state.drawn = DrawnScreen { first, ..DrawnScreen::default() };
    if area.width == 0 || area.height < 3 {
        return;
    }
    let buffer = frame.buffer_mut();
    let at = |y: u16, height: u16| Rect { y, height, ..area };
    header(buffer, at(0, 1), state, look);
    let body = area.height - 2;
    let events = match state.events {
        EventsSize::All => body,
        EventsSize::Part if area.height < ROWS_FOR_EVENTS => 0,
        EventsSize::Part => body / 3,
    };
    if body > events {
        forwards(buffer, at(1, body - events), state, look, now);
    }
    if events > 0 {
        log(buffer, at(1 + body - events, events), state, look);
    }
    let foot = at(area.height - 1, 1);
    if let Some(column) = footer(buffer, foot, state, look) {
        frame.set_cursor_position((column, foot.y));
    }
    overlay::draw(frame, state, look);
}

/// The colour of a severity, where there are colours.
pub(super) fn color(severity: Severity, look: PanelLook) -> Style {
    let color = match severity {
        Severity::Good => Color::Green,
        Severity::Plain => Color::Reset,
        Severity::Warning => Color::Yellow,
        Severity::Error => Color::Red,
    };
    if look.color { Style::new().fg(color) } else { Style::new() }
}

fn of_state(state: RowState) -> Severity {
    match state {
        RowState::Running(ForwardState::Active) => Severity::Good,
        RowState::Running(ForwardState::Lost) | RowState::Failed => Severity::Error,
        RowState::Running(ForwardState::Starting | ForwardState::Stopped) | RowState::Stopped => {
            Severity::Plain
        }
        RowState::Running(_) | RowState::Suspended | RowState::Silent => Severity::Warning,
    }
}

fn put(buffer: &mut Buffer, area: Rect, line: &Line<'_>) {
    buffer.set_line(area.x, area.y, line, area.width);
}

/// What there is, and the buttons.
fn header(buffer: &mut Buffer, area: Rect, state: &mut PanelState, look: PanelLook) {
    let mut left =
        vec![Span::styled("kubectl fwd", Modifier::BOLD), Span::raw("  "), Span::raw(count(state))];
    for (wanted, severity, word) in [
        (RowState::Running(ForwardState::Waiting), Severity::Warning, "waiting"),
        (RowState::Running(ForwardState::Reconnecting), Severity::Warning, "reconnecting"),
        (RowState::Running(ForwardState::Lost), Severity::Error, "lost"),
        (RowState::Failed, Severity::Error, "failed"),
    ] {
        let count = state.rows.iter().filter(|row| row.state == wanted).count();
        if count > 0 {
            left.push(Span::styled(format!("  {count} {word}"), color(severity, look)));
        }
    }
    let left_out: usize = state.left_out.values().sum();
    if left_out > 0 {
        left.push(Span::styled(format!("  {left_out} more are not shown"), color(Severity::Warning, look)));
    }
    for (why, text) in [(UnansweredWhy::Suspended, "suspended"), (UnansweredWhy::Silent, "without an answer")]
    {
        let all: Vec<_> =
            state.unanswered.iter().filter(|(_, own)| **own == why).map(|(pid, _)| pid.to_string()).collect();
        if !all.is_empty() {
            let text = format!("  {text}: process {}", all.join(", "));
            left.push(Span::styled(text, color(Severity::Warning, look)));
        }
    }
    if !state.filter.is_empty() {
        left.push(Span::styled(format!("  /{}", state.filter), Modifier::BOLD));
    }
    put(buffer, area, &Line::from(left));
    let mut right = area.right();
    for (text, spot) in [(STOP_ALL, PanelSpot::StopAll), (STOP, PanelSpot::Stop)] {
        let width = text.len() as u16 + 1;
        // A narrow screen has the keys.
        if right < area.x + width + 28 {
            break;
        }
        right -= width;
        let button = Rect { x: right, width, ..area };
        put(buffer, button, &Line::from(vec![Span::raw(" "), Span::styled(text, Modifier::REVERSED)]));
        state.drawn.spots.push((button, spot));
    }
}

fn count(state: &PanelState) -> String {
    let living = state.rows.iter().filter(|row| row.ended.is_none());
    let mut pids: Vec<u32> = living.map(|row| row.forward.pid).collect();
    let forwards = pids.len();
    pids.dedup();
    pids.sort_unstable();
    pids.dedup();
    let plural =
        |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
    let forwards = plural(forwards, "forward", "forwards");
    match state.scope {
        PanelScope::AllProcesses if !pids.is_empty() => {
            format!("{forwards} in {}", plural(pids.len(), "process", "processes"))
        }
        _ => forwards,
    }
}

/// The table.
fn forwards(buffer: &mut Buffer, area: Rect, state: &mut PanelState, look: PanelLook, now: Timestamp) {
    let height = usize::from(area.height.saturating_sub(1));
    let shown = state.shown();
    if shown.is_empty() {
        let text = match (state.rows.is_empty(), state.met, state.scope) {
            (false, ..) => "No forward has this text. Esc takes the filter back.",
            (true, false, PanelScope::ThisProcess) => "",
            (true, ..) => "No forwards are running. Press a to add one.",
        };
        put(
            buffer,
            Rect { x: area.x + MARGIN, width: area.width.saturating_sub(MARGIN), ..area },
            &Line::raw(text),
        );
        return;
    }
    let inner = usize::from(area.width.saturating_sub(MARGIN));
    let columns = columns::fit(&shown, look, inner, now);
    let heads: String =
        columns.iter().map(|(column, width)| columns::cell(column.head(), *width, look)).collect();
    let bold = if state.pane == PanelPane::Forwards {
        Modifier::BOLD | Modifier::UNDERLINED
    } else {
        Modifier::BOLD
    };
    put(buffer, area, &Line::from(vec![Span::raw("  "), Span::styled(heads.trim_end().to_owned(), bold)]));
    let selected = state.position().unwrap_or(0);
    let last = shown.len().saturating_sub(height);
    // As little as is needed to have the selected one on the screen.
    let first = state.drawn.first.min(selected).max((selected + 1).saturating_sub(height)).min(last);
    let mut spots = Vec::new();
    for (line, row) in shown.iter().skip(first).take(height).enumerate() {
        let place = Rect { y: area.y + 1 + line as u16, height: 1, ..area };
        let marked = state.marked.contains(&row.forward.id);
        let is_selected = first + line == selected;
        put(buffer, place, &row_line(row, &columns, marked, look, now));
        if row.ended.is_some() {
            buffer.set_style(place, Modifier::DIM);
        }
        if is_selected {
            buffer.set_style(place, Modifier::REVERSED);
        }
        spots.push((place, PanelSpot::Row(row.forward.id)));
    }
    state.drawn.spots.extend(spots);
    (state.drawn.first, state.drawn.rows) = (first, height);
}

fn row_line(
    row: &PanelRow,
    columns: &[(PanelColumn, usize)],
    marked: bool,
    look: PanelLook,
    now: Timestamp,
) -> Line<'static> {
    let mark = match (marked, look.unicode) {
        (false, _) => "  ",
        (true, true) => "✓ ",
        (true, false) => "x ",
    };
    let mut spans = vec![Span::raw(mark)];
    for (column, width) in columns {
        let text = columns::cell(&column.cell(row, look, now), *width, look);
        let style = match column {
            PanelColumn::State | PanelColumn::StateSign => color(of_state(row.state), look),
            PanelColumn::Connections if row.forward.connections.failed > 0 => color(Severity::Warning, look),
            PanelColumn::LastEvent => row.log.back().map_or(Style::new(), |line| color(line.severity, look)),
            _ => Style::new(),
        };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

/// The events of the selected one, the newest at the bottom.
fn log(buffer: &mut Buffer, area: Rect, state: &mut PanelState, look: PanelLook) {
    let height = usize::from(area.height.saturating_sub(1));
    let title = state
        .selected_row()
        .map_or("events".to_owned(), |row| format!("events of {}", list::named(&row.forward)));
    let rule = if look.unicode { "─" } else { "-" };
    let title = columns::cut(&format!("{rule}{rule} {title} "), usize::from(area.width), look);
    let rest = usize::from(area.width).saturating_sub(title.width());
    let style = if state.pane == PanelPane::Events { Modifier::BOLD } else { Modifier::DIM };
    put(buffer, area, &Line::styled(title + &rule.repeat(rest), style));
    let lines = state.selected_row().map_or(0, |row| row.log.len());
    state.below = state.below.min(lines.saturating_sub(height));
    if let Some(row) = state.selected_row() {
        let end = lines - state.below;
        for (y, line) in row.log.range(end.saturating_sub(height)..end).enumerate() {
            let place = Rect { y: area.y + 1 + y as u16, height: 1, ..area };
            let time = Span::styled(format!("{}  ", clock(line.at)), Modifier::DIM);
            put(
                buffer,
                place,
                &Line::from(vec![time, Span::styled(line.text.clone(), color(line.severity, look))]),
            );
        }
    }
    state.drawn.spots.push((area, PanelSpot::Events));
    state.drawn.lines = height;
}

/// The time of day here.
fn clock(at: Timestamp) -> String {
    let here = at.to_zoned(TimeZone::system());
    format!("{:02}:{:02}:{:02}", here.hour(), here.minute(), here.second())
}

/// What is typed, what is to be said, or which keys there are. Gives the column of the cursor, where something is typed.
fn footer(buffer: &mut Buffer, area: Rect, state: &PanelState, look: PanelLook) -> Option<u16> {
    let typed = match &state.dialog {
        Some(PanelDialog::Filter) => Some(("Filter: ", &state.filter)),
        Some(PanelDialog::SetName(_, name)) => Some(("Save as: ", name)),
        _ => None,
    };
    if let Some((prompt, typed)) = typed {
        put(buffer, area, &Line::from(vec![Span::styled(prompt, Modifier::BOLD), Span::raw(typed.as_str())]));
        let column = prompt.len() + typed.as_str().width();
        return Some(area.x + (column as u16).min(area.width - 1));
    }
    if let Some(message) = &state.message {
        put(buffer, area, &Line::styled(message.text.clone(), color(message.severity, look)));
        return None;
    }
    put(buffer, area, &key_bindings::foot(BINDINGS, area.width, |_| true));
    None
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
