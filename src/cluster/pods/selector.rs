//! Label selectors as the API's query strings write them. What cannot be a label's key or value has no place in one: a
//! comma in a value would be another requirement.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::model::name;

/// A plain map (a service's, a replication controller's): every label has to match. `None` where one is no label.
pub(super) fn from_map(labels: &BTreeMap<String, String>) -> Option<String> {
    let parts: Option<Vec<String>> = labels.iter().map(|(key, value)| equal(key, value)).collect();
    parts.map(|parts| parts.join(","))
}

fn equal(key: &str, value: &str) -> Option<String> {
    (name::is_label_key(key) && name::is_label_value(value)).then(|| format!("{key}={value}"))
}

/// `matchLabels` and `matchExpressions`; `None` where an operator is not known, a label is none, or nothing at all is
/// selected.
///
/// An empty selector selects every pod of the namespace in the API's eyes; no workload means that.
pub(super) fn from_selector(selector: &LabelSelector) -> Option<String> {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| equal(key, value));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let key = &expression.key;
        let values: Vec<&str> = expression.values.iter().flatten().map(String::as_str).collect();
        if !name::is_label_key(key) || !values.iter().all(|value| name::is_label_value(value)) {
            return None;
        }
        let values = values.join(",");
        match expression.operator.as_str() {
            "In" => Some(format!("{key} in ({values})")),
            "NotIn" => Some(format!("{key} notin ({values})")),
            "Exists" => Some(key.clone()),
            "DoesNotExist" => Some(format!("!{key}")),
            _ => None,
        }
    });
    let parts: Vec<String> = labels.chain(expressions).collect::<Option<_>>()?;
    (!parts.is_empty()).then(|| parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        for (json, expected) in [
            (r#"{"matchLabels": {"b": "2", "a": "1"}}"#, Some("a=1,b=2")),
            (
                r#"{"matchLabels": {"a": "1"}, "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["x", "y"]},
                    {"key": "env", "operator": "NotIn", "values": ["dev"]},
                    {"key": "live", "operator": "Exists"},
                    {"key": "old", "operator": "DoesNotExist"}]}"#,
                Some("a=1,tier in (x,y),env notin (dev),live,!old"),
            ),
            (r#"{"matchExpressions": [{"key": "a", "operator": "Near"}]}"#, None),
            ("{}", None),
            (r#"{"matchLabels": {"a": "1,b=2"}}"#, None),
            (r#"{"matchLabels": {"a,b": "1"}}"#, None),
            (r#"{"matchExpressions": [{"key": "a", "operator": "In", "values": ["x),b in (y"]}]}"#, None),
            (r#"{"matchExpressions": [{"key": "!a", "operator": "Exists"}]}"#, None),
        ] {
            let selector: LabelSelector = serde_json::from_str(json).unwrap();
            assert_eq!(from_selector(&selector).as_deref(), expected, "{json}");
        }
        assert_eq!(
            from_map(&BTreeMap::from([("b".into(), "2".into()), ("a".into(), "1".into())])).as_deref(),
            Some("a=1,b=2")
        );
        assert_eq!(from_map(&BTreeMap::from([("a".into(), "1,b=2".into())])), None);
    }
}
