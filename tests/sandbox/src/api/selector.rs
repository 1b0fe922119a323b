//! Label and field selectors.

use serde_json::{Map, Value};

use crate::api::meta;
use crate::api::resources::Resource;
use crate::api::status::Status;

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    /// `key>5` or `key<5`: whole numbers only.
    Compare(String, std::cmp::Ordering, i64),
}

/// A field, whether it must be equal, and to what.
type FieldTerm = (String, bool, String);

/// What a list, a watch or a controller wants to see.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

impl Selector {
    /// From the query parameters `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = split(labels).into_iter().map(requirement).collect::<Result<_, _>>()?;
        let fields =
            split(fields).into_iter().map(|term| field_term(resource, term)).collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// From a `metav1.LabelSelector`.
    pub(crate) fn from_object(selector: &Value) -> Self {
        let mut labels = Self::from_map(&selector["matchLabels"]).labels;
        for expression in meta::items(selector, "/matchExpressions") {
            let key = meta::text(expression, "/key").to_owned();
            let values = meta::items(expression, "/values")
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            labels.push(match meta::text(expression, "/operator") {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "DoesNotExist" => Requirement::Missing(key),
                _ => Requirement::Exists(key),
            });
        }
        Self { labels, fields: Vec::new() }
    }

    /// From a plain map of labels, as a service has it.
    pub(crate) fn from_map(map: &Value) -> Self {
        let labels = map.as_object().into_iter().flatten().map(|(key, value)| {
            Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()])
        });
        Self { labels: labels.collect(), fields: Vec::new() }
    }

    /// A controller with an empty selector owns nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = meta::labels(object);
        self.labels.iter().all(|requirement| requirement.matches(labels))
            && self
                .fields
                .iter()
                .all(|(field, equal, value)| (field_value(object, field) == *value) == *equal)
    }
}

impl Requirement {
    fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        match self {
            Self::Exists(key) => value(key).is_some(),
            Self::Missing(key) => value(key).is_none(),
            Self::In(key, values) => value(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Self::NotIn(key, values) => value(key).is_none_or(|v| values.iter().all(|w| w != v)),
            Self::Compare(key, order, bound) => {
                value(key).and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v.cmp(bound) == *order)
            }
        }
    }
}

/// Splits at the commas outside parentheses.
fn split(selector: &str) -> Vec<&str> {
    let mut depth = 0;
    selector
        .split(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .collect()
}

fn requirement(term: &str) -> Result<Requirement, Status> {
    let wrong = || Status::bad_request(format!("unable to parse requirement: found '{term}'"));
    if let Some((head, values)) = term.strip_suffix(')').and_then(|term| term.split_once('(')) {
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok(Requirement::In(key.to_owned(), values)),
            (Some(key), Some("notin"), None) => Ok(Requirement::NotIn(key.to_owned(), values)),
            _ => Err(wrong()),
        };
    }
    let key_value = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
    let requirement = if let Some((key, value)) = term.split_once("!=").map(key_value) {
        Requirement::NotIn(key, vec![value])
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')).map(key_value) {
        Requirement::In(key, vec![value])
    } else if let Some((key, value)) = term.split_once('>').map(key_value) {
        Requirement::Compare(key, std::cmp::Ordering::Greater, value.parse().map_err(|_| wrong())?)
    } else if let Some((key, value)) = term.split_once('<').map(key_value) {
        Requirement::Compare(key, std::cmp::Ordering::Less, value.parse().map_err(|_| wrong())?)
    } else if let Some(key) = term.strip_prefix('!') {
        Requirement::Missing(key.trim().to_owned())
    } else {
        Requirement::Exists(term.to_owned())
    };
    let key = match &requirement {
        Requirement::Exists(key)
        | Requirement::Missing(key)
        | Requirement::In(key, _)
        | Requirement::NotIn(key, _)
        | Requirement::Compare(key, ..) => key,
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if key.is_empty() || !key.chars().all(allowed) { Err(wrong()) } else { Ok(requirement) }
}

fn field_term(resource: &Resource, term: &str) -> Result<FieldTerm, Status> {
    let parts = (term.split_once("!=").map(|(field, value)| (field, false, value)))
        .or_else(|| term.split_once("==").map(|(field, value)| (field, true, value)))
        .or_else(|| term.split_once('=').map(|(field, value)| (field, true, value)));
    let Some((field, equal, value)) = parts else {
        return Err(Status::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'")));
    };
    if !fields_of(resource).contains(&field) && !["metadata.name", "metadata.namespace"].contains(&field) {
        return Err(Status::bad_request(format!("field label not supported: {field}")));
    }
    Ok((field.to_owned(), equal, value.to_owned()))
}

fn fields_of(resource: &Resource) -> &'static [&'static str] {
    match resource.kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "Namespace" => &["status.phase"],
        "Node" => &["spec.unschedulable"],
        "ReplicationController" | "ReplicaSet" => &["status.replicas"],
        "Job" => &["status.successful"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Secret" => &["type"],
        _ => &[],
    }
}

fn field_value(object: &Value, field: &str) -> String {
    match object.pointer(&format!("/{}", field.replace('.', "/"))) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::resources::POD;

    fn matches(labels: &str, fields: &str) -> bool {
        let pod = json!({
            "metadata": { "name": "a", "labels": { "app": "web", "tier": "front", "rev": "7" } },
            "status": { "phase": "Running" },
        });
        Selector::parse(&POD, labels, fields).unwrap().matches(&pod)
    }

    #[test]
    fn labels() {
        for yes in [
            "",
            "app=web",
            "app==web,tier=front",
            "app in (api, web),tier",
            "app notin (api)",
            "!gone",
            "gone!=x",
            "rev>6",
            "rev<8",
        ] {
            assert!(matches(yes, ""), "{yes}");
        }
        for no in ["app=api", "app!=web", "app in (a,b)", "app notin (web)", "gone", "!app", "rev>7", "app>1"]
        {
            assert!(!matches(no, ""), "{no}");
        }
    }

    #[test]
    fn fields() {
        assert!(matches("", "metadata.name=a,status.phase==Running"));
        assert!(matches("", "status.phase!=Pending,spec.nodeName="));
        assert!(!matches("app=web", "metadata.name!=a"));
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in ["app in web)", "a b", "=x", "a>b", "app on (x)"] {
            assert!(Selector::parse(&POD, wrong, "").is_err(), "{wrong}");
        }
        assert!(Selector::parse(&POD, "", "spec.colour=red").is_err());
        assert!(Selector::parse(&POD, "", "status.phase").is_err());
    }

    #[test]
    fn selectors_of_objects() {
        let selector = Selector::from_object(&json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["front"] }],
        }));
        assert!(selector.matches(&json!({ "metadata": { "labels": { "app": "web", "tier": "front" } } })));
        assert!(!selector.matches(&json!({ "metadata": { "labels": { "app": "web" } } })));
        assert!(Selector::from_map(&Value::Null).is_empty());
    }
}
