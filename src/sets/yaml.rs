//! YAML as a tree in which everything knows where it stands, so that whatever is wrong with it can be pointed at.
//!
//! The tree is made by serde-saphyr, which knows the place of every value, and not by the `saphyr` crate with its marked nodes: that
//! would be a second parser beside the one that reads kubeconfigs.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use crate::error::Problem;

/// Something in the file, and where.
#[derive(Debug, Clone)]
pub(super) struct SpannedNode {
    pub value: SpannedValue,
    pub span: Span,
}

/// A stretch of the file, in bytes from its beginning, and the same for people, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub offset: usize,
    pub length: usize,
    pub line: usize,
    pub column: usize,
}

/// What stands there.
#[derive(Debug, Clone)]
pub(super) enum SpannedValue {
    Null,
    Bool(bool),
    /// A number or a text, in the letters of the file where it is plain.
    Scalar(String),
    List(Vec<SpannedNode>),
    /// Every pair, also where a key comes twice.
    Map(Vec<(SpannedKey, SpannedNode)>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(super) struct SpannedKey {
    pub name: String,
    pub span: Span,
}

impl Span {
    /// With what is wrong there.
    pub(super) fn place(self, what: impl Into<String>) -> Problem {
        let Self { offset, length, line, column } = self;
        Problem { offset, length, line, column, what: what.into(), help: None }
    }
}

/// Reads one document. Aliases and merges are expanded, within the limits of the parser.
pub(super) fn parse(text: &str) -> Result<SpannedNode, Problem> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // `no` is a name like any other.
        strict_booleans: true,
    };
    match serde_saphyr::from_str_with_options::<Spanned<RawValue>>(text, options) {
        Ok(raw) => Ok(node(raw, text)),
        Err(error) => {
            let span = error.location().map_or_else(|| start(text), |location| span(location, text));
            let words = error.without_snippet().to_string();
            // The place is told apart from the words.
            let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
            // Nor is the reader of a file one who calls functions.
            let words = words.split("; use ").next().unwrap_or(words);
            Err(span.place(format!("this is not YAML: {words}")))
        }
    }
}

/// As the parser gives it.
enum RawValue {
    Null,
    Bool(bool),
    /// A number, which is read anew from the file: `010` is to stay what was written.
    Number(String),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_none<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawValue, D::Error> {
        RawValue::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawValue, E> {
        Ok(RawValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(RawValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawValue, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(RawValue::Map(pairs))
    }
}

fn node(raw: Spanned<RawValue>, text: &str) -> SpannedNode {
    let value = match raw.value {
        RawValue::Null => SpannedValue::Null,
        RawValue::Bool(value) => SpannedValue::Bool(value),
        RawValue::Text(text) => SpannedValue::Scalar(text),
        RawValue::Number(number) => {
            // Behind an alias it stands elsewhere.
            let Span { offset, length, .. } = span(raw.defined, text);
            let written = text.get(offset..offset + length).filter(|written| !written.is_empty());
            SpannedValue::Scalar(written.map_or(number, str::to_owned))
        }
        RawValue::List(items) => SpannedValue::List(items.into_iter().map(|item| node(item, text)).collect()),
        RawValue::Map(pairs) => SpannedValue::Map(
            pairs
                .into_iter()
                .map(|(key, value)| {
                    let key = SpannedKey { span: span(key.referenced, text), name: key.value };
                    (key, node(value, text))
                })
                .collect(),
        ),
    };
    SpannedNode { value, span: span(raw.referenced, text) }
}

fn start(text: &str) -> Span {
    Span { offset: 0, length: usize::from(!text.is_empty()), line: 1, column: 1 }
}

/// The parser knows every place by line and column, and most by bytes as well.
fn span(location: Location, text: &str) -> Span {
    let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let (line, column) = (small(location.line()).max(1), small(location.column()).max(1));
    let offset = location.span().byte_offset().map_or_else(|| offset_of(line, column, text), small);
    let offset = offset.min(text.len());
    let length = location.span().byte_len().map_or(0, small).min(text.len() - offset);
    Span { offset, length, line, column }
}

fn offset_of(line: usize, column: usize, text: &str) -> usize {
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    before + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(node: &'a SpannedNode, key: &str) -> &'a SpannedNode {
        let SpannedValue::Map(pairs) = &node.value else { panic!("{node:?} is no map") };
        &pairs.iter().find(|(found, _)| found.name == key).unwrap().1
    }

    #[test]
    fn everything_has_a_place() {
        let text = "a: 1\nü: {b: [8080:80, 010]}\n";
        let root = parse(text).unwrap();
        let SpannedValue::List(items) = &value(value(&root, "ü"), "b").value else { panic!() };
        for (item, written) in items.iter().zip(["8080:80", "010"]) {
            let Span { offset, length, line, column } = item.span;
            assert_eq!(&text[offset..offset + length], written);
            assert_eq!(
                (line, text.lines().nth(1).unwrap().chars().nth(column - 1)),
                (2, written.chars().next())
            );
            assert!(matches!(&item.value, SpannedValue::Scalar(text) if text == written), "{item:?}");
        }
    }

    /// What older readers of YAML take for a number of base 60, or for a boolean, is text.
    #[test]
    fn text_stays_text() {
        for written in ["22:22", "on", "no", "8080:80", ":80", "\"80\"", "80", "0x50", "1e3"] {
            let root = parse(&format!("a: {written}")).unwrap();
            let found = &value(&root, "a").value;
            assert!(
                matches!(found, SpannedValue::Scalar(text) if *text == written.trim_matches('"')),
                "{found:?}"
            );
        }
    }

    #[test]
    fn aliases_and_doubled_keys() {
        let root = parse("a: &x 007\nb: *x\na: {<<: {c: d}}\n").unwrap();
        assert!(matches!(&value(&root, "b").value, SpannedValue::Scalar(text) if text == "007"));
        assert_eq!(value(&root, "b").span.line, 2);
        let SpannedValue::Map(pairs) = &root.value else { panic!() };
        assert_eq!(pairs.len(), 3);
        assert!(matches!(&value(&pairs[2].1, "c").value, SpannedValue::Scalar(text) if text == "d"));
    }

    #[test]
    fn what_is_not_yaml() {
        for (text, line, column, what) in [
            ("a: [1\nb: 2", 2, 2, "illegal placement"),
            ("a: b: c", 1, 5, "not allowed"),
            ("a: *b", 1, 4, "unknown anchor"),
            ("a\n---\nb", 3, 1, "multiple YAML documents"),
            ("? [a]\n: b", 1, 3, "string"),
        ] {
            let place = parse(text).unwrap_err();
            assert_eq!((place.line, place.column), (line, column), "{text}: {place:?}");
            assert!(place.what.contains(what) && !place.what.contains("line"), "{place:?}");
            assert!(place.offset + place.length <= text.len());
        }
    }

    /// The parser's own limits hold: nine levels of nine are 387 million.
    #[test]
    fn a_bomb_is_no_bomb() {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (new, old) in ('b'..='i').zip('a'..) {
            use fmt::Write as _;
            let list = vec![format!("*{old}"); 9].join(",");
            let _ = writeln!(text, "{new}: &{new} [{list}]");
        }
        assert!(parse(&text).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
