//! YAML as client-go's decoder takes it: for kubeconfigs, and for what credential plugins print.
//!
//! client-go turns the first document into JSON before it looks for anything: of a key that stands twice the last one
//! counts, anchors may be used any number of times, and what nobody asks for may have any shape. The derived types of
//! serde judge a whole document at once, so this keeps the document as a tree, and each value is judged when it is
//! asked for. JSON is YAML.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use base64::Engine as _;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Tag};

/// How many entries all merge keys (`<<`) of a document may bring. Far more than any kubeconfig holds; without a limit
/// a small file of nested merges costs minutes.
const MERGED_LIMIT: usize = 100_000;

/// Base64 as Go decodes it, which does not look at the bits behind the last byte.
const BASE64: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// One value. It has no `Debug`: what is read here holds secrets.
pub(in crate::cluster) struct YamlNode {
    /// Where it begins, from 1.
    pub line: usize,
    value: YamlValue,
}

/// What is written without quotes may be a null or a boolean; what stands in quotes is text.
enum YamlValue {
    Plain(String),
    Text(String),
    Binary(String),
    List(Vec<Arc<YamlNode>>),
    Map(BTreeMap<String, Arc<YamlNode>>),
}

/// Why a text is not YAML, without a word of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct YamlError {
    /// Where, from 1: line and column.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub why: String,
    /// Whether a tab is what is wrong.
    pub tab: bool,
}

/// A value that is of another kind than the one that is needed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct YamlTypeError {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong with it, to follow the value's name.
    pub why: &'static str,
}

impl fmt::Display for YamlTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {})", self.why, self.line)
    }
}

/// Reads the first document of a file; `None` where there is none.
pub(in crate::cluster) fn read(bytes: &[u8]) -> Result<Option<Arc<YamlNode>>, YamlError> {
    let text = decode(bytes)?;
    let mut builder = TreeBuilder::default();
    // Comments are not needed, and the parser has a limit for how many it keeps.
    let options = granit_parser::options! { emit_comments: false };
    for event in Parser::new_from_str_with_options(&text, options) {
        let (event, span) = event.map_err(|error| {
            let tab = matches!(
                error.kind(),
                ErrorKind::TabNotAllowed
                    | ErrorKind::TabInBlockIndentation
                    | ErrorKind::TabInIndentation
                    | ErrorKind::TabAtBlockScalarStart
                    | ErrorKind::TabInPlainScalar
            );
            let place = (error.marker().line(), error.marker().col() + 1);
            YamlError { place: Some(place), why: error.info(), tab }
        })?;
        if builder.take(event, span.start.line())? {
            break;
        }
    }
    Ok(builder.document)
}

/// UTF-8, or UTF-16 with a byte order mark, as Windows' shells write it.
fn decode(bytes: &[u8]) -> Result<String, YamlError> {
    let broken = |why: &str| YamlError { place: None, why: why.to_owned(), tab: false };
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            return String::from_utf8(bytes.to_vec()).map_err(|_| broken("it is not UTF-8 text"));
        }
    };
    let (units, rest) = bytes[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(broken("it is UTF-16 text that ends in the middle of a character"));
    }
    char::decode_utf16(units.iter().map(|pair| unit(*pair)))
        .collect::<Result<_, _>>()
        .map_err(|_| broken("it is not UTF-16 text, though it begins like one"))
}

/// Makes a tree of the parser's events.
#[derive(Default)]
struct TreeBuilder {
    /// Collections that have begun and not ended.
    open: Vec<OpenCollection>,
    anchors: HashMap<usize, Arc<YamlNode>>,
    merged: usize,
    document: Option<Arc<YamlNode>>,
}

/// A collection that has begun.
struct OpenCollection {
    anchor: usize,
    line: usize,
    parts: CollectionParts,
}

enum CollectionParts {
    List(Vec<Arc<YamlNode>>),
    Map {
        entries: BTreeMap<String, Arc<YamlNode>>,
        /// What merge keys brought: it gives way to the map's own entries.
        merged: BTreeMap<String, Arc<YamlNode>>,
        /// The key whose value is next.
        key: Option<MapKey>,
    },
}

enum MapKey {
    Text(String),
    /// `<<`.
    Merge,
    /// A list or a map, which nobody asks for.
    Other,
}

