//! Makes text from the cluster harmless to a terminal.
//!
//! Names, reasons and messages are written by anyone who may write to the cluster. Control characters could move the
//! cursor, retitle the window or forge lines; bidirectional overrides and invisible characters could make one name
//! look like another.

use std::{borrow::Cow, fmt::Write as _};

use serde::Serialize;

/// The text on one line, with everything that is not plainly visible spelled out.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| !is_harmless(c))
}

/// The same, with line breaks left as they are.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && !is_harmless(c))
}

/// The same for a text in which places are known by their offset: every byte stays where it is.
pub fn in_place(text: &str) -> String {
    let harmful = |c: char| !matches!(c, '\n' | '\t') && !is_harmless(c);
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            // The end of a line, on Windows.
            '\r' => out.push(' '),
            c if harmful(c) => out.extend(std::iter::repeat_n('?', c.len_utf8())),
            c => out.push(c),
        }
        out
    })
}

/// JSON with the same characters written as its own escapes: it means the same to a program, and is harmless to a
/// terminal. Outside of its strings JSON has no such characters but line breaks.
pub fn json(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| c != '\n' && !is_harmless(c);
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        if harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
        out
    }))
}

/// A character that may not stand by itself in a quoted text of YAML, as its escape there.
pub fn push_yaml_escape(out: &mut String, c: char) {
    // Writing to a string does not fail.
    let _ = match u32::from(c) {
        code @ ..0x1_0000 => write!(out, "\\u{code:04x}"),
        code => write!(out, "\\U{code:08x}"),
    };
}

/// A value as JSON for people and programs: indented, harmless to a terminal, with a line break at its end. Empty for one that
/// is no JSON, as a map whose keys are no strings.
pub fn pretty_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).map(|text| json(&text).into_owned() + "\n").unwrap_or_default()
}

fn escaped(text: &str, harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&harmful) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        if harmful(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    }))
}

/// Whether a terminal shows it as what it is, and nothing else.
pub fn is_harmless(c: char) -> bool {
    // C0 and C1 controls; among the latter is a one-byte CSI.
    !c.is_control()
        && !matches!(
            c,
            // Directional marks, embeddings, overrides and isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators, zero-width characters, the byte order mark, tags.
            | '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_what_it_is() {
        let values = ["a\u{1b}[2J", "\u{9b}31m\u{7f}", "\u{202e}x\u{e0041}", "größer ✓ \"\\", "a\nb\tc"];
        let text = serde_json::to_string_pretty(&values).unwrap();
        let safe = json(&text);
        assert!(safe.chars().all(|c| c == '\n' || is_harmless(c)), "{safe}");
        assert!(safe.contains("größer ✓") && safe.contains("\\u009b31m") && safe.contains("\\udb40\\udc41"));
        assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), values);
        assert!(matches!(json("[\"a\"]"), Cow::Borrowed(_)));
    }

    #[test]
    fn harm_is_spelled_out() {
        for (text, expected) in [
            ("pod api-1 is Pending", "pod api-1 is Pending"),
            ("größer 日本 ✓", "größer 日本 ✓"),
            ("\u{1b}[2Jx", "\\u{1b}[2Jx"),
            ("\u{9b}31mx", "\\u{9b}31mx"),
            ("a\rb\nc\td", "a\\rb\\nc\\td"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}b\u{2066}c", "a\\u{200b}b\\u{2066}c"),
            ("\u{7}\0\u{7f}", "\\u{7}\\u{0}\\u{7f}"),
        ] {
            assert_eq!(line(text), expected);
        }
        assert_eq!(lines("a\nb\u{1b}c"), "a\nb\\u{1b}c");
        let text = "a\tb\r\n\u{1b}\u{202e}ü";
        assert_eq!((in_place(text).as_str(), in_place(text).len()), ("a\tb \n????ü", text.len()));
    }
}
