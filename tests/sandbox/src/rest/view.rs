//! How a client wants to see objects: whole, as table rows, or metadata only.

use serde_json::{Value, json};

use super::Query;
use crate::api::resources::Resource;
use crate::api::table;

/// Chosen by the `Accept` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Full,
    /// Rows, each with its object's metadata (or the whole object, or nothing: `includeObject`).
    Table(Include),
    Metadata,
}

/// What a row carries along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Include {
    Nothing,
    Metadata,
    Object,
}

impl View {
    pub(super) fn of(accept: &str, query: &Query) -> Self {
        let first = accept.split(',').find(|range| range.trim().starts_with("application/json"));
        match first.unwrap_or_default() {
            range if range.contains("as=Table") => Self::Table(match query.get("includeObject") {
                "None" => Include::Nothing,
                "Object" => Include::Object,
                _ => Include::Metadata,
            }),
            range if range.contains("as=PartialObjectMetadata") => Self::Metadata,
            _ => Self::Full,
        }
    }

    /// One object, alone or in an event.
    pub(super) fn object(self, resource: &Resource, object: &Value) -> Value {
        match self {
            Self::Full => object.clone(),
            Self::Metadata => metadata(object),
            Self::Table(include) => {
                let version = &object["metadata"]["resourceVersion"];
                table(resource, &json!({ "resourceVersion": version }), std::iter::once(object), include)
            }
        }
    }

    /// A list.
    pub(super) fn list<'a>(
        self,
        resource: &Resource,
        list_meta: &Value,
        objects: impl Iterator<Item = &'a Value>,
    ) -> Value {
        match self {
            Self::Full => json!({
                "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
                "metadata": list_meta, "items": objects.map(without_kind).collect::<Vec<_>>(),
            }),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": list_meta, "items": objects.map(metadata).collect::<Vec<_>>(),
            }),
            Self::Table(include) => table(resource, list_meta, objects, include),
        }
    }

    /// The object of a BOOKMARK.
    pub(super) fn bookmark(self, resource: &Resource, version: u64, initial_events_end: bool) -> Value {
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        if initial_events_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let mut object = match self {
            Self::Full => json!({ "kind": resource.kind, "apiVersion": resource.api_version() }),
            Self::Metadata => json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1" }),
            Self::Table(_) => return table(resource, &metadata, std::iter::empty(), Include::Nothing),
        };
        object["metadata"] = metadata;
        if self == Self::Full && resource.kind == "Pod" {
            // What encoding an empty pod gives in Go, and what a strict reader stumbles over.
            object["spec"] = json!({ "containers": null });
            object["status"] = json!({});
        }
        object
    }
}

/// Items of a list do not repeat what the list says.
fn without_kind(object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(map) = &mut object {
        map.remove("kind");
        map.remove("apiVersion");
    }
    object
}

fn metadata(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

fn table<'a>(
    resource: &Resource,
    list_meta: &Value,
    objects: impl Iterator<Item = &'a Value>,
    include: Include,
) -> Value {
    let columns = table::columns(resource);
    let rows: Vec<Value> = objects
        .map(|object| {
            let mut row = json!({ "cells": columns.iter().map(|c| (c.cell)(object)).collect::<Vec<_>>() });
            match include {
                Include::Nothing => {}
                Include::Metadata => row["object"] = metadata(object),
                Include::Object => row["object"] = object.clone(),
            }
            row
        })
        .collect();
    let definitions: Vec<Value> = columns.iter().map(table::Column::definition).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_meta,
        "columnDefinitions": definitions, "rows": rows,
    })
}
