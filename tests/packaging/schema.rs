//! A JSON schema validator for the words that goreleaser's schema uses, and no others: an unknown word is a panic, not a
//! rule that is passed over. A full one would bring some sixty crates.

use serde_json::{Map, Value};

/// What is wrong with `value`, each with where.
pub(crate) fn validate(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    Validator { root: schema }.check(schema, value, "", &mut wrong);
    wrong
}

struct Validator<'a> {
    root: &'a Value,
}

impl Validator<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        match schema {
            Value::Bool(true) => {}
            Value::Bool(false) => wrong.push(format!("{at}: nothing may be here")),
            Value::Object(words) => self.check_words(words, value, at, wrong),
            other => panic!("no schema: {other}"),
        }
    }

    fn check_words(&self, words: &Map<String, Value>, value: &Value, at: &str, wrong: &mut Vec<String>) {
        for (word, rule) in words {
            match word.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "format" => {}
                "$ref" => {
                    let pointer = rule.as_str().and_then(|reference| reference.strip_prefix('#')).unwrap();
                    self.check(self.root.pointer(pointer).unwrap(), value, at, wrong);
                }
                "type" => {
                    if !is_a(value, rule.as_str().unwrap()) {
                        wrong.push(format!("{at}: {value} is no {}", rule.as_str().unwrap()));
                    }
                }
                "enum" => {
                    if !rule.as_array().unwrap().contains(value) {
                        wrong.push(format!("{at}: {value} is none of {rule}"));
                    }
                }
                "oneOf" => {
                    let schemas = rule.as_array().unwrap();
                    let fits = |schema: &&Value| {
                        let mut wrong = Vec::new();
                        self.check(schema, value, at, &mut wrong);
                        wrong.is_empty()
                    };
                    if schemas.iter().filter(fits).count() != 1 {
                        wrong.push(format!("{at}: {value} is not exactly one of {rule}"));
                    }
                }
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{i}]"), wrong);
                    }
                }
                "required" => {
                    for name in rule.as_array().unwrap().iter().filter_map(Value::as_str) {
                        if value.as_object().is_some_and(|fields| !fields.contains_key(name)) {
                            wrong.push(format!("{at}: no {name}"));
                        }
                    }
                }
                "properties" => {
                    for (name, schema) in rule.as_object().unwrap() {
                        if let Some(field) = value.get(name) {
                            self.check(schema, field, &format!("{at}.{name}"), wrong);
                        }
                    }
                }
                "additionalProperties" => {
                    let known = words.get("properties").and_then(Value::as_object);
                    for (name, field) in value.as_object().into_iter().flatten() {
                        if known.is_none_or(|known| !known.contains_key(name)) {
                            self.check(rule, field, &format!("{at}.{name}"), wrong);
                        }
                    }
                }
                other => panic!("the schema says {other}, which is not looked at"),
            }
        }
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema has the type {other}, which is not looked at"),
    }
}
