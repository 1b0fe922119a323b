//! Draws what lies over the panel.

use ratatui::{
    Frame,
    layout::Rect,
    style::Modifier,
    text::Line,
    widgets::{Block, Clear, Widget as _},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    columns::{PanelLook, cut},
    dialog::{PanelDialog, PodChoice},
    keys::BINDINGS,
    row::PanelRow,
    state::{PanelSpot, PanelState},
};
use crate::{
    model::forward::TargetPod,
    ui::{
        escape, key_bindings,
        list::{self, size},
    },
};

const YES: &str = "[ Yes (y) ]";
const NO: &str = "[ No (n) ]";
/// Columns that the keys have in the help.
const KEYS: usize = 10;

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut PanelState, look: PanelLook) {
    match &state.dialog {
        None | Some(PanelDialog::Filter | PanelDialog::SetName(..)) => {}
        Some(PanelDialog::Help(above)) => {
            let (lines, above) = (help(), *above);
            let shown = text(frame, state, "Keys", &lines, above, look);
            state.dialog = Some(PanelDialog::Help(above.min(lines.len().saturating_sub(shown))));
        }
        Some(PanelDialog::Details) => match state.selected_row().map(details) {
            Some(lines) => _ = text(frame, state, "Details", &lines, 0, look),
            None => state.dialog = None,
        },
        Some(PanelDialog::Text(shown)) => {
            let shown = shown.clone();
            text(frame, state, &shown.title, &shown.lines, shown.above, look);
        }
        Some(PanelDialog::Confirm(question)) => {
            let lines = vec![question.text.clone(), String::new(), format!("{YES}  {NO}")];
            let inner = window(frame, state, "", &lines, look);
            let y = inner.y + 2;
            let mut x = inner.x;
            for (button, spot) in [(YES, PanelSpot::Yes), (NO, PanelSpot::No)] {
                let place = Rect { x, y, width: button.len() as u16, height: 1 }.intersection(inner);
                frame.buffer_mut().set_style(place, Modifier::REVERSED);
                state.drawn.spots.push((place, spot));
                x += button.len() as u16 + 2;
            }
        }
        Some(PanelDialog::Pods(choice)) => {
            let choice = choice.clone();
            pods(frame, state, &choice, look);
        }
    }
}

/// A window in the middle with these lines in it, as large as they are. Gives what is inside its frame.
fn window(
    frame: &mut Frame<'_>,
    state: &mut PanelState,
    title: &str,
    lines: &[String],
    look: PanelLook,
) -> Rect {
    let area = frame.area();
    let widest = lines.iter().map(|line| line.width()).fold(title.width() + 2, usize::max);
    let width = (widest as u16).saturating_add(4).min(area.width);
    let height = (lines.len() as u16).saturating_add(2).min(area.height);
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    Clear.render(place, frame.buffer_mut());
    let block = if look.unicode { Block::bordered() } else { Block::new() };
    let title = if title.is_empty() { String::new() } else { format!(" {title} ") };
    block.title(Line::styled(title, Modifier::BOLD)).render(place, frame.buffer_mut());
    let inner = Rect {
        x: place.x + 2.min(width / 2),
        y: place.y + 1.min(height / 2),
        width: width.saturating_sub(4),
        height: height.saturating_sub(2),
    };
    for (line, y) in lines.iter().zip(inner.y..inner.bottom()) {
        frame.buffer_mut().set_line(
            inner.x,
            y,
            &Line::raw(cut(line, usize::from(inner.width), look)),
            inner.width,
        );
    }
    state.drawn.spots.push((place, PanelSpot::Dialog));
    inner
}

/// A text that may be longer than the screen. Gives how many of its lines fit.
fn text(
    frame: &mut Frame<'_>,
    state: &mut PanelState,
    title: &str,
    lines: &[String],
    above: usize,
    look: PanelLook,
) -> usize {
    let fit = usize::from(frame.area().height.saturating_sub(2));
    let above = above.min(lines.len().saturating_sub(fit));
    let end = (above + fit).min(lines.len());
    let title = if lines.len() > fit {
        format!("{title} ({} to {end} of {} lines; Esc closes)", above + 1, lines.len())
    } else {
        format!("{title} (Esc closes)")
    };
    window(frame, state, &title, &lines[above..end], look);
    fit
}

fn help() -> Vec<String> {
    key_bindings::help(BINDINGS, KEYS).collect()
}

fn details(row: &PanelRow) -> Vec<String> {
    let one = &row.forward;
    let or_none = |text: Option<&str>| text.map_or("-".to_owned(), |text| escape::line(text).into_owned());
    let counts = &one.connections;
    [
        ("id", one.id.to_string()),
        ("name", or_none(one.label.as_deref())),
        ("target", list::target(one)),
        ("namespace", or_none(Some(&one.namespace))),
        ("context", or_none(one.context.as_deref())),
        ("kubeconfig", or_none(one.kubeconfig.as_deref())),
        ("local", escape::line(&list::local(one)).into_owned()),
        ("pod", or_none(one.pod.as_deref())),
        ("pod port", one.pod_port.map_or("-".to_owned(), |port| port.to_string())),
        ("state", format!("{} since {:.0}", row.state.word(), row.ended.unwrap_or(one.since))),
        (
            "connections",
            format!(
                "{} open, {} held, {} blocked; {} in all, {} failed, {} retried",
                counts.open, counts.held, counts.blocked, counts.total, counts.failed, counts.retried
            ),
        ),
        (
            "bytes",
            format!("{} from the pod, {} to the pod", size(one.bytes.inbound), size(one.bytes.outbound)),
        ),
        ("pod changes", one.restarts.to_string()),
        ("last error", or_none(one.last_error.as_deref())),
        ("process", one.pid.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| format!("{name:12} {value}"))
    .collect()
}

fn pods(frame: &mut Frame<'_>, state: &mut PanelState, choice: &PodChoice, look: PanelLook) {
    let fit = usize::from(frame.area().height.saturating_sub(4)).max(1);
    let first = (choice.at + 1).saturating_sub(fit);
    let shown: Vec<&TargetPod> = choice.pods.iter().skip(first).take(fit).collect();
    let widest = choice.pods.iter().map(|pod| pod.name.width()).max().unwrap_or(0);
    let line = |pod: &&TargetPod| {
        let how = match (pod.current, pod.candidate, pod.reason.as_deref()) {
            (true, ..) => "in use".to_owned(),
            (false, true, _) => "ready".to_owned(),
            (false, false, Some(why)) => escape::line(why).into_owned(),
            (false, false, None) if pod.ready => "without the port".to_owned(),
            (false, false, None) => "not ready".to_owned(),
        };
        format!("{:widest$}  {how}", escape::line(&pod.name))
    };
    let mut lines: Vec<String> = shown.iter().map(line).collect();
    lines.extend([String::new(), "Enter chooses, Esc closes".to_owned()]);
    let title = format!("Another pod for {}", choice.target);
    let inner = window(frame, state, &title, &lines, look);
    for (at, y) in (first..first + shown.len()).zip(inner.y..inner.bottom()) {
        let place = Rect { y, height: 1, ..inner };
        let style = match choice.pods.get(at) {
            _ if at == choice.at => Modifier::REVERSED,
            Some(pod) if !pod.candidate => Modifier::DIM,
            _ => Modifier::empty(),
        };
        frame.buffer_mut().set_style(place, style);
        state.drawn.spots.push((place, PanelSpot::Pod(at)));
    }
}
