//! Reading the protobuf bodies that kubectl sends for some of its writes: `create deployment`, `auth can-i`.
//!
//! A server may answer in JSON but has to take what it is sent. The schemas below hold the fields that kubectl fills
//! in for these kinds, and pass over all others.

use serde_json::{Map, Value, json};

/// What begins a body.
const MAGIC: &[u8] = b"k8s\0";

/// How a field is written.
enum Type {
    Text,
    Int,
    Bool,
    /// `map<string, string>`.
    Labels,
    IntOrString,
    Message(Schema),
}

/// A field: its number, its name, whether it is a list, and its type.
type Field = (u64, &'static str, bool, Type);
type Schema = &'static [Field];

use Type::{Bool, Int, IntOrString, Labels, Message, Text};

const METADATA: Schema = &[
    (1, "name", false, Text),
    (2, "generateName", false, Text),
    (3, "namespace", false, Text),
    (11, "labels", false, Labels),
    (12, "annotations", false, Labels),
];
const CONTAINER_PORT: Schema =
    &[(1, "name", false, Text), (3, "containerPort", false, Int), (4, "protocol", false, Text)];
const CONTAINER: Schema = &[
    (1, "name", false, Text),
    (2, "image", false, Text),
    (3, "command", true, Text),
    (4, "args", true, Text),
    (6, "ports", true, Message(CONTAINER_PORT)),
    (14, "imagePullPolicy", false, Text),
];
const POD_SPEC: Schema = &[
    (2, "containers", true, Message(CONTAINER)),
    (3, "restartPolicy", false, Text),
    (4, "terminationGracePeriodSeconds", false, Int),
];
const TEMPLATE: Schema = &[(1, "metadata", false, Message(METADATA)), (2, "spec", false, Message(POD_SPEC))];
const SELECTOR: Schema = &[(1, "matchLabels", false, Labels)];
const DEPLOYMENT_SPEC: Schema = &[
    (1, "replicas", false, Int),
    (2, "selector", false, Message(SELECTOR)),
    (3, "template", false, Message(TEMPLATE)),
];
const DEPLOYMENT: Schema =
    &[(1, "metadata", false, Message(METADATA)), (2, "spec", false, Message(DEPLOYMENT_SPEC))];
const JOB_SPEC: Schema = &[
    (1, "parallelism", false, Int),
    (2, "completions", false, Int),
    (4, "selector", false, Message(SELECTOR)),
    (6, "template", false, Message(TEMPLATE)),
];
const JOB: Schema = &[(1, "metadata", false, Message(METADATA)), (2, "spec", false, Message(JOB_SPEC))];
const SERVICE_PORT: Schema = &[
    (1, "name", false, Text),
    (2, "protocol", false, Text),
    (3, "port", false, Int),
    (4, "targetPort", false, IntOrString),
    (5, "nodePort", false, Int),
];
const SERVICE_SPEC: Schema = &[
    (1, "ports", true, Message(SERVICE_PORT)),
    (2, "selector", false, Labels),
    (3, "clusterIP", false, Text),
    (4, "type", false, Text),
    (10, "externalName", false, Text),
];
const SERVICE: Schema =
    &[(1, "metadata", false, Message(METADATA)), (2, "spec", false, Message(SERVICE_SPEC))];
const METADATA_ONLY: Schema = &[(1, "metadata", false, Message(METADATA))];
const RESOURCE_ATTRIBUTES: Schema = &[
    (1, "namespace", false, Text),
    (2, "verb", false, Text),
    (3, "group", false, Text),
    (4, "version", false, Text),
    (5, "resource", false, Text),
    (6, "subresource", false, Text),
    (7, "name", false, Text),
];
const PATH_ATTRIBUTES: Schema = &[(1, "path", false, Text), (2, "verb", false, Text)];
const ACCESS_SPEC: Schema = &[
    (1, "resourceAttributes", false, Message(RESOURCE_ATTRIBUTES)),
    (2, "nonResourceAttributes", false, Message(PATH_ATTRIBUTES)),
];
const ACCESS: Schema = &[(2, "spec", false, Message(ACCESS_SPEC))];
const RULES: Schema = &[(2, "spec", false, Message(&[(1, "namespace", false, Text)]))];
const PRECONDITIONS: Schema = &[(1, "uid", false, Text), (2, "resourceVersion", false, Text)];
const DELETE_OPTIONS: Schema = &[
    (1, "gracePeriodSeconds", false, Int),
    (2, "preconditions", false, Message(PRECONDITIONS)),
    (3, "orphanDependents", false, Bool),
    (4, "propagationPolicy", false, Text),
    (5, "dryRun", true, Text),
];
const TOKEN_SPEC: Schema = &[(1, "audiences", true, Text), (4, "expirationSeconds", false, Int)];
const TOKEN_REQUEST: Schema =
    &[(1, "metadata", false, Message(METADATA)), (2, "spec", false, Message(TOKEN_SPEC))];
const POLICY_RULE: Schema = &[
    (1, "verbs", true, Text),
    (2, "apiGroups", true, Text),
    (3, "resources", true, Text),
    (4, "resourceNames", true, Text),
    (5, "nonResourceURLs", true, Text),
];
const ROLE: Schema = &[(1, "metadata", false, Message(METADATA)), (2, "rules", true, Message(POLICY_RULE))];
const SUBJECT: Schema = &[
    (1, "kind", false, Text),
    (2, "apiGroup", false, Text),
    (3, "name", false, Text),
    (4, "namespace", false, Text),
];
const ROLE_REF: Schema = &[(1, "apiGroup", false, Text), (2, "kind", false, Text), (3, "name", false, Text)];
const BINDING: Schema = &[
    (1, "metadata", false, Message(METADATA)),
    (2, "subjects", true, Message(SUBJECT)),
    (3, "roleRef", false, Message(ROLE_REF)),
];
const UNKNOWN: Schema =
    &[(1, "type", false, Message(&[(1, "apiVersion", false, Text), (2, "kind", false, Text)]))];

fn schema(kind: &str) -> Option<Schema> {
    Some(match kind {
        "Deployment" => DEPLOYMENT,
        "Job" => JOB,
        "Service" => SERVICE,
        "Pod" => TEMPLATE,
        "Namespace" | "ServiceAccount" | "SelfSubjectReview" => METADATA_ONLY,
        "SelfSubjectAccessReview" => ACCESS,
        "SelfSubjectRulesReview" => RULES,
        "DeleteOptions" => DELETE_OPTIONS,
        "TokenRequest" => TOKEN_REQUEST,
        "Role" | "ClusterRole" => ROLE,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        _ => return None,
    })
}

/// The object in a protobuf body, if it is one of the kinds above and well-formed.
pub(crate) fn decode(body: &[u8]) -> Option<Value> {
    let envelope = body.strip_prefix(MAGIC)?;
    let kind = message(UNKNOWN, envelope)?;
    let (api_version, kind) = (kind["type"]["apiVersion"].clone(), kind["type"]["kind"].clone());
    let raw = Fields(envelope).find_map(|field| match field {
        Some((2, Wire::Bytes(raw))) => Some(raw),
        _ => None,
    })?;
    let mut object = message(schema(kind.as_str()?)?, raw)?;
    object["apiVersion"] = api_version;
    object["kind"] = kind;
    Some(object)
}

fn message(schema: Schema, bytes: &[u8]) -> Option<Value> {
    let mut object = Map::new();
    for field in Fields(bytes) {
        let (number, wire) = field?;
        let Some((_, name, is_list, kind)) = schema.iter().find(|field| field.0 == number) else { continue };
        if let Labels = kind {
            let Wire::Bytes(entry) = wire else { return None };
            let entry = message(&[(1, "key", false, Text), (2, "value", false, Text)], entry)?;
            let labels = object.entry(*name).or_insert_with(|| json!({}));
            labels[entry["key"].as_str().unwrap_or_default()] =
                json!(entry["value"].as_str().unwrap_or_default());
            continue;
        }
        let value = value(kind, &wire)?;
        // Go writes fields that are not set as empty ones; only a number of replicas means its zero.
        let is_unset =
            value == json!("") || (value == json!(0) && *name != "replicas" && !name.ends_with("Seconds"));
        if *is_list {
            let list = object.entry(*name).or_insert_with(|| json!([]));
            list.as_array_mut()?.push(value);
        } else if !is_unset {
            object.insert((*name).to_owned(), value);
        }
    }
    Some(Value::Object(object))
}

fn value(kind: &Type, wire: &Wire<'_>) -> Option<Value> {
    Some(match (kind, wire) {
        (Text, Wire::Bytes(bytes)) => json!(std::str::from_utf8(bytes).ok()?),
        // Negative numbers are written as their two's complement.
        (Int, Wire::Int(number)) => json!(number.cast_signed()),
        (Bool, Wire::Int(number)) => json!(*number != 0),
        (Message(schema), Wire::Bytes(bytes)) => message(schema, bytes)?,
        (IntOrString, Wire::Bytes(bytes)) => {
            let either =
                message(&[(1, "kind", false, Int), (2, "int", false, Int), (3, "text", false, Text)], bytes)?;
            if either["kind"] == json!(1) { either["text"].clone() } else { either["int"].clone() }
        }
        _ => return None,
    })
}

enum Wire<'a> {
    Int(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message; `None` among them ends one that is not well-formed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Int(self.varint()?),
            1 => Wire::Bytes(self.bytes(8)?),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.bytes(length)?)
            }
            5 => Wire::Bytes(self.bytes(4)?),
            _ => return None,
        };
        Some((tag >> 3, wire))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A namespace with the name tmp, in the envelope that client-go puts around it.
    const NAMESPACE: &[u8] =
        b"k8s\0\n\x0f\n\x02v1\x12\x09Namespace\x12\x0d\n\x07\n\x03tmp\x12\0\x12\0\x1a\0\x1a\0\"\0";

    #[test]
    fn a_namespace() {
        let object = decode(NAMESPACE).unwrap();
        assert_eq!(object, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "tmp" } }));
    }

    #[test]
    fn what_is_cut_off_is_refused_and_never_panics() {
        for end in 0..NAMESPACE.len() - 9 {
            assert!(decode(&NAMESPACE[..end]).is_none(), "{end}");
        }
        assert!(decode(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_none());
        assert!(decode(b"{}").is_none());
    }
}
