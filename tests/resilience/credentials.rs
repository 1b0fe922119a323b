//! What a user is known by, and may do.

use std::fs;
use std::path::PathBuf;

use sandbox::support::Test;
use sandbox::support::kubeconfig::{cluster_of, kubeconfig};
use sandbox::{Options, Sandbox, User};
use serde_json::{Value, json};

use crate::row::{Long, Lost, Row};
use crate::scene::Scene;

/// What is told of a connection that was under way on a session that is lost.
const CUT: &str = "~ svc/api: connection to pod A port 8080 failed: the connection to the pod was lost while a request was under way*";

const LOST: &str = "? svc/api: connection to pod A lost (*), reconnecting";
const TRIED: &str = "+ svc/api: cannot reach pod A (*), attempt * of 3 in * s";
const AGAIN: &str = "? svc/api: connected to pod A again*";

/// What a plugin that takes long is told by.
const STILL: &str = "~ *still waiting for the credential plugin sh*";

pub(crate) const ROWS: &[Row] = &[
    Row::new("the bearer token expires, and the exec plugin gives the next", |scene| {
        Box::pin(token_expired(scene))
    })
    .after(|sandbox| Box::pin(with_plugin(sandbox)))
    .says(&[LOST, AGAIN, CUT])
    .events(&["? reconnecting", "? recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("the token in a `tokenFile` is replaced, and the old one refused", |scene| {
        Box::pin(file_rotated(scene))
    })
    .after(|sandbox| Box::pin(with_token_file(sandbox)))
    .says(&[LOST, AGAIN, CUT])
    .events(&["? reconnecting", "? recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("the token in a `tokenFile` is refused before it is replaced", |scene| {
        Box::pin(file_late(scene))
    })
    .after(|sandbox| Box::pin(with_token_file(sandbox)))
    .says(&[LOST, TRIED, AGAIN, CUT])
    .events(&["+ reconnecting", "recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("the client certificate is refused, and replaced in its file", |scene| {
        Box::pin(certificate_rotated(scene))
    })
    .after(|sandbox| Box::pin(with_certificate_files(sandbox)))
    .says(&[LOST, TRIED, AGAIN, CUT])
    .events(&["+ reconnecting", "recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("the user's rights are revoked, and granted again", |scene| Box::pin(rights_revoked(scene)))
        .on(bound_user)
        .after(|sandbox| Box::pin(as_bound_user(sandbox)))
        .says(&[LOST, TRIED, AGAIN, CUT])
        .events(&["+ reconnecting", "recovered", "~ connection_failed"])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
    Row::new("the exec plugin fails, until a login", |scene| Box::pin(plugin_fails(scene, "run foo login")))
        .after(|sandbox| Box::pin(with_plugin(sandbox)))
        .says(&[LOST, TRIED, AGAIN, CUT])
        .events(&["+ reconnecting", "recovered", "~ connection_failed"])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
    Row::new("the exec plugin asks for a password, and there is no terminal", |scene| {
        Box::pin(plugin_asks(scene))
    })
    .after(|sandbox| Box::pin(with_plugin(sandbox)))
    .says(&[LOST, TRIED, AGAIN, CUT])
    .events(&["+ reconnecting", "recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("the exec plugin hangs", |scene| Box::pin(plugin_hangs(scene)))
        .after(|sandbox| Box::pin(with_plugin(sandbox)))
        .says(&[LOST, "~ svc/api: cannot reach pod A (*", AGAIN, CUT, STILL])
        .events(&["~ reconnecting", "? recovered", "~ connection_failed", "~ notice"])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
];

/// Has the user whose kubeconfig is used be this one.
fn use_user(sandbox: &Sandbox, user: &Value) {
    kubeconfig(sandbox, "admin.kubeconfig", &cluster_of(sandbox), user);
}

fn file(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.directory().join(name)
}

/// What the plugin prints: a token that has to be asked for again each time.
fn print(sandbox: &Sandbox, token: &str) -> Test {
    let status = json!({ "token": token, "expirationTimestamp": "2020-01-01T00:00:00Z" });
    let answer = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status,
    });
    fs::write(file(sandbox, "printed"), answer.to_string())?;
    Ok(())
}

/// A plugin that fails, asks or hangs while there is a file of that name.
async fn with_plugin(sandbox: &Sandbox) -> Test {
    print(sandbox, &sandbox.token("admin").ok_or("no token")?)?;
    let directory = sandbox.directory().display();
    let script = format!(
        "cd {directory}; [ -e fails ] && {{ cat fails >&2; exit 7; }}; [ -e asks ] && {{ echo 'Password:' >&2; read answer || exit 9; }}; \
         while [ -e hangs ]; do sleep 0.1; done; cat printed"
    );
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
        "interactiveMode": "IfAvailable",
    });
    use_user(sandbox, &json!({ "exec": exec }));
    Ok(())
}

