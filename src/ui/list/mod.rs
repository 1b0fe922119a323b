//! `kubectl fwd list`: forwards as a table, as JSON or YAML, as ids.

mod cells;
mod custom;
mod row;
mod table;

use jiff::Timestamp;

pub use self::{
    cells::{age, local, named, size, target},
    custom::CustomColumn,
    row::{ListRow, RowState},
    table::{ListTable, TableWidth},
};
use super::{color::Styling, escape, yaml::yaml};

/// How a list is shown: `-o`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListFormat {
    /// Columns for people.
    #[default]
    Table,
    /// More of them.
    Wide,
    /// Everything, for programs.
    Json,
    /// The same as YAML.
    Yaml,
    /// The ids alone, for `stop`.
    Name,
    /// Columns of the reader's choice.
    Custom(Vec<CustomColumn>),
}

impl ListFormat {
    /// Whether people read it. Programs are told of forwards that run, and of others only where they ask.
    pub fn is_for_people(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// How a list is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListStyle {
    /// What of it.
    pub format: ListFormat,
    /// A table begins with the names of its columns.
    pub headers: bool,
    /// How wide a table may be.
    pub width: TableWidth,
    /// Whether it is coloured.
    pub styling: Styling,
}

impl ListStyle {
    /// A table for these rows.
    pub fn table(&self, rows: &[ListRow], now: Timestamp) -> ListTable {
        ListTable::of(rows, self.format == ListFormat::Wide, self.width, self.styling, now)
    }
}

/// Rows for programs that read one after the other: an object a line, or a document each.
pub fn render_each(rows: &[ListRow], style: &ListStyle, now: Timestamp) -> String {
    let shown = rows.iter().filter_map(ListRow::shown);
    match &style.format {
        ListFormat::Json => shown
            .filter_map(|one| serde_json::to_string(&one).ok())
            .map(|line| escape::json(&line).into_owned() + "\n")
            .collect(),
        ListFormat::Yaml => shown
            .filter_map(|one| serde_json::to_value(&one).ok())
            .flat_map(|value| ["---\n".to_owned(), yaml(&value)])
            .collect(),
        _ => render(rows, &ListStyle { headers: false, ..style.clone() }, now),
    }
}

/// The rows as text; empty for a table of none.
pub fn render(rows: &[ListRow], style: &ListStyle, now: Timestamp) -> String {
    let shown: Vec<_> = rows.iter().filter_map(ListRow::shown).collect();
    // Of plain strings and numbers: it cannot fail.
    let values = || serde_json::to_value(&shown).unwrap_or_default();
    match &style.format {
        ListFormat::Table | ListFormat::Wide => {
            if rows.is_empty() {
                return String::new();
            }
            let table = style.table(rows, now);
            let head = if style.headers { table.head() } else { String::new() };
            rows.iter().fold(head, |text, row| text + &table.row(row, now))
        }
        ListFormat::Json => escape::pretty_json(&shown),
        ListFormat::Yaml => yaml(&values()),
        ListFormat::Name => {
            let ids = rows.iter().filter_map(|row| row.forward.as_ref()).map(|one| one.id.to_string());
            ids.flat_map(|id| [id, "\n".to_owned()]).collect()
        }
        ListFormat::Custom(columns) => custom::table(columns, &values(), style.headers),
    }
}

#[cfg(test)]
mod tests;
