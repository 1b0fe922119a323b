//! Whether an object has the shape that the code here, and any client with types, relies on.
//!
//! A real API server decodes into Go types and refuses what does not fit. Objects here are plain JSON, so the fields
//! that are used or shown are checked by name on their way into the store. `null` is as good as absent.

use serde_json::Value;

use crate::api::status::Status;

const OBJECTS: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "template",
    "selector",
    "strategy",
    "updateStrategy",
    "rollingUpdate",
    "labels",
    "annotations",
    "matchLabels",
    "roleRef",
];
const LISTS_OF_OBJECTS: &[&str] = &[
    "containers",
    "initContainers",
    "ports",
    "endpoints",
    "subsets",
    "ownerReferences",
    "containerStatuses",
    "matchExpressions",
    "rules",
    "subjects",
];
const STRINGS: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "image",
    "protocol",
    "type",
    "clusterIP",
    "phase",
    "deletionTimestamp",
];
const NUMBERS: &[&str] = &["replicas", "containerPort", "parallelism", "completions", "generation"];
/// Maps from string to string, and what is not looked into.
const MAPS: &[&str] = &["labels", "annotations", "matchLabels"];

/// Refuses an object with a field of the wrong type.
pub(crate) fn check(object: &Value) -> Result<(), Status> {
    if !object.is_object() {
        return Err(Status::bad_request("the body of the request is not an object"));
    }
    walk(object, "")
}

fn walk(value: &Value, path: &str) -> Result<(), Status> {
    let Value::Object(map) = value else { return Ok(()) };
    for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        let path = format!("{path}.{key}");
        let key = key.as_str();
        if OBJECTS.contains(&key) && !value.is_object() {
            return Err(wrong(value, &path, "object"));
        }
        if key == "conditions" {
            // A list in a status, an object in an endpoint; not looked into, for its words are called `status`.
            let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            if let Some(item) = items.iter().find(|item| !item.is_object()) {
                return Err(wrong(item, &path, "object"));
            }
        } else if LISTS_OF_OBJECTS.contains(&key) {
            for item in value.as_array().ok_or_else(|| wrong(value, &path, "list"))? {
                if !item.is_object() {
                    return Err(wrong(item, &path, "object"));
                }
                walk(item, &path)?;
            }
        } else if STRINGS.contains(&key) && !value.is_string() {
            return Err(wrong(value, &path, "string"));
        } else if NUMBERS.contains(&key) && !value.is_i64() {
            return Err(wrong(value, &path, "int32"));
        } else if MAPS.contains(&key) {
            let mut values = value.as_object().into_iter().flatten();
            if let Some((key, value)) = values.find(|(_, value)| !value.is_string()) {
                return Err(wrong(value, &format!("{path}.{key}"), "string"));
            }
        } else {
            walk(value, &path)?;
        }
    }
    Ok(())
}

fn wrong(value: &Value, path: &str, wanted: &str) -> Status {
    let is = match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        _ => "object",
    };
    let field = path.trim_start_matches('.');
    Status::bad_request(format!("json: cannot unmarshal {is} into Go struct field {field} of type {wanted}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn good_shapes_pass_and_bad_ones_do_not() {
        let good = json!({
            "metadata": { "name": "a", "labels": { "spec": "x" }, "deletionTimestamp": null },
            "spec": { "ports": [{ "port": 1, "targetPort": "x" }], "template": { "spec": { "containers": null } } },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        assert_eq!(check(&good), Ok(()));
        for bad in [
            json!([]),
            json!({ "spec": "x" }),
            json!({ "metadata": { "labels": { "a": 1 } } }),
            json!({ "spec": { "ports": "x" } }),
            json!({ "spec": { "containers": [1] } }),
            json!({ "spec": { "template": { "spec": { "containers": [{ "image": true }] } } } }),
            json!({ "spec": { "replicas": "3" } }),
        ] {
            assert!(check(&bad).is_err(), "{bad}");
        }
    }
}
