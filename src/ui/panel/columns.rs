//! The columns of the panel: what is in them, how wide they are, and which are left out where the screen is narrow.

use std::fmt::Write as _;

use jiff::Timestamp;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::row::{ByteRate, PanelRow, SAMPLES};
use crate::ui::{escape, list};

/// Blanks between columns.
const GAP: usize = 2;
/// The least of a column that is cut before it is left out.
const MIN_CUT: usize = 12;
/// The widest that a name makes its column.
const MAX_NAME: usize = 40;
/// What the widest column gets at most, where there is room: a sentence.
const MAX_EVENT: usize = 160;
/// A narrow screen keeps this much of a local address.
const MIN_LOCAL: usize = 8;

/// How a screen can draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanelLook {
    /// With the terminal's own colours. Without, with its attributes alone.
    pub color: bool,
    /// With more than ASCII.
    pub unicode: bool,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PanelColumn {
    State,
    /// A sign in place of the word, where there is no room for it.
    StateSign,
    Target,
    Context,
    Namespace,
    Local,
    Pod,
    Age,
    Connections,
    FromPod,
    ToPod,
    Bytes,
    LastEvent,
}

/// What a narrow screen can do without, the least important first.
const DISPENSABLE: [PanelColumn; 9] = [
    PanelColumn::LastEvent,
    PanelColumn::Bytes,
    PanelColumn::ToPod,
    PanelColumn::FromPod,
    PanelColumn::Pod,
    PanelColumn::Context,
    PanelColumn::Age,
    PanelColumn::Connections,
    PanelColumn::Namespace,
];

impl PanelColumn {
    pub(super) fn head(self) -> &'static str {
        match self {
            Self::State => "STATE",
            Self::StateSign => "",
            Self::Target => "TARGET",
            Self::Context => "CONTEXT",
            Self::Namespace => "NAMESPACE",
            Self::Local => "LOCAL",
            Self::Pod => "POD",
            Self::Age => "AGE",
            Self::Connections => "CONNECTIONS",
            Self::FromPod => "FROM POD",
            Self::ToPod => "TO POD",
            Self::Bytes => "BYTES",
            Self::LastEvent => "LAST EVENT",
        }
    }

    pub(super) fn cell(self, row: &PanelRow, look: PanelLook, now: Timestamp) -> String {
        let one = &row.forward;
        let name = |name: Option<&str>| {
            escape::line(name.filter(|name| !name.is_empty()).unwrap_or("-")).into_owned()
        };
        match self {
            Self::State => format!("{} {}", sign(row, look), row.state.word()),
            Self::StateSign => sign(row, look).to_string(),
            Self::Target => list::target(one),
            Self::Context => name(one.context.as_deref()),
            Self::Namespace => name(Some(&one.namespace)),
            Self::Local => escape::line(&list::local(one)).into_owned(),
            Self::Pod => name(one.pod.as_deref()),
            Self::Age => list::age(row.ended.unwrap_or(one.since), now),
            Self::Connections => {
                let counts = &one.connections;
                let mut text = format!("{}/{}", counts.open, counts.total);
                for (count, what) in [(counts.failed, "failed"), (counts.held, "held")] {
                    if count > 0 {
                        // Writing to a string does not fail.
                        let _ = write!(text, " {count} {what}");
                    }
                }
                text
            }
            Self::FromPod => rate(&row.inbound, look),
            Self::ToPod => rate(&row.outbound, look),
            Self::Bytes => format!("{}/{}", list::size(one.bytes.inbound), list::size(one.bytes.outbound)),
            Self::LastEvent => row.log.back().map(|line| line.text.clone()).unwrap_or_default(),
        }
    }

    /// How wide its cells may make it.
    fn most(self) -> usize {
        if self == Self::LastEvent { MAX_EVENT } else { MAX_NAME }
    }
}

/// The sign of a state, which tells it without colour as well.
fn sign(row: &PanelRow, look: PanelLook) -> char {
    use crate::{model::forward::ForwardState as S, ui::list::RowState as R};
    let (unicode, ascii) = match row.state {
        R::Running(S::Active) => ('●', '*'),
        R::Running(S::Lost) | R::Failed => ('✗', '!'),
        R::Running(S::Stopped) | R::Stopped => ('○', '-'),
        R::Suspended | R::Silent => ('?', '?'),
        R::Running(_) => ('◌', '~'),
    };
    if look.unicode { unicode } else { ascii }
}

/// Bytes a second, and how they were lately.
fn rate(rate: &ByteRate, look: PanelLook) -> String {
    let bars: [char; 8] = if look.unicode {
        ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    } else {
        ['.', '_', '-', '-', '=', '=', '#', '#']
    };
    let most = rate.samples.iter().copied().max().unwrap_or(0);
    let bar = |sample: &u64| match (*sample, most) {
        (0, _) | (_, 0) => bars[0],
        // Something is more than nothing.
        (some, most) => {
            bars[1 + usize::try_from(u128::from(some) * 6 / u128::from(most)).unwrap_or(0).min(6)]
        }
    };
    let line: String = rate.samples.iter().map(bar).collect();
    let blank = " ".repeat(SAMPLES - rate.samples.len());
    format!("{:>5}/s {blank}{line}", list::size(rate.now))
}

