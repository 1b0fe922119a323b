//! Kubeconfigs that lead nowhere.

use std::fs;

use sandbox::support::kubeconfig::{base64, cluster_of, kubeconfig};
use serde_json::json;

use crate::check::{check, check_one, fwd, sandbox};

/// A file that is JSON up to the line of a token, and then no more.
const BROKEN: &str = "apiVersion: v1\nkind: Config\nusers:\n- name: x\n  user: {token: s3cret\ncontexts: ]\n";

#[tokio::test]
async fn files_that_cannot_be_read() {
    let sandbox = sandbox().await;
    let write = |name: &str, text: &str| {
        let path = sandbox.directory().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (directory, missing) = (sandbox.directory().display().to_string(), write("gone", ""));
    fs::remove_file(&missing).unwrap();
    let (empty, comment) = (write("empty", ""), write("comment", "# nothing\n"));
    let (broken, tab) = (write("broken", BROKEN), write("tab", "apiVersion: v1\nclusters:\n\t- name: x\n"));
    let (list, text) = (write("list", "- a\n- b\n"), write("text", "hello there\n"));
    let odd = sandbox.directory().join("odd").display().to_string();
    fs::write(&odd, b"\xff\xfea\0:\0 \0b").unwrap();
    // A file of holes: it takes no room, and reading it all would.
    let endless = write("endless", "");
    fs::File::options().write(true).open(&endless).unwrap().set_len(65 << 20).unwrap();
    let admin = sandbox.kubeconfig("admin");
    for (file, words) in [
        (&missing, ["no such file", "check --kubeconfig"]),
        (&directory, ["it is a directory", "name files"]),
        (&empty, ["names no cluster", "set KUBECONFIG"]),
        (&comment, ["names no cluster", "set KUBECONFIG"]),
        (&broken, ["line 6, column 9", "`kubectl config view`"]),
        (&tab, ["line 3, column 2", "never with tabs"]),
        (&list, ["line 1, column 1", "is not a map"]),
        (&text, ["line 1, column 1", "is not a map"]),
        (&odd, ["ends in the middle of a character", "`kubectl config view`"]),
        (&endless, ["it is larger than 64 MiB", "name files that you can read"]),
    ] {
        let line = format!("svc/api :80 --kubeconfig {file}");
        check(&admin, &[(&line, &[words[0], words[1], file])]).await;
    }
}

#[tokio::test]
async fn no_kubeconfig() {
    let sandbox = sandbox().await;
    let missing = sandbox.directory().join("gone");
    let home = sandbox.directory().join(".kube").join("config").display().to_string();
    let mut nothing = fwd(&missing, "svc/api :80");
    nothing.env_remove("KUBECONFIG");
    check_one(nothing, &["no cluster is configured", &home, "this is not a pod", "set KUBECONFIG"]).await;
    let listed = fwd(&missing, "svc/api :80 --context dev");
    check_one(listed, &["there is no context 'dev'", &missing.display().to_string(), "set KUBECONFIG"]).await;
}

#[tokio::test]
async fn unknown_names() {
    let sandbox = sandbox().await;
    let admin = sandbox.kubeconfig("admin");
    let file = admin.display().to_string();
    check(
        &admin,
        &[
            ("svc/api :80 --context sandbux", &["no context 'sandbux'", &file, "did you mean 'sandbox'?"]),
            ("svc/api :80 --cluster sndbox", &["no cluster 'sndbox'", &file, "did you mean 'sandbox'?"]),
            ("svc/api :80 --user admni", &["no user 'admni'", &file, "did you mean 'admin'?"]),
            ("svc/api :80 --context zzz", &["no context 'zzz'", &file, "help: contexts: sandbox"]),
        ],
    )
    .await;
    let unchosen = sandbox.directory().join("unchosen");
    let text = fs::read_to_string(&admin)
        .unwrap()
        .replace("\"current-context\": \"sandbox\"", "\"kind\": \"Config\"");
    fs::write(&unchosen, text.replacen("\"kind\": \"Config\",", "", 1)).unwrap();
    let words = ["no context is chosen", "has no current-context", "--context", "contexts: sandbox"];
    check_one(fwd(&unchosen, "svc/api :80"), &words).await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of entries")]
async fn entries_that_cannot_be_used() {
    let sandbox = sandbox().await;
    let url = sandbox.url();
    let user = json!({ "token": "s3cret" });
    for (name, cluster, user, words) in [
        ("no-server", json!({}), user.clone(), ["the server of cluster 'there' is not known", "--server"]),
        (
            "scheme",
            json!({ "server": "ftp://x" }),
            user.clone(),
            ["'ftp://x' is not the URL", "for example https://"],
        ),
        (
            "password",
            json!({ "server": "ftp://u:s3cret@x" }),
            user.clone(),
            ["'ftp://***@x' is not the URL", "for example https://"],
        ),
        (
            "contradiction",
            json!({ "server": url, "certificate-authority": "/ca", "insecure-skip-tls-verify": true }),
            user.clone(),
            ["cannot use the cluster 'there'", "exclude each other"],
        ),
        (
            "not-boolean",
            json!({ "server": url, "insecure-skip-tls-verify": "true" }),
            user.clone(),
            ["insecure-skip-tls-verify in", "neither true nor false"],
        ),
        (
            "no-host",
            json!({ "server": "https://" }),
            user.clone(),
            ["'https://' is not the URL", "with a host"],
        ),
        (
            "no-ca",
            json!({ "server": url, "certificate-authority": "/no/ca.crt" }),
            user.clone(),
            ["CA from /no/ca.crt", "no such file"],
        ),
        (
            "bad-ca",
            json!({ "server": url, "certificate-authority-data": base64("s3cret") }),
            user.clone(),
            ["certificate-authority-data", "it contains no certificate"],
        ),
        (
            "not-base64",
            json!({ "server": url, "certificate-authority-data": "%%%" }),
            user.clone(),
            ["cannot use the cluster 'there'", "certificate-authority-data in"],
        ),
        (
            "proxy",
            json!({ "server": url, "proxy-url": "gopher://x" }),
            user,
            ["the proxy from proxy-url", "socks5://HOST:PORT"],
        ),
        (
            "no-certificate",
            cluster_of(&sandbox),
            json!({ "client-certificate": "/no/me.crt", "client-key": "/no/me.key" }),
            ["cannot read the user's client-certificate /no/me.crt", "no such file"],
        ),
        (
            "no-token-file",
            cluster_of(&sandbox),
            json!({ "tokenFile": "/no/token" }),
            ["cannot read the user's tokenFile /no/token", "no such file"],
        ),
        (
            "empty-token-file",
            cluster_of(&sandbox),
            json!({ "tokenFile": "/dev/null" }),
            ["cannot read the user's tokenFile /dev/null", "it is empty"],
        ),
        (
            "token-line",
            cluster_of(&sandbox),
            json!({ "token": "s3cret\n" }),
            ["the token cannot be sent", "check --token"],
        ),
        (
            "token-list",
            cluster_of(&sandbox),
            json!({ "token": ["s3cret"] }),
            ["cannot use the user 'me'", "is a list where a text belongs"],
        ),
        (
            "argument",
            cluster_of(&sandbox),
            json!({ "exec": { "command": "true", "args": [1] } }),
            ["cannot use the user 'me'", "has to be written in quotes"],
        ),
        (
            "as-line",
            cluster_of(&sandbox),
            json!({ "token": "s3cret", "as": "a\nb" }),
            ["cannot impersonate", "a line break"],
        ),
        (
            "bad-key",
            cluster_of(&sandbox),
            json!({ "client-certificate-data": base64("s3cret"), "client-key-data": base64("s3cret") }),
            ["cannot use the client certificate", "it contains no PEM block"],
        ),
    ] {
        let path = kubeconfig(&sandbox, name, &cluster, &user);
        check(&path, &[("svc/api :80", &words)]).await;
    }
}
