//! Makes a screen of the picker's state. It only reads, but for what it notes of what was drawn where.

use jiff::Timestamp;
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    keys::PICKER_BINDINGS,
    rows::{MARGIN, put, rows},
    state::PickerState,
    step::{LocalWait, PickerStep, PlaceKind},
    table,
};
use crate::ui::{
    escape, key_bindings,
    panel::columns::{PanelLook, cut},
    wording::Severity,
};

/// Columns that the keys have in the help.
const KEYS: usize = 8;
/// Rows of a note at most.
const NOTE_ROWS: usize = 2;

/// Draws the picker.
pub fn draw_picker(frame: &mut Frame<'_>, state: &mut PickerState, look: PanelLook, now: Timestamp) {
    let area = frame.area();
    if area.width == 0 || area.height < 4 {
        return;
    }
    let buffer = frame.buffer_mut();
    let at = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
    header(buffer, at(0, 1), state);
    if let Some(PickerStep::Help(above)) = state.steps.last() {
        let lines = help(state);
        let height = usize::from(area.height - 2);
        let above = (*above).min(lines.len().saturating_sub(height));
        for (line, y) in lines.iter().skip(above).take(height).zip(1..) {
            put(buffer, at(y, 1), &Line::raw(cut(line, area.width.into(), look)));
        }
        if let Some(PickerStep::Help(own)) = state.steps.last_mut() {
            *own = above;
        }
        put(buffer, at(area.height - 1, 1), &Line::raw("Any other key goes back."));
        return;
    }
    let cursor = prompt(buffer, at(1, 1), state);
    let notes = wrapped(state, now, usize::from(area.width));
    let most = usize::from(area.height - 3) / 2;
    let notes = &notes[..notes.len().min(most)];
    let foot = area.height - 1;
    let list = at(2, foot - 2 - notes.len() as u16);
    match state.steps.last() {
        Some(PickerStep::Ports(_)) => ports(buffer, list, state, look),
        Some(PickerStep::Place(_)) => places(buffer, list, state, look),
        Some(PickerStep::Local(_)) => local(buffer, list, state),
        Some(PickerStep::Help(_)) => {}
        None => table::targets(buffer, list, state, look, now),
    }
    for ((severity, line), y) in notes.iter().zip(foot - notes.len() as u16..) {
        put(buffer, at(y, 1), &Line::styled(line.clone(), color(*severity, look)));
    }
    footer(buffer, at(foot, 1), state);
    frame.set_cursor_position((cursor, area.y + 1));
}

/// The colour of a severity, where there are colours.
fn color(severity: Severity, look: PanelLook) -> Style {
    let color = match severity {
        Severity::Good => Color::Green,
        Severity::Plain => Color::Reset,
        Severity::Warning => Color::Yellow,
        Severity::Error => Color::Red,
    };
    if look.color { Style::new().fg(color) } else { Style::new() }
}

/// Where the picker looks, and how much it shows.
fn header(buffer: &mut Buffer, area: Rect, state: &PickerState) {
    let mut spans = vec![Span::styled("kubectl fwd", Modifier::BOLD)];
    let (context, namespace) = match &state.connected {
        Some((context, namespace)) => (context.as_deref(), Some(namespace.as_str())),
        None => (state.place.context.as_deref(), state.place.namespace.as_deref()),
    };
    for (word, name) in [("namespace", namespace), ("context", context)] {
        if let Some(name) = name {
            spans.push(Span::raw(format!("  {word} ")));
            spans.push(Span::styled(escape::line(name).into_owned(), Modifier::BOLD));
        }
    }
    let (shown, all) = (state.targets.len(), state.targets.entries().len());
    let count = match (state.marked.len(), state.steps.is_empty()) {
        (_, false) => String::new(),
        (0, true) => format!("{shown}/{all}"),
        (marked, true) => format!("{marked} marked  {shown}/{all}"),
    };
    let line = Line::from(spans);
    let wide = line.width() + 2;
    put(buffer, area, &line);
    let left = usize::from(area.width).saturating_sub(count.len());
    if left >= wide {
        put(buffer, Rect { x: area.x + left as u16, width: count.len() as u16, ..area }, &Line::raw(count));
    }
}

/// What is asked for and what is typed. Gives the column of the cursor.
fn prompt(buffer: &mut Buffer, area: Rect, state: &PickerState) -> u16 {
    let target = |at: usize| escape::line(&state.chosen[at].target.to_string()).into_owned();
    let (asked, typed) = match state.steps.last() {
        None => ("Forward to: ".to_owned(), state.targets.query()),
        Some(PickerStep::Ports(step)) => (format!("Port of {}: ", target(step.at)), step.list.query()),
        Some(PickerStep::Local(step)) => {
            let remote = &state.chosen[step.at].ports[step.port].remote;
            let remote = escape::line(&remote.to_string()).into_owned();
            (format!("Local port for {}:{remote}: ", target(step.at)), step.text.as_str())
        }
        Some(PickerStep::Place(step)) => {
            let word = if step.kind == PlaceKind::Namespace { "Namespace: " } else { "Context: " };
            (word.to_owned(), step.list.query())
        }
        Some(PickerStep::Help(_)) => (String::new(), ""),
    };
    let typed = escape::line(typed).into_owned();
    // The end of a long line is what is being typed.
    let room = usize::from(area.width).saturating_sub(1);
    let over = (asked.width() + typed.width()).saturating_sub(room);
    let asked: String = asked.chars().skip(over).collect();
    let typed: String = typed.chars().skip((asked.width() + typed.width()).saturating_sub(room)).collect();
    let column = asked.width() + typed.width();
    put(buffer, area, &Line::from(vec![Span::styled(asked, Modifier::BOLD), Span::raw(typed)]));
    area.x + (column as u16).min(area.width - 1)
}