impl TreeBuilder {
    /// Takes one event; true at the end of the document.
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<bool, YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text.into_owned(), style, tag.as_deref());
                self.put(Arc::new(YamlNode { line, value }), anchor)?;
            }
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned().ok_or_else(|| YamlError {
                    place: Some((line, 1)),
                    why: "a value contains itself".to_owned(),
                    tab: false,
                })?;
                self.put(node, 0)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(OpenCollection { anchor, line, parts: CollectionParts::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, merged) = (BTreeMap::new(), BTreeMap::new());
                self.open.push(OpenCollection {
                    anchor,
                    line,
                    parts: CollectionParts::Map { entries, merged, key: None },
                });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(OpenCollection { anchor, line, parts }) = self.open.pop() {
                    let value = match parts {
                        CollectionParts::List(items) => YamlValue::List(items),
                        CollectionParts::Map { entries, mut merged, .. } => {
                            merged.extend(entries);
                            YamlValue::Map(merged)
                        }
                    };
                    self.put(Arc::new(YamlNode { line, value }), anchor)?;
                }
            }
            Event::DocumentEnd => return Ok(true),
            _ => {}
        }
        Ok(false)
    }

    /// Puts a value where the next one belongs.
    fn put(&mut self, node: Arc<YamlNode>, anchor: usize) -> Result<(), YamlError> {
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        let Some(OpenCollection { parts, .. }) = self.open.last_mut() else {
            self.document = Some(node);
            return Ok(());
        };
        match parts {
            CollectionParts::List(items) => items.push(node),
            CollectionParts::Map { entries, merged, key } => match key.take() {
                None => *key = Some(node.key()),
                Some(MapKey::Merge) => {
                    self.merged += merge(merged, &node);
                    if self.merged > MERGED_LIMIT {
                        let why = format!("its merge keys add more than {MERGED_LIMIT} entries");
                        return Err(YamlError { place: Some((node.line, 1)), why, tab: false });
                    }
                }
                Some(MapKey::Text(text)) => {
                    entries.insert(text, node);
                }
                Some(MapKey::Other) => {}
            },
        }
        Ok(())
    }
}

