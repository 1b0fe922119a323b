//! Reading and writing the parts every object has.

use std::time::Duration;

use podserver::hex;
use serde_json::{Map, Value, json};

use crate::api::resources::Resource;

/// The string at `pointer`, or an empty one.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at `pointer`, or zero.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The array at `pointer`, or an empty one.
pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

pub(crate) fn resource_version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null())
}

pub(crate) fn labels(object: &Value) -> Option<&Map<String, Value>> {
    object.pointer("/metadata/labels").and_then(Value::as_object)
}

/// The uid of the controller that owns the object, or an empty string.
pub(crate) fn controller_uid(object: &Value) -> &str {
    items(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner["controller"] == json!(true))
        .map_or("", |owner| text(owner, "/uid"))
}

/// An owner reference to `owner`.
pub(crate) fn owned_by(resource: &Resource, owner: &Value) -> Value {
    json!([{
        "apiVersion": resource.api_version(), "kind": resource.kind, "name": name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// The object at `key` in `value`, made if it is not there; a value of another type is replaced.
pub(crate) fn object_at<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    let inner = &mut value[key];
    if !inner.is_object() {
        *inner = json!({});
    }
    match inner {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// Counts a change of what is wanted, as the API server does.
pub(crate) fn bump_generation(before: &Value, after: &mut Value) {
    let asked = before.get("spec") != after.get("spec") || (!is_deleting(before) && is_deleting(after));
    if asked && before.pointer("/metadata/generation").is_some() {
        after["metadata"]["generation"] = json!(number(before, "/metadata/generation") + 1);
    }
}

/// Now, as Kubernetes writes it.
pub(crate) fn now() -> String {
    in_future(Duration::ZERO)
}

pub(crate) fn in_future(by: Duration) -> String {
    let seconds = i64::try_from(by.as_secs()).unwrap_or(0);
    let at = jiff::Timestamp::now();
    let at = at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(at);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random version 4 UUID.
pub(crate) fn new_uid() -> String {
    let bytes = random::<16>();
    let hex = hex(&bytes);
    let variant = char::from(b"89ab"[usize::from(bytes[8] & 3)]);
    format!("{}-{}-4{}-{variant}{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// A random container id.
pub(crate) fn new_container_id() -> String {
    format!("containerd://{}", hex(&random::<32>()))
}

/// The five letters that `generateName` adds; no vowels, so no words.
pub(crate) fn suffix() -> String {
    encode(&random::<5>())
}

/// `bytes` in Kubernetes' safe alphabet, one letter a byte.
pub(crate) fn encode(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    bytes.iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])).collect()
}

fn random<const N: usize>() -> [u8; N] {
    use aws_lc_rs::rand::SecureRandom;
    let mut bytes = [0; N];
    // The system's generator does not fail once it has started; a failure would give zeros, and a name that collides.
    let _ = aws_lc_rs::rand::SystemRandom::new().fill(&mut bytes);
    bytes
}
