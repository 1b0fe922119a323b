//! POST, PUT, PATCH and DELETE.

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::request::{self, Call};
use crate::api::meta;
use crate::api::patch::{self, Format};
use crate::api::resources::NAMESPACE;
use crate::api::shape;
use crate::api::status::{self, Status};
use crate::cluster::store::Key;
use crate::cluster::{Cluster, Deletion};
use crate::serve::{self, Body};

pub(super) async fn answer(
    cluster: &Cluster,
    call: &Call,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let content_type = request::header(&request, "content-type");
    let body = request::body(request).await?;
    match call.verb {
        "create" => create(cluster, call, body),
        "update" => update(cluster, call, &body),
        "patch" => {
            let format = Format::of(&content_type).ok_or_else(Status::unsupported_media_type)?;
            patch(cluster, call, format, &body)
        }
        "delete" => delete(cluster, call, &body),
        "deletecollection" => delete_collection(cluster, call, &body),
        _ => Err(Status::method_not_allowed()),
    }
}

fn respond(call: &Call, code: StatusCode, object: &Value) -> Response<Body> {
    serve::json(code, &call.view.object(call.resource, object))
}

/// Only pretends: every effect but the lasting one.
fn is_dry(call: &Call) -> bool {
    call.query.get("dryRun") == "All"
}

fn create(cluster: &Cluster, call: &Call, body: Value) -> Result<Response<Body>, Status> {
    let object = if is_dry(call) {
        let object = cluster.prepare(call.resource, &call.namespace, body)?;
        if cluster.store.get(&Key::of(call.resource, &object)).is_some() {
            return Err(Status::already_exists(call.resource, meta::name(&object)));
        }
        object
    } else {
        Value::clone(&*cluster.create(call.resource, &call.namespace, body)?)
    };
    Ok(respond(call, StatusCode::CREATED, &object))
}

fn update(cluster: &Cluster, call: &Call, body: &Value) -> Result<Response<Body>, Status> {
    if meta::name(body) != call.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            meta::name(body),
            call.name
        )));
    }
    change(cluster, call, |object| {
        *object = body.clone();
        Ok(())
    })
}

fn patch(cluster: &Cluster, call: &Call, format: Format, body: &Value) -> Result<Response<Body>, Status> {
    let key = Key::new(call.resource, &call.namespace, &call.name);
    if format == Format::Apply && call.subresource.is_empty() && cluster.store.get(&key).is_none() {
        let mut object = body.clone();
        meta::object_at(&mut object, "metadata").insert("name".into(), json!(call.name));
        return create(cluster, call, object);
    }
    change(cluster, call, |object| patch::apply(format, object, body))
}

/// Lets `edit` change the object, or the subresource of it that the call is about, within what a client may change.
fn change(
    cluster: &Cluster,
    call: &Call,
    edit: impl FnOnce(&mut Value) -> Result<(), Status>,
) -> Result<Response<Body>, Status> {
    let key = Key::new(call.resource, &call.namespace, &call.name);
    let edited = |object: &mut Value| {
        let before = object.clone();
        match call.subresource.as_str() {
            "scale" => {
                let mut scale = scale_of(&before);
                edit(&mut scale)?;
                object["spec"]["replicas"] = json!(replicas(call, &scale)?);
                return Ok(());
            }
            "status" => {
                edit(object)?;
                shape::check(object)?;
                let status = object["status"].take();
                *object = before.clone();
                object["status"] = status;
            }
            _ => {
                edit(object)?;
                keep_identity(&before, object)?;
                object["status"] = before["status"].clone();
                if before.get("status").is_none() {
                    object.as_object_mut().map(|map| map.remove("status"));
                }
            }
        }
        let asked = meta::text(object, "/metadata/resourceVersion");
        if !asked.is_empty() && asked != meta::text(&before, "/metadata/resourceVersion") {
            return Err(Status::modified(call.resource, &call.name));
        }
        object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        if object.get("spec").is_some() && meta::number(object, "/spec/replicas") < 0 {
            let why = "Invalid value: must be greater than or equal to 0";
            return Err(Status::invalid(call.resource, &call.name, "spec.replicas", why));
        }
        Ok(())
    };
    let object = if is_dry(call) {
        let mut object = Value::clone(&*cluster.store.get(&key).ok_or_else(|| key.not_found())?);
        edited(&mut object)?;
        object
    } else {
        Value::clone(&*cluster.update(&key, edited)?)
    };
    Ok(match call.subresource.as_str() {
        "scale" => serve::json(StatusCode::OK, &scale_of(&object)),
        _ => respond(call, StatusCode::OK, &object),
    })
}

