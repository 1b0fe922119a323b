//! The patch formats: merge, strategic merge and JSON patch.
//!
//! A strategic merge differs from a plain one in lists: those of objects that Kubernetes merges are joined by a key.
//! Which key depends on the field; the table below holds the ones that the kinds of this cluster have.

use serde_json::{Value, json};

use crate::api::status::Status;

/// The formats, by media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 7396.
    Merge,
    /// Kubernetes' own.
    Strategic,
    /// RFC 6902.
    Json,
    /// Server-side apply, taken as a strategic merge that may create the object.
    Apply,
}

impl Format {
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/json-patch+json" => Some(Self::Json),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// Applies `patch` to `target`.
pub(crate) fn apply(format: Format, target: &mut Value, patch: &Value) -> Result<(), Status> {
    match format {
        Format::Merge => merge(target, patch),
        Format::Strategic | Format::Apply => strategic(target, patch),
        Format::Json => json_patch(target, patch)?,
    }
    Ok(())
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn strategic(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() || patch.get("$patch") == Some(&json!("replace")) {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        target.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(list)), Value::Array(gone)) = (target.get_mut(field), value) {
                list.retain(|item| !gone.contains(item));
            }
        } else if key.starts_with('$') {
            // $setElementOrder and the like only tell the order, which no reader here depends on.
        } else if value.is_null() {
            target.remove(key);
        } else if let (Some(keys), Value::Array(items)) = (merge_keys(key), value) {
            merge_list(target.entry(key.clone()).or_insert_with(|| json!([])), items, keys);
        } else {
            strategic(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The fields that may identify an item of the list at `field`, the likeliest first.
fn merge_keys(field: &str) -> Option<&'static [&'static str]> {
    match field {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            Some(&["name"])
        }
        "ports" => Some(&["containerPort", "port"]),
        "volumeMounts" => Some(&["mountPath"]),
        "conditions" => Some(&["type"]),
        "ownerReferences" => Some(&["uid"]),
        _ => None,
    }
}

fn merge_list(target: &mut Value, patch: &[Value], keys: &[&str]) {
    if !target.is_array() || patch.iter().any(|item| item["$patch"] == json!("replace")) {
        *target = json!([]);
    }
    let Value::Array(list) = target else { return };
    for item in patch.iter().filter(|item| item["$patch"] != json!("replace")) {
        let same = |other: &Value| {
            keys.iter()
                .find(|key| item.get(**key).is_some())
                .is_some_and(|key| other.get(*key) == item.get(*key) && same_protocol(other, item))
        };
        if item["$patch"] == json!("delete") {
            list.retain(|other| !same(other));
            continue;
        }
        if let Some(found) = list.iter_mut().find(|other| same(other)) {
            strategic(found, item);
        } else {
            let mut fresh = json!({});
            strategic(&mut fresh, item);
            list.push(fresh);
        }
    }
}

/// Two ports of one number are two ports where their protocols differ.
fn same_protocol(a: &Value, b: &Value) -> bool {
    match (a.get("protocol"), b.get("protocol")) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

fn json_patch(target: &mut Value, patch: &Value) -> Result<(), Status> {
    let wrong = |why: &str| Status::bad_request(format!("error decoding patch: {why}"));
    for step in patch.as_array().ok_or_else(|| wrong("not a list"))? {
        let field = |name| step.get(name).and_then(Value::as_str).unwrap_or_default();
        let path = field("path");
        let missing = || Status::bad_request(format!("the path does not exist: {path}"));
        match field("op") {
            "test" if target.pointer(path) == step.get("value") => {}
            "test" => return Err(Status::bad_request(format!("testing value {path} failed: test failed"))),
            "add" => add(target, path, step["value"].clone()).ok_or_else(missing)?,
            "replace" => *target.pointer_mut(path).ok_or_else(missing)? = step["value"].clone(),
            "remove" => drop(take(target, path).ok_or_else(missing)?),
            "move" => {
                let value = take(target, field("from")).ok_or_else(missing)?;
                add(target, path, value).ok_or_else(missing)?;
            }
            "copy" => {
                let value = target.pointer(field("from")).cloned().ok_or_else(missing)?;
                add(target, path, value).ok_or_else(missing)?;
            }
            other => return Err(wrong(&format!("unknown operation {other}"))),
        }
    }
    Ok(())
}

fn split_path(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    let (parent, last) = split_path(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(map) => drop(map.insert(last, value)),
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => {
            let index = last.parse().ok().filter(|index| *index <= list.len())?;
            list.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn take(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split_path(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(map) => map.remove(&last),
        Value::Array(list) => {
            last.parse().ok().filter(|index| *index < list.len()).map(|index| list.remove(index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(format: Format, mut target: Value, patch: &Value) -> Value {
        apply(format, &mut target, patch).unwrap();
        target
    }

    #[test]
    fn merge_replaces_lists_and_removes_nulls() {
        let target = json!({ "a": [1, 2], "b": { "c": 1, "d": 2 } });
        let patch = json!({ "a": [3], "b": { "c": null }, "e": { "f": null, "g": 1 } });
        assert_eq!(
            patched(Format::Merge, target, &patch),
            json!({ "a": [3], "b": { "d": 2 }, "e": { "g": 1 } })
        );
    }

    #[test]
    fn strategic_joins_containers_by_name() {
        let target = json!({ "containers": [{ "name": "a", "image": "x:1", "ports": [{ "containerPort": 1 }] },
                                            { "name": "b", "image": "y:1" }] });
        let patch = json!({
            "$setElementOrder/containers": [{ "name": "a" }],
            "containers": [{ "name": "a", "image": "x:2", "ports": [{ "containerPort": 2 }] },
                           { "name": "b", "$patch": "delete" }],
        });
        let expected = json!({ "containers": [
            { "name": "a", "image": "x:2", "ports": [{ "containerPort": 1 }, { "containerPort": 2 }] },
        ] });
        assert_eq!(patched(Format::Strategic, target, &patch), expected);
    }

    #[test]
    fn json_patch_steps() {
        let target = json!({ "a": [1], "b/c": 2 });
        let patch = json!([
            { "op": "test", "path": "/a/0", "value": 1 },
            { "op": "add", "path": "/a/-", "value": 3 },
            { "op": "remove", "path": "/b~1c" },
            { "op": "replace", "path": "/a/0", "value": 0 },
        ]);
        assert_eq!(patched(Format::Json, target, &patch), json!({ "a": [0, 3] }));
        assert!(apply(Format::Json, &mut json!({}), &json!([{ "op": "remove", "path": "/x" }])).is_err());
        assert!(apply(Format::Json, &mut json!({}), &json!("nonsense")).is_err());
    }
}
