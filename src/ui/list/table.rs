//! The table: which columns it has, how wide they are, and which of them are left out where a terminal is too narrow.

use jiff::Timestamp;
use owo_colors::Style;

use super::{
    cells::{age, local, or_none, size, target},
    row::{ListRow, RowState},
};
use crate::{
    model::forward::{ForwardState, PortForward},
    ui::{
        color::{Styling, paint},
        columns::GAP,
        wording::Severity,
    },
};

/// The least of a reason that is worth a column.
const MIN_REASON: usize = 12;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Name,
    Namespace,
    Context,
    Target,
    Local,
    Pod,
    State,
    Since,
    Connections,
    Bytes,
    Pid,
    Restarts,
    LastError,
    Reason,
}

/// The columns that a narrow terminal can do without, the least important first. The others say which forward it is, where
/// it listens and whether it works.
const DISPENSABLE: [Column; 8] = [
    Column::Bytes,
    Column::Connections,
    Column::Pod,
    Column::Since,
    Column::Context,
    Column::Name,
    Column::Namespace,
    Column::Reason,
];

impl Column {
    fn head(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::Name => "NAME",
            Self::Namespace => "NAMESPACE",
            Self::Context => "CONTEXT",
            Self::Target => "TARGET",
            Self::Local => "LOCAL",
            Self::Pod => "POD",
            Self::State => "STATE",
            Self::Since => "SINCE",
            Self::Connections => "CONNECTIONS",
            Self::Bytes => "BYTES",
            Self::Pid => "PID",
            Self::Restarts => "RESTARTS",
            Self::LastError => "LAST ERROR",
            Self::Reason => "REASON",
        }
    }

    fn cell(self, row: &ListRow, now: Timestamp) -> String {
        let of = |cell: &dyn Fn(&PortForward) -> String| row.forward.as_ref().map_or("-".to_owned(), cell);
        match self {
            Self::Id => of(&|one| one.id.to_string()),
            Self::Name => of(&|one| or_none(one.label.as_deref())),
            Self::Namespace => of(&|one| or_none(Some(&one.namespace))),
            Self::Context => of(&|one| or_none(one.context.as_deref())),
            Self::Target => row.forward.as_ref().map_or_else(|| format!("process {}", row.pid), target),
            Self::Local => of(&|one| or_none(Some(&local(one)))),
            Self::Pod => of(&|one| or_none(one.pod.as_deref())),
            Self::State => row.state.word().to_owned(),
            Self::Since => row.since.map_or("-".to_owned(), |since| age(since, now)),
            Self::Connections => of(&|one| format!("{}/{}", one.connections.open, one.connections.total)),
            Self::Bytes => of(&|one| format!("{}/{}", size(one.bytes.inbound), size(one.bytes.outbound))),
            Self::Pid => row.pid.to_string(),
            Self::Restarts => of(&|one| one.restarts.to_string()),
            Self::LastError => of(&|one| or_none(one.last_error.as_deref())),
            Self::Reason => or_none(row.reason.as_deref()),
        }
    }
}

/// How wide a table may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableWidth {
    /// As wide as it comes, with every column: somebody asked for all, or a program reads it.
    Any,
    /// Within a terminal of so many columns, as far as that can be.
    Within(usize),
}

/// A table whose columns are decided. Rows that come later fit under its head.
#[derive(Debug, Clone)]
pub struct ListTable {
    columns: Vec<(Column, usize)>,
    styling: Styling,
}

impl ListTable {
    /// A table that fits these rows.
    pub fn of(rows: &[ListRow], wide: bool, width: TableWidth, styling: Styling, now: Timestamp) -> Self {
        let context = |row: &ListRow| row.forward.as_ref().map(|one| one.context.clone());
        let mut contexts = rows.iter().filter_map(context);
        let first = contexts.next();
        let several = contexts.any(|context| Some(context) != first);
        let ended = rows.iter().any(|row| row.reason.is_some());
        let mut columns = vec![Column::Id, Column::Name];
        columns.extend((wide || several).then_some(Column::Context));
        columns.extend([
            Column::Namespace,
            Column::Target,
            Column::Local,
            Column::Pod,
            Column::State,
            Column::Since,
            Column::Connections,
            Column::Bytes,
        ]);
        columns
            .extend(wide.then_some([Column::Pid, Column::Restarts, Column::LastError]).into_iter().flatten());
        columns.extend(ended.then_some(Column::Reason));
        let measure = |column: Column| {
            let cells = rows.iter().map(|row| column.cell(row, now).chars().count());
            (column, cells.fold(column.head().len(), usize::max))
        };
        let mut table = Self { columns: columns.into_iter().map(measure).collect(), styling };
        if let (TableWidth::Within(most), false) = (width, wide) {
            // What says nothing of any row goes before what does.
            let empty = |column: &Column| rows.iter().all(|row| column.cell(row, now) == "-");
            let (vacant, others): (Vec<_>, Vec<_>) = DISPENSABLE.into_iter().partition(empty);
            table.fit(most, vacant.into_iter().chain(others));
        }
        table
    }

    /// Leaves columns out until the rest is narrow enough. A reason is cut before it goes.
    fn fit(&mut self, most: usize, dispensable: impl Iterator<Item = Column>) {
        for column in dispensable {
            let over = self.width().saturating_sub(most);
            if over == 0 {
                return;
            }
            match self.columns.iter_mut().find(|(own, _)| *own == column) {
                Some((Column::Reason, width)) if *width >= over + MIN_REASON => *width -= over,
                _ => self.columns.retain(|(own, _)| *own != column),
            }
        }
    }

    fn width(&self) -> usize {
        self.columns.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
    }

    /// The line of the headers.
    pub fn head(&self) -> String {
        self.line(|column| (column.head().to_owned(), None))
    }

    /// The line of a forward.
    pub fn row(&self, row: &ListRow, now: Timestamp) -> String {
        self.line(|column| {
            let style = (column == Column::State).then(|| style(row.state));
            (column.cell(row, now), style)
        })
    }

    fn line(&self, cell: impl Fn(Column) -> (String, Option<Style>)) -> String {
        let mut line = String::new();
        for &(column, width) in &self.columns {
            let (mut text, style) = cell(column);
            let mut length = text.chars().count();
            if column == Column::Reason && length > width {
                text = text.chars().take(width.saturating_sub(1)).chain(['…']).collect();
                length = width;
            }
            line.push_str(&style.map_or_else(|| text.clone(), |style| paint(self.styling, &text, style)));
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(length) + GAP));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

fn style(state: RowState) -> Style {
    match state {
        RowState::Running(ForwardState::Active) => Severity::Good,
        RowState::Running(ForwardState::Starting | ForwardState::Stopped) | RowState::Stopped => {
            Severity::Plain
        }
        RowState::Running(ForwardState::Waiting | ForwardState::Reconnecting)
        | RowState::Suspended
        | RowState::Silent => Severity::Warning,
        RowState::Running(ForwardState::Lost) | RowState::Failed => Severity::Error,
    }
    .style()
}