/// Which columns there are, and how wide each is.
pub(super) fn fit(
    rows: &[&PanelRow],
    look: PanelLook,
    width: usize,
    now: Timestamp,
) -> Vec<(PanelColumn, usize)> {
    let differs = |of: &dyn Fn(&PanelRow) -> Option<String>| {
        let mut all = rows.iter().map(|row| of(row));
        let first = all.next();
        all.any(|one| Some(one) != first)
    };
    let mut columns = vec![PanelColumn::State, PanelColumn::Target];
    columns.extend(differs(&|row| row.forward.context.clone()).then_some(PanelColumn::Context));
    columns.extend(differs(&|row| Some(row.forward.namespace.clone())).then_some(PanelColumn::Namespace));
    columns.extend([
        PanelColumn::Local,
        PanelColumn::Pod,
        PanelColumn::Age,
        PanelColumn::Connections,
        PanelColumn::FromPod,
        PanelColumn::ToPod,
        PanelColumn::Bytes,
        PanelColumn::LastEvent,
    ]);
    let measure = |column: PanelColumn| {
        let cells = rows.iter().map(|row| column.cell(row, look, now).width());
        (column, cells.fold(column.head().len(), usize::max).min(column.most()))
    };
    let mut columns: Vec<(PanelColumn, usize)> = columns.into_iter().map(measure).collect();
    for column in DISPENSABLE {
        let over = total(&columns).saturating_sub(width);
        let Some(at) = columns.iter().position(|(own, _)| *own == column).filter(|_| over > 0) else {
            continue;
        };
        let can_be_cut = matches!(column, PanelColumn::LastEvent | PanelColumn::Pod);
        if can_be_cut && columns[at].1 >= over + MIN_CUT {
            columns[at].1 -= over;
        } else {
            columns.remove(at);
        }
    }
    squeeze(&mut columns, width);
    columns
}

/// The last resort: a sign in place of the state's word, and cut names.
fn squeeze(columns: &mut [(PanelColumn, usize)], width: usize) {
    if total(columns) > width && columns[0].0 == PanelColumn::State {
        columns[0] = (PanelColumn::StateSign, 1);
    }
    for (column, least) in
        [(PanelColumn::Target, MIN_CUT), (PanelColumn::Local, MIN_LOCAL), (PanelColumn::Target, 1)]
    {
        let over = total(columns).saturating_sub(width);
        if let Some((_, own)) = columns.iter_mut().find(|(own, _)| *own == column) {
            *own = own.saturating_sub(over).max(least.min(*own));
        }
    }
}

fn total(columns: &[(PanelColumn, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// The text in exactly so many columns of the screen, and the gap behind it: cut, with a sign that it was, or filled up.
pub(in crate::ui) fn cell(text: &str, width: usize, look: PanelLook) -> String {
    let mut cell = cut(text, width, look);
    let fill = width.saturating_sub(cell.width());
    cell.extend(std::iter::repeat_n(' ', fill + GAP));
    cell
}

/// The text in at most so many columns. A wide character is not cut in two, and a combining one goes with what it is on.
pub(in crate::ui) fn cut(text: &str, width: usize, look: PanelLook) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if look.unicode { '…' } else { '~' };
    let (mut cut, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width.saturating_sub(1) {
            break;
        }
        used += wide;
        cut.push(c);
    }
    if width > 0 {
        cut.push(mark);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: PanelLook = PanelLook { color: false, unicode: true };

    #[test]
    fn cells_are_as_wide_as_they_look() {
        for (text, width, expected) in [
            ("abc", 5, "abc    "),
            ("abcdef", 4, "abc…  "),
            // Two columns each.
            ("日本語", 6, "日本語  "),
            ("日本語", 5, "日本…  "),
            ("日本語", 4, "日…   "),
            // An accent of its own takes none.
            ("e\u{301}a\u{301}", 2, "e\u{301}a\u{301}  "),
            ("e\u{301}abc", 2, "e\u{301}…  "),
            ("abc", 0, "  "),
        ] {
            assert_eq!(cell(text, width, LOOK), expected, "{text} in {width}");
            assert_eq!(cell(text, width, LOOK).width(), width + GAP, "{text} in {width}");
        }
        assert_eq!(cut("abcdef", 4, PanelLook { unicode: false, ..LOOK }), "abc~");
    }

    #[test]
    fn sparklines() {
        let of = |samples: &[u64]| ByteRate {
            now: samples.last().copied().unwrap_or(0),
            samples: samples.iter().copied().collect(),
        };
        assert_eq!(rate(&of(&[]), LOOK), "    0/s           ");
        assert_eq!(rate(&of(&[0, 1, 500, 1000]), LOOK), " 1000/s       ▁▂▅█");
        assert_eq!(rate(&of(&[u64::MAX; SAMPLES]), LOOK), " 15Ei/s ██████████");
    }
}
