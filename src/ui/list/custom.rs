//! `-o custom-columns=HEADER:.field,...`, kubectl's way to choose what is shown.

use serde_json::Value;

use crate::{
    error::Fatal,
    ui::{columns::columns, escape},
};

/// What kubectl shows for a field that is not there.
const NONE: &str = "<none>";

/// A column: its header, and the path of a field of the JSON of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomColumn {
    /// The header.
    pub head: String,
    path: Vec<String>,
}

impl CustomColumn {
    /// Reads what stands behind `custom-columns=`.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Fatal> {
        text.split(',')
            .map(|column| {
                Self::parse(column).ok_or_else(|| {
                    Fatal::new("fwd::usage::bad_output", format!("'{column}' is not a column"))
                        .because("a column is HEADER:.field, with a field of 'kubectl fwd list -o json'")
                        .help("for example: -o custom-columns=ID:.id,POD:.pod,OPEN:.connections.open")
                })
            })
            .collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let (head, path) = text.split_once(':')?;
        let bare = path.strip_prefix('{').and_then(|path| path.strip_suffix('}')).unwrap_or(path);
        let fields: Vec<String> = bare.trim_start_matches('.').split('.').map(str::to_owned).collect();
        let good = |field: &String| !field.is_empty() && field.bytes().all(|b| b.is_ascii_alphanumeric());
        (!head.is_empty() && fields.iter().all(good)).then(|| Self { head: head.to_owned(), path: fields })
    }

    /// What it shows of a forward.
    fn cell(&self, forward: &Value) -> String {
        let found = self.path.iter().try_fold(forward, |value, field| value.get(field));
        match found {
            None | Some(Value::Null) => NONE.to_owned(),
            Some(Value::String(text)) => escape::line(text).into_owned(),
            Some(other) => escape::line(&other.to_string()).into_owned(),
        }
    }
}

/// The chosen columns of a list of forwards.
pub(super) fn table(chosen: &[CustomColumn], forwards: &Value, headers: bool) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    if headers {
        rows.push(chosen.iter().map(|column| escape::line(&column.head).into_owned()).collect());
    }
    for forward in forwards.as_array().into_iter().flatten() {
        rows.push(chosen.iter().map(|column| column.cell(forward)).collect());
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn chosen() {
        let forward =
            json!({ "id": "aaaaaa", "pod": null, "connections": { "open": 3 }, "target": "a\u{1b}" });
        let all = CustomColumn::parse_all(
            "ID:.id,OPEN:{.connections.open},POD:pod,X:.x.y,T:.target,C:.connections",
        );
        let cells: Vec<_> = all.unwrap().iter().map(|column| column.cell(&forward)).collect();
        assert_eq!(cells, ["aaaaaa", "3", NONE, NONE, "a\\u{1b}", r#"{"open":3}"#]);
        for bad in ["", "ID", "ID:", ":.id", "ID:.id,", "ID:.items[0]", "ID:.a..b"] {
            assert!(CustomColumn::parse_all(bad).is_err(), "{bad}");
        }
    }
}
