//! The table of targets: its columns, and which are left out where the screen is narrow.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ratatui::{buffer::Buffer, layout::Rect, style::Modifier, text::Line};
use unicode_width::UnicodeWidthStr as _;

use super::{
    entry::{EntrySource, TargetEntry},
    rows::{MARGIN, put, rows},
    search::SearchEntry as _,
    state::PickerState,
};
use crate::{
    cluster::catalog::ReadyPods,
    model::target::Kind,
    ui::{
        escape, list,
        panel::columns::{PanelLook, cell},
    },
};

/// The widest that a name makes its column.
const MAX_TARGET: usize = 60;
/// And all ports of a target.
const MAX_PORTS: usize = 36;
/// The least that names are given before a column is left out.
const MIN_TARGET: usize = 24;
/// Blanks between columns.
const GAP: usize = 2;

const HEADS: [&str; 4] = ["TARGET", "PORTS", "READY", "AGE"];
/// The columns in the order in which a narrow screen does without them.
const DISPENSABLE: [usize; 3] = [3, 1, 2];

/// Draws it.
pub(super) fn targets(
    buffer: &mut Buffer,
    area: Rect,
    state: &mut PickerState,
    look: PanelLook,
    now: Timestamp,
) {
    let has_heads = area.height > 1 && !state.targets.is_empty();
    let body = if has_heads { Rect { y: area.y + 1, height: area.height - 1, ..area } } else { area };
    state.top = body.y;
    state.targets.scroll_to(body.height.into());
    let shown: Vec<&TargetEntry> =
        state.targets.shown(state.targets.first).take(body.height.into()).collect();
    let counts_pods = state.listing.is_complete(Kind::Pod);
    let pods: Vec<(&BTreeMap<String, String>, bool)> = state
        .targets
        .entries()
        .iter()
        .filter_map(TargetEntry::item)
        .filter(|item| item.kind == Kind::Pod && counts_pods)
        .map(|pod| (&pod.labels, pod.ready == ReadyPods::Counted(1, 1)))
        .collect();
    let cells: Vec<(String, [String; 4])> =
        shown.iter().map(|entry| (entry.words().to_owned(), cells(entry, &pods, counts_pods, now))).collect();
    let width = usize::from(area.width).saturating_sub(MARGIN);
    let columns = fit(&cells, width);
    let line = |cells: &[String; 4]| {
        columns.iter().map(|(at, width)| cell(&cells[*at], *width, look)).collect::<String>()
    };
    if has_heads {
        let heads = format!("  {}", line(&HEADS.map(str::to_owned)).trim_end());
        put(buffer, area, &Line::styled(heads, Modifier::BOLD));
    }
    let marked: Vec<_> = state.marked.iter().map(|one| one.target.clone()).collect();
    rows(
        buffer,
        body,
        &mut state.targets,
        look,
        |one| marked.contains(&one.target),
        |one| {
            let own = cells.iter().find(|(words, _)| words == one.words());
            own.map_or_else(String::new, |(_, cells)| line(cells))
        },
    );
}

/// Which columns there are, and how wide each is.
fn fit(rows: &[(String, [String; 4])], width: usize) -> Vec<(usize, usize)> {
    let widest =
        |at: usize| rows.iter().map(|(_, cells)| cells[at].width()).fold(HEADS[at].len(), usize::max);
    let most = [MAX_TARGET, MAX_PORTS, usize::MAX, usize::MAX];
    let mut columns: Vec<(usize, usize)> =
        (0..HEADS.len()).map(|at| (at, widest(at).min(most[at]))).collect();
    let total = |columns: &[(usize, usize)]| columns.iter().map(|(_, wide)| wide + GAP).sum::<usize>() - GAP;
    for at in DISPENSABLE {
        let over = total(&columns).saturating_sub(width);
        let spare = columns[0].1.saturating_sub(MIN_TARGET);
        if over > spare {
            columns.retain(|(own, _)| *own != at);
        }
    }
    let over = total(&columns).saturating_sub(width);
    columns[0].1 = columns[0].1.saturating_sub(over);
    columns
}

fn cells(
    entry: &TargetEntry,
    pods: &[(&BTreeMap<String, String>, bool)],
    counts_pods: bool,
    now: Timestamp,
) -> [String; 4] {
    let name = escape::line(entry.words()).into_owned();
    let Some(item) = entry.item() else {
        let ports = entry.ports().iter().map(|port| port.port.clone()).collect::<Vec<_>>().join(", ");
        let how = if entry.source == EntrySource::Typed { "as typed" } else { "used before" };
        let ports = if ports.is_empty() { how.to_owned() } else { escape::line(&ports).into_owned() };
        return [name, ports, "-".to_owned(), "-".to_owned()];
    };
    let port = |port: &crate::cluster::catalog::DeclaredPort| match &port.name {
        Some(name) => format!("{} {name}", port.number),
        None => port.number.to_string(),
    };
    let ports = item.ports.iter().map(port).collect::<Vec<_>>().join(", ");
    let ready = match &item.ready {
        ReadyPods::Counted(ready, all) => Some((*ready, *all)),
        ReadyPods::Selected(selector) if counts_pods => Some(count(selector, pods)),
        ReadyPods::Selected(_) | ReadyPods::Unknown => None,
    };
    [
        name,
        if ports.is_empty() { "-".to_owned() } else { escape::line(&ports).into_owned() },
        ready.map_or_else(|| "-".to_owned(), |(ready, all)| format!("{ready}/{all}")),
        item.created.map_or_else(|| "-".to_owned(), |created| list::age(created, now)),
    ]
}

/// How many of the pods with these labels are ready, and how many there are.
fn count(selector: &BTreeMap<String, String>, pods: &[(&BTreeMap<String, String>, bool)]) -> (u64, u64) {
    let matches = |labels: &BTreeMap<String, String>| {
        selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let of = pods.iter().filter(|(labels, _)| matches(labels));
    of.fold((0, 0), |(ready, all), (_, is_ready)| (ready + u64::from(*is_ready), all + 1))
}