async fn with_token_file(sandbox: &Sandbox) -> Test {
    let path = file(sandbox, "token");
    fs::write(&path, sandbox.token("admin").ok_or("no token")?)?;
    use_user(sandbox, &json!({ "tokenFile": path }));
    Ok(())
}

async fn with_certificate_files(sandbox: &Sandbox) -> Test {
    let own = sandbox.certificate("cert-admin").ok_or("no certificate")?;
    fs::write(file(sandbox, "client.crt"), &own.certificate)?;
    fs::write(file(sandbox, "client.key"), &own.key)?;
    let [certificate, key] = ["client.crt", "client.key"].map(|name| file(sandbox, name));
    use_user(sandbox, &json!({ "client-certificate": certificate, "client-key": key }));
    Ok(())
}

/// Requests go on to be answered over new sessions.
async fn over_new_sessions(scene: &mut Scene) -> Test {
    scene.sandbox().faults().end_sessions();
    scene.begin_now();
    scene.answered_anew("an answer", |_| true).await
}

async fn token_expired(scene: &mut Scene) -> Test {
    let token = scene.sandbox().rotate_token("admin");
    print(scene.sandbox(), &token)?;
    over_new_sessions(scene).await
}

async fn file_rotated(scene: &mut Scene) -> Test {
    let token = scene.sandbox().rotate_token("admin");
    fs::write(file(scene.sandbox(), "token"), token)?;
    over_new_sessions(scene).await
}

async fn file_late(scene: &mut Scene) -> Test {
    let token = scene.sandbox().rotate_token("admin");
    scene.ends_sessions_until("Unauthorized (401)").await?;
    fs::write(file(scene.sandbox(), "token"), token)?;
    scene.begin_now();
    scene.answered_again().await
}

async fn certificate_rotated(scene: &mut Scene) -> Test {
    let next = scene.sandbox().rotate_certificate("cert-admin").ok_or("no certificate")?.clone();
    scene.ends_sessions_until("Unauthorized (401)").await?;
    fs::write(file(scene.sandbox(), "client.key"), next.key)?;
    fs::write(file(scene.sandbox(), "client.crt"), next.certificate)?;
    scene.begin_now();
    scene.answered_again().await
}

/// A user whose rights are those of a role.
fn bound_user() -> Options {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "all" },
        "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }],
    });
    Options { users: vec![User::new("bound")], objects: vec![role, binding()], ..Options::default() }
}

fn binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "bound" },
        "roleRef": { "kind": "Role", "name": "all" }, "subjects": [{ "kind": "User", "name": "bound" }],
    })
}

async fn as_bound_user(sandbox: &Sandbox) -> Test {
    fs::copy(sandbox.kubeconfig("bound"), sandbox.kubeconfig("admin"))?;
    Ok(())
}

async fn rights_revoked(scene: &mut Scene) -> Test {
    scene.sandbox().delete("rolebinding", "default", "bound")?;
    scene.ends_sessions_until("(403: ").await?;
    scene.sandbox().create(binding())?;
    scene.begin_now();
    scene.answered_again().await
}

/// The plugin does so, which is told by these words, until it does no more.
async fn plugin_in_trouble(scene: &mut Scene, how: &str, text: &str, told: &str) -> Test {
    let trouble = file(scene.sandbox(), how);
    fs::write(&trouble, text)?;
    scene.ends_sessions_until(told).await?;
    fs::remove_file(trouble)?;
    scene.begin_now();
    scene.answered_again().await
}

async fn plugin_fails(scene: &mut Scene, words: &str) -> Test {
    plugin_in_trouble(scene, "fails", words, words).await
}

async fn plugin_asks(scene: &mut Scene) -> Test {
    plugin_in_trouble(scene, "asks", "", "credential plugin sh failed").await
}

async fn plugin_hangs(scene: &mut Scene) -> Test {
    plugin_in_trouble(scene, "hangs", "", "still waiting for the credential plugin sh").await
}