/// Adds the entries of a map, or of the maps of a list, whose first counts. Returns how many there were.
fn merge(into: &mut BTreeMap<String, Arc<YamlNode>>, node: &YamlNode) -> usize {
    match &node.value {
        YamlValue::Map(entries) => {
            for (key, value) in entries {
                into.entry(key.clone()).or_insert_with(|| Arc::clone(value));
            }
            entries.len()
        }
        YamlValue::List(items) => items
            .iter()
            .filter(|item| matches!(item.value, YamlValue::Map(_)))
            .map(|item| merge(into, item))
            .sum(),
        _ => 0,
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> YamlValue {
    let tagged =
        |suffix: &str| tag.is_some_and(|tag| tag.handle() == "tag:yaml.org,2002:" && tag.suffix() == suffix);
    if tagged("binary") {
        YamlValue::Binary(text)
    } else if style == ScalarStyle::Plain && !tagged("str") {
        YamlValue::Plain(text)
    } else {
        YamlValue::Text(text)
    }
}

impl YamlNode {
    /// An empty map.
    pub(in crate::cluster) fn empty() -> Arc<Self> {
        Arc::new(Self { line: 0, value: YamlValue::Map(BTreeMap::new()) })
    }

    fn unfit<T>(&self, why: &'static str) -> Result<T, YamlTypeError> {
        Err(YamlTypeError { line: self.line, why })
    }

    fn key(&self) -> MapKey {
        match &self.value {
            YamlValue::Plain(text) if text == "<<" => MapKey::Merge,
            YamlValue::Plain(text) | YamlValue::Text(text) | YamlValue::Binary(text) => {
                MapKey::Text(text.clone())
            }
            YamlValue::List(_) | YamlValue::Map(_) => MapKey::Other,
        }
    }

    /// Whether it says nothing: `null`, `~` or no word at all.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, YamlValue::Plain(text) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entry of this name; a null is none.
    pub(in crate::cluster) fn get(&self, name: &str) -> Option<&Arc<Self>> {
        match &self.value {
            YamlValue::Map(entries) => entries.get(name).filter(|node| !node.is_null()),
            _ => None,
        }
    }

    /// The text; `None` for a null and for `''`, which client-go cannot tell apart.
    ///
    /// A number or a boolean is taken as it is written, for that is what was meant.
    pub(in crate::cluster) fn text(&self) -> Result<Option<String>, YamlTypeError> {
        let text = match &self.value {
            _ if self.is_null() => return Ok(None),
            YamlValue::Plain(text) | YamlValue::Text(text) => text.clone(),
            YamlValue::Binary(text) => match base64(text).map(String::from_utf8) {
                Some(Ok(text)) => text,
                Some(Err(_)) => return self.unfit("is !!binary and not text"),
                None => return self.unfit("is !!binary and not base64"),
            },
            YamlValue::List(_) => return self.unfit("is a list where a text belongs"),
            YamlValue::Map(_) => return self.unfit("is a map where a text belongs"),
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A text that is no number and no boolean to client-go.
    pub(in crate::cluster) fn word(&self) -> Result<Option<String>, YamlTypeError> {
        match &self.value {
            YamlValue::Plain(text) if !self.is_null() && (self.boolean().is_ok() || is_number(text)) => {
                self.unfit("has to be written in quotes")
            }
            _ => self.text(),
        }
    }

    /// Bytes: base64, or a list of their numbers; none for a null.
    pub(in crate::cluster) fn bytes(&self) -> Result<Vec<u8>, YamlTypeError> {
        let bytes = if let YamlValue::List(items) = &self.value {
            items.iter().map(|item| item.text().ok().flatten()?.parse().ok()).collect()
        } else {
            base64(&self.text()?.unwrap_or_default())
        };
        bytes.map_or_else(|| self.unfit("is not base64"), Ok)
    }

    /// True or false, in all the words that YAML 1.1 has for them; a null is false.
    pub(super) fn boolean(&self) -> Result<bool, YamlTypeError> {
        match &self.value {
            _ if self.is_null() => Ok(false),
            YamlValue::Plain(text) => match text.as_str() {
                "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
                "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
                    Ok(false)
                }
                _ => self.unfit("is neither true nor false"),
            },
            _ => self.unfit("is neither true nor false"),
        }
    }

    /// The items of a list; a null has none.
    pub(in crate::cluster) fn list(&self) -> Result<&[Arc<Self>], YamlTypeError> {
        match &self.value {
            YamlValue::List(items) => Ok(items),
            _ if self.is_null() => Ok(&[]),
            _ => self.unfit("is not a list"),
        }
    }

    /// The entries of a map; a null has none.
    pub(in crate::cluster) fn map(&self) -> Result<impl Iterator<Item = (&str, &Arc<Self>)>, YamlTypeError> {
        let entries = match &self.value {
            YamlValue::Map(entries) => Some(entries),
            _ if self.is_null() => None,
            _ => return self.unfit("is not a map"),
        };
        Ok(entries.into_iter().flatten().map(|(key, value)| (key.as_str(), value)))
    }

    /// The same as JSON, numbers and booleans by YAML's rules; `None` past `limit` values, for anchors multiply.
    pub(in crate::cluster) fn json(&self, limit: &mut usize) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        *limit = limit.checked_sub(1)?;
        Some(match &self.value {
            _ if self.is_null() => Json::Null,
            YamlValue::Plain(text) => match self.boolean() {
                Ok(known) => Json::Bool(known),
                Err(_) => text
                    .parse::<serde_json::Number>()
                    .map_or_else(|_| Json::String(text.clone()), Json::Number),
            },
            YamlValue::Text(text) => Json::String(text.clone()),
            YamlValue::Binary(_) => Json::String(self.text().ok().flatten().unwrap_or_default()),
            YamlValue::List(items) => {
                Json::Array(items.iter().map(|item| item.json(limit)).collect::<Option<_>>()?)
            }
            YamlValue::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, value)| Some((key.clone(), value.json(limit)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']).replace('_', "");
    let based = |prefix, base| {
        digits.strip_prefix(prefix).is_some_and(|rest| u64::from_str_radix(rest, base).is_ok())
    };
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && (digits.parse::<f64>().is_ok() || based("0x", 16) || based("0o", 8) || based("0b", 2))
}

/// What base64 stands for, line breaks and blanks left out as Go leaves out line breaks.
fn base64(text: &str) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(dense).ok()
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
