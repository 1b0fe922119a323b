//! Questions about oneself: `kubectl auth can-i`, `kubectl auth can-i --list`, `kubectl auth whoami`.

use serde_json::{Value, json};

use crate::api::meta;
use crate::api::status::Status;
use crate::identity::rbac::{Action, Rule};
use crate::identity::users::Identity;

/// Answers the review that was posted to `kind`.
pub(super) fn answer(kind: &str, who: &Identity, mut review: Value) -> Result<Value, Status> {
    if !review.is_object() {
        return Err(Status::bad_request("the body of the request is not an object"));
    }
    review["status"] = match kind {
        "selfsubjectaccessreviews" => access(who, &review["spec"]),
        "selfsubjectrulesreviews" => json!({
            "incomplete": false,
            "resourceRules": who.rules.iter().map(Rule::review).collect::<Vec<_>>(),
            "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/version"] }],
        }),
        "selfsubjectreviews" => json!({ "userInfo": who.info() }),
        _ => return Err(Status::no_such_path()),
    };
    Ok(review)
}

fn access(who: &Identity, spec: &Value) -> Value {
    let Some(asked) = spec.get("resourceAttributes").filter(|asked| asked.is_object()) else {
        return json!({ "allowed": meta::text(spec, "/nonResourceAttributes/verb") == "get" });
    };
    let action = Action {
        verb: meta::text(asked, "/verb"),
        group: meta::text(asked, "/group"),
        resource: meta::text(asked, "/resource"),
        subresource: meta::text(asked, "/subresource"),
        namespace: meta::text(asked, "/namespace"),
        name: meta::text(asked, "/name"),
    };
    match who.check(&action) {
        Ok(()) => json!({ "allowed": true, "reason": "RBAC: allowed" }),
        Err(_) => json!({ "allowed": false }),
    }
}
