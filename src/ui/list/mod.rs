//! `kubectl fwd list`: forwards as a table, as JSON or YAML, as ids.

mod cells;
mod custom;
mod row;
mod table;

use jiff::Timestamp;

pub use self::{
    cells::{local, named, target},
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
    /// The table of these rows, where that is how they are shown.
    pub fn table(&self, rows: &[ListRow], now: Timestamp) -> Option<ListTable> {
        let wide = self.format == ListFormat::Wide;
        self.format.is_for_people().then(|| ListTable::of(rows, wide, self.width, self.styling, now))
    }
}

/// The rows as text; empty for a table of none.
pub fn render(rows: &[ListRow], style: &ListStyle, now: Timestamp) -> String {
    let shown: Vec<_> = rows.iter().filter_map(ListRow::shown).collect();
    // Of plain strings and numbers: it cannot fail.
    let values = || serde_json::to_value(&shown).unwrap_or_default();
    match &style.format {
        ListFormat::Table | ListFormat::Wide => {
            let Some(table) = style.table(rows, now).filter(|_| !rows.is_empty()) else {
                return String::new();
            };
            let head = if style.headers { table.head() } else { String::new() };
            rows.iter().fold(head, |text, row| text + &table.row(row, now))
        }
        ListFormat::Json => serde_json::to_string_pretty(&shown)
            .map(|text| escape::json(&text).into_owned() + "\n")
            .unwrap_or_default(),
        ListFormat::Yaml => yaml(&values()),
        ListFormat::Name => {
            rows.iter().filter_map(|row| row.forward.as_ref()).map(|one| format!("{}\n", one.id)).collect()
        }
        ListFormat::Custom(columns) => custom::table(columns, &values(), style.headers),
    }
}

#[cfg(test)]
mod tests;
