//! JSON as YAML, for people who would rather read that: `-o yaml`.

use std::fmt::Write as _;

use serde_json::Value;

use super::escape::{is_harmless, push_yaml_escape};

/// Words that YAML 1.1, which many programs still read, takes for a truth or for nothing.
const KEYWORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];

/// The value in block style, ending with a line break.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        Value::Object(fields) if !fields.is_empty() => mapping(&mut out, fields, 0),
        scalar => {
            let _ = writeln!(out, "{}", inline(scalar));
        }
    }
    out
}

fn sequence(out: &mut String, items: &[Value], depth: usize) {
    for item in items {
        let begin = out.len();
        nested(out, item, depth + 2);
        // The dash takes the place of the first line's indentation.
        out.replace_range(begin..begin + depth + 2, &format!("{:depth$}- ", ""));
    }
}

fn mapping(out: &mut String, fields: &serde_json::Map<String, Value>, depth: usize) {
    for (key, value) in fields {
        let _ = write!(out, "{:depth$}{}:", "", text(key));
        if matches!(value, Value::Array(items) if !items.is_empty())
            || matches!(value, Value::Object(fields) if !fields.is_empty())
        {
            out.push('\n');
            nested(out, value, depth + 2);
        } else {
            let _ = writeln!(out, " {}", inline(value));
        }
    }
}

fn nested(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) if !items.is_empty() => sequence(out, items, depth),
        Value::Object(fields) if !fields.is_empty() => mapping(out, fields, depth),
        scalar => {
            let _ = writeln!(out, "{:depth$}{}", "", inline(scalar));
        }
    }
}

/// What fits behind a key: a scalar, or a list or an object of nothing.
fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        // JSON is YAML.
        other => other.to_string(),
    }
}

/// A string, quoted where it could be read as anything else.
fn text(string: &str) -> String {
    let plain = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && string.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_'))
        && !KEYWORDS.contains(&string.to_ascii_lowercase().as_str());
    if plain {
        return string.to_owned();
    }
    // The escapes of JSON are YAML's too, but for characters that take two of them.
    let quoted = Value::from(string).to_string();
    quoted.chars().fold(String::with_capacity(quoted.len()), |mut out, c| {
        if is_harmless(c) {
            out.push(c);
        } else {
            push_yaml_escape(&mut out, c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_read_back_as_it_was() {
        let value = json!([
            { "id": "aaaaaa", "port": 80, "none": null, "open": { "total": 1, "list": [1, "a b", { "x": [] }] } },
            { "odd": "yes", "colon": "a: b", "number": "80", "empty": "", "control": "\u{1b}[2J \u{202e}\n", "tag": "\u{e0001}" },
            {}, [["a"], []],
        ]);
        let text = yaml(&value);
        assert!(text.starts_with("- id: aaaaaa\n  none: null\n  open:\n    list:\n      - 1\n"), "{text}");
        assert!(text.contains(r#"control: "\u001b[2J \u202e\n""#) && text.contains(r"\U000e0001"), "{text}");
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, value, "{text}");
        assert_eq!((yaml(&json!([])), yaml(&json!("x"))), ("[]\n".into(), "x\n".into()));
    }
}