/// What no client may change stays; what it must leave alone is checked.
fn keep_identity(before: &Value, object: &mut Value) -> Result<(), Status> {
    shape::check(object)?;
    let metadata = meta::object_at(object, "metadata");
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "generateName",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        match before["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.remove("managedFields");
    for field in ["apiVersion", "kind"] {
        object[field] = before[field].clone();
    }
    Ok(())
}

/// The `autoscaling/v1` Scale of a workload.
pub(super) fn scale_of(object: &Value) -> Value {
    let labels = object.pointer("/spec/selector/matchLabels").unwrap_or(&object["spec"]["selector"]);
    let selector = labels.as_object().into_iter().flatten();
    let selector: Vec<String> =
        selector.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": meta::number(object, "/spec/replicas") },
        "status": { "replicas": meta::number(object, "/status/replicas"), "selector": selector.join(",") },
    })
}

fn replicas(call: &Call, scale: &Value) -> Result<i64, Status> {
    let replicas = meta::number(scale, "/spec/replicas");
    if replicas >= 0 {
        return Ok(replicas);
    }
    let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
    Err(Status::invalid(call.resource, &call.name, "spec.replicas", &why))
}

fn deletion<'a>(call: &Call, options: &'a Value) -> Deletion<'a> {
    let grace = call.query.get("gracePeriodSeconds").parse().ok();
    let policy = match call.query.get("propagationPolicy") {
        "" => meta::text(options, "/propagationPolicy"),
        policy => policy,
    };
    Deletion {
        grace: options.get("gracePeriodSeconds").and_then(Value::as_i64).or(grace),
        orphan: policy == "Orphan" || options["orphanDependents"] == json!(true),
        uid: meta::text(options, "/preconditions/uid"),
        resource_version: meta::text(options, "/preconditions/resourceVersion"),
    }
}

fn delete(cluster: &Cluster, call: &Call, options: &Value) -> Result<Response<Body>, Status> {
    let key = Key::new(call.resource, &call.namespace, &call.name);
    if is_dry(call) || options["dryRun"] == json!(["All"]) {
        let object = cluster.store.get(&key).ok_or_else(|| key.not_found())?;
        return Ok(respond(call, StatusCode::OK, &object));
    }
    let (object, gone) = cluster.delete(&key, deletion(call, options))?;
    // A pod is always answered with itself, gone or going.
    if gone && call.resource.kind != "Pod" {
        let status = status::deleted(call.resource, &call.name, meta::uid(&object));
        return Ok(serve::json(StatusCode::OK, &status));
    }
    Ok(respond(call, StatusCode::OK, &object))
}

fn delete_collection(cluster: &Cluster, call: &Call, options: &Value) -> Result<Response<Body>, Status> {
    if *call.resource == NAMESPACE {
        return Err(Status::method_not_allowed());
    }
    let mut items = cluster.store.list(call.resource, call.scope()).items;
    items.retain(|(_, object)| call.selector.matches(object));
    for (key, _) in &items {
        match cluster.delete(key, deletion(call, options)) {
            Err(status) if status.code() != 404 => return Err(status),
            _ => {}
        }
    }
    let meta = json!({ "resourceVersion": cluster.store.version().to_string() });
    let list = call.view.list(call.resource, &meta, items.iter().map(|(_, object)| &**object));
    Ok(serve::json(StatusCode::OK, &list))
}