/// What is to be said, broken where the screen ends.
fn wrapped(state: &PickerState, now: Timestamp, width: usize) -> Vec<(Severity, String)> {
    let mut notes = match state.steps.last() {
        None => {
            let mut notes = state.listing.notes(now);
            if notes.is_empty() && state.targets.is_empty() {
                notes.push((Severity::Plain, nothing(state)));
            }
            notes
        }
        Some(PickerStep::Ports(step)) if step.is_loading => {
            vec![(Severity::Plain, "reading its ports; a port can be typed as well".to_owned())]
        }
        Some(PickerStep::Ports(step)) if step.list.entries().is_empty() => {
            vec![(Severity::Plain, "No ports are known; type one, a number or a name.".to_owned())]
        }
        Some(PickerStep::Place(step)) => step.notes(),
        Some(PickerStep::Local(_) | PickerStep::Ports(_) | PickerStep::Help(_)) => Vec::new(),
    };
    notes.extend(state.message.iter().map(|text| (Severity::Warning, escape::line(text).into_owned())));
    let lines = notes.iter().flat_map(|(severity, text)| {
        let lines = textwrap::wrap(text, width).into_iter().take(NOTE_ROWS);
        lines.map(|line| (*severity, line.into_owned()))
    });
    lines.collect()
}

fn nothing(state: &PickerState) -> String {
    if state.targets.entries().is_empty() {
        "There is nothing to forward to in this namespace. Ctrl-N chooses another one.".to_owned()
    } else {
        "Nothing has this name. Ctrl-U takes the text back, Ctrl-N chooses another namespace.".to_owned()
    }
}

fn ports(buffer: &mut Buffer, area: Rect, state: &mut PickerState, look: PanelLook) {
    state.top = area.y;
    let Some(PickerStep::Ports(step)) = state.steps.last_mut() else { return };
    let marked = step.marked.clone();
    rows(
        buffer,
        area,
        &mut step.list,
        look,
        |one| marked.contains(&one.port),
        |one| {
            let (port, about) = (escape::line(&one.port), escape::line(&one.about));
            format!("{port:<8}{about}")
        },
    );
}

fn places(buffer: &mut Buffer, area: Rect, state: &mut PickerState, look: PanelLook) {
    state.top = area.y;
    let Some(PickerStep::Place(step)) = state.steps.last_mut() else { return };
    rows(
        buffer,
        area,
        &mut step.list,
        look,
        |_| false,
        |one| {
            let (name, about) = (escape::line(&one.name), escape::line(&one.about));
            if about.is_empty() { name.into_owned() } else { format!("{name}  ({about})") }
        },
    );
}

/// What a local port may be.
fn local(buffer: &mut Buffer, area: Rect, state: &PickerState) {
    let Some(PickerStep::Local(step)) = state.steps.last() else { return };
    let mut lines = match (&step.wait, step.text.is_empty()) {
        (LocalWait::Proposal { .. }, true) => vec!["looking for a free port".to_owned()],
        (_, true) => vec!["Empty: any free port.".to_owned()],
        _ => vec!["Enter takes it. Type another one, or Ctrl-U and Enter for any free port.".to_owned()],
    };
    let decided = state.chosen.iter().filter(|chosen| !chosen.ports.is_empty());
    let decided: Vec<String> = decided.map(|chosen| escape::line(&chosen.told()).into_owned()).collect();
    if !decided.is_empty() {
        lines.push(String::new());
        lines.extend(decided);
    }
    let width = usize::from(area.width).saturating_sub(MARGIN);
    let lines = lines.iter().flat_map(|line| textwrap::wrap(line, width.max(1)));
    for (line, y) in lines.zip(area.y..area.bottom()) {
        let row =
            Rect { x: area.x + MARGIN.min(area.width.into()) as u16, y, width: width as u16, height: 1 };
        put(buffer, row, &Line::raw(line.into_owned()));
    }
}

/// The keys, and all about what is not shown.
fn help(state: &PickerState) -> Vec<String> {
    let mut lines = vec![
        "Type to search: the letters in their order, words apart by a space.".to_owned(),
        "What was forwarded to most, and last, comes first.".to_owned(),
        String::new(),
    ];
    lines.extend(key_bindings::help(PICKER_BINDINGS, KEYS));
    lines.extend(state.listing.details());
    lines
}

/// Which keys there are.
fn footer(buffer: &mut Buffer, area: Rect, state: &PickerState) {
    put(buffer, area, &key_bindings::foot(PICKER_BINDINGS, area.width, |action| state.has(action)));
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
