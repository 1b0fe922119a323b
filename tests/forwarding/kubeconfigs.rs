//! Kubeconfigs as people have them: what kubectl reads is read, and to the same end.

use std::{fs, path::PathBuf};

use sandbox::Sandbox;
use sandbox::support::forward::{self, Forward};
use serde_json::Value;

use crate::start::program;
use sandbox::support::pods::cluster;
use sandbox::support::{Failure, Test, ask};

/// Writes kubeconfigs that lead to the sandbox, and says which of them do not.
struct Files<'a> {
    sandbox: &'a Sandbox,
    /// The sandbox's own, as the parts of others.
    own: Value,
    failed: Vec<String>,
}

impl<'a> Files<'a> {
    fn new(sandbox: &'a Sandbox, user: &str) -> Result<Self, Failure> {
        let own = serde_json::from_str(&fs::read_to_string(sandbox.kubeconfig(user))?)?;
        Ok(Self { sandbox, own, failed: Vec::new() })
    }

    fn server(&self) -> String {
        self.field("/clusters/0/cluster/server")
    }

    fn ca(&self) -> String {
        self.field("/clusters/0/cluster/certificate-authority-data")
    }

    fn token(&self) -> String {
        self.field("/users/0/user/token")
    }

    fn field(&self, pointer: &str) -> String {
        self.own.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.sandbox.directory().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// A kubeconfig of these lines of YAML, for the cluster, for the user and for the top.
    fn of(&self, cluster: &str, user: &str, more: &str) -> String {
        let indented = |lines: &str| format!("    {}\n", lines.replace('\n', "\n    "));
        format!(
            "current-context: s\nkind: Config\nclusters:\n- name: s\n  cluster:\n    server: {}\n{}users:\n- name: s\n  \
             user:\n{}{more}\ncontexts:\n- name: s\n  context: {{cluster: s, user: s}}\n",
            self.server(),
            indented(cluster),
            indented(user),
        )
    }

    /// As [`Self::of`], with the sandbox's CA and this user.
    fn with_user(&self, user: &str, more: &str) -> String {
        self.of(&format!("certificate-authority-data: {}", self.ca()), user, more)
    }

    /// Forwards with a kubeconfig list, and notes what came of it.
    async fn check(&mut self, what: &str, kubeconfig: &str) -> Test {
        let mut command = forward::command(
            program(),
            &self.sandbox.directory().join("unused"),
            &["svc/api", ":80", "--pod-running-timeout", "20s"],
        );
        let mut forward = Forward::spawn({
            command.env("KUBECONFIG", kubeconfig);
            command
        })?;
        match forward.port().await {
            Ok(_) => drop(forward.end("INT").await?),
            Err(failure) => self.failed.push(format!("{what}: {failure:?}")),
        }
        Ok(())
    }

    async fn check_text(&mut self, what: &str, text: &str) -> Test {
        let path = self.write("tried", text)?;
        self.check(what, &path.display().to_string()).await
    }

    fn all_work(self) {
        assert!(self.failed.is_empty(), "{}", self.failed.join("\n\n"));
    }
}

#[tokio::test]
async fn entries_that_are_not_used_and_keys_that_stand_twice() -> Test {
    let sandbox = cluster().await?;
    let mut files = Files::new(&sandbox, "admin")?;
    let token = files.token();
    let user = format!("token: {token}");
    for (what, text) in [
        ("null bodies and no bodies", files.with_user(&user, "- name: a\n- {name: b, user: null}\n- null\n")),
        ("a provider without a configuration", {
            files.with_user(&user, "- name: gke\n  user: {auth-provider: {name: gcp, config: null}}\n")
        }),
        ("nulls in a plugin", {
            files.with_user(&user, "- name: e\n  user: {exec: {command: x, provideClusterInfo: null}}\n")
        }),
        ("kinds that do not fit", files.with_user(&user, "- {name: a, user: [1]}\n- {name: [], user: 5}\n")),
        ("a key twice", files.with_user(&format!("token: x\n{user}"), "kind: Config\n")),
        ("anchors and merges", {
            let user = format!("<<: &a {{token: {token}}}\nother: *a\nmore: [*a, *a, *a]");
            files.with_user(&user, "")
        }),
        ("another document", files.with_user(&user, "") + "---\n]\n"),
        ("many comments", "# a line\n".repeat(500) + &files.with_user(&user, "")),
        ("a byte order mark", format!("\u{feff}{}", files.with_user(&user, ""))),
        ("nulls", files.with_user(&format!("{user}\nas-groups: null\nas-user-extra: {{}}\nexec: null"), "")),
        ("JSON", serde_json::to_string(&files.own)?),
    ] {
        files.check_text(what, &text).await?;
    }
    files.all_work();
    Ok(())
}

#[tokio::test]
async fn what_is_empty_is_not_set() -> Test {
    let sandbox = cluster().await?;
    let mut files = Files::new(&sandbox, "admin")?;
    let (token, ca) = (files.token(), files.ca());
    for field in [
        "tokenFile",
        "client-certificate",
        "client-key",
        "client-certificate-data",
        "client-key-data",
        "as",
        "as-uid",
    ] {
        let text = files.with_user(&format!("token: {token}\n{field}: ''\nusername: ''\npassword: ''"), "");
        files.check_text(field, &text).await?;
    }
    let cluster = format!(
        "certificate-authority-data: {ca}\ntls-server-name: ''\nproxy-url: ''\ncertificate-authority: ''"
    );
    let text = files.of(&cluster, &format!("token: {token}"), "");
    files.check_text("the cluster's fields", &text).await?;

    let first = files.write("first", "current-context: ''\ncontexts: null\n")?;
    let list = std::env::join_paths([first, sandbox.kubeconfig("admin")])?;
    files.check("the first file's current-context", &list.to_string_lossy()).await?;
    files.all_work();
    Ok(())
}

#[tokio::test]
async fn base64_in_every_shape() -> Test {
    let sandbox = cluster().await?;
    let mut files = Files::new(&sandbox, "cert-admin")?;
    let (certificate, key) =
        (files.field("/users/0/user/client-certificate-data"), files.field("/users/0/user/client-key-data"));
    let wrapped = |text: &str| {
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("|\n  {}", lines.join("\n  "))
    };
    let user =
        format!("client-certificate-data: {}\nclient-key-data: {}", wrapped(&certificate), wrapped(&key));
    let text = files.of(&format!("certificate-authority-data: {}", wrapped(&files.ca())), &user, "");
    files.check_text("wrapped blocks", &text).await?;
    let quoted = |text: &str| format!("\"{}\\r\\n\"", text.replace('/', "\\/"));
    let user =
        format!("client-certificate-data: {}\nclient-key-data: {}", quoted(&certificate), quoted(&key));
    let text = files.with_user(&user, "");
    files.check_text("escapes", &text).await?;
    files.all_work();
    Ok(())
}

#[tokio::test]
async fn credentials_as_client_go_chooses_them() -> Test {
    let sandbox = cluster().await?;
    let mut files = Files::new(&sandbox, "cert-admin")?;
    let (certificate, key) =
        (files.field("/users/0/user/client-certificate-data"), files.field("/users/0/user/client-key-data"));
    let pair = format!("client-certificate-data: {certificate}\nclient-key-data: {key}");
    let user = format!(
        "{pair}\nexec: {{apiVersion: client.authentication.k8s.io/v1, command: /bin/false, interactiveMode: Never}}"
    );
    let text = files.with_user(&user, "");
    files.check_text("a certificate beside a plugin", &text).await?;

    files.own = serde_json::from_str(&fs::read_to_string(sandbox.kubeconfig("admin"))?)?;
    let token = files.token();
    files.write("token", &format!("\t{token}\r\n"))?;
    files.write("nothing", "")?;
    for (what, user) in [
        ("a token file with blanks around", "tokenFile: ./no/../token".to_owned()),
        ("a token file before a token", "tokenFile: token\ntoken: x".to_owned()),
        ("a token where the file is missing", format!("tokenFile: /no/token\ntoken: {token}")),
        ("a token where the file is empty", format!("tokenFile: nothing\ntoken: {token}")),
        ("a token beside a plugin", format!("token: {token}\nexec: {{command: /bin/false}}")),
        ("a token beside an issuer", format!("token: {token}\nauth-provider: {{name: oidc}}")),
        ("a key without a certificate", format!("token: {token}\nclient-key: /no/key")),
        ("a password that is empty", format!("token: {token}\npassword: ''")),
    ] {
        let text = files.with_user(&user, "");
        files.check_text(what, &text).await?;
    }
    files.all_work();
    Ok(())
}

/// A plugin that prints what is in a file.
fn printing(sandbox: &Sandbox, text: &str) -> Result<String, Failure> {
    let path = sandbox.directory().join("printed");
    fs::write(&path, text)?;
    Ok(plugin(&format!("cat {}", path.display())))
}

fn plugin(script: &str) -> String {
    let args = serde_json::json!(["-c", script]);
    format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never, args: {args}}}"
    )
}

#[tokio::test]
async fn answers_of_plugins() -> Test {
    let sandbox = cluster().await?;
    let mut files = Files::new(&sandbox, "admin")?;
    let token = files.token();
    for (what, answer) in [
        ("a byte order mark", format!("\u{feff}{{\"status\": {{\"token\": \"{token}\"}}}}")),
        (
            "YAML",
            format!(
                "apiVersion: client.authentication.k8s.io/v1\nkind: ExecCredential\nstatus:\n  token: {token}\n"
            ),
        ),
        ("a key twice", format!("{{\"status\": {{\"token\": \"x\", \"token\": \"{token}\"}}}}")),
        ("an empty certificate", {
            format!(
                "{{\"status\": {{\"token\": \"{token}\", \"clientCertificateData\": \"\", \"clientKeyData\": \"\"}}}}"
            )
        }),
    ] {
        let text = files.with_user(&format!("token: ''\n{}", printing(&sandbox, &answer)?), "");
        files.check_text(what, &text).await?;
    }
    files.all_work();
    Ok(())
}

/// In life, too, a plugin's own words are told: they say what to do.
#[tokio::test]
async fn the_words_of_a_plugin_are_told_while_forwarding() -> Test {
    let sandbox = cluster().await?;
    let files = Files::new(&sandbox, "admin")?;
    let failing = sandbox.directory().join("failing");
    let answer = format!(
        "{{\"status\": {{\"token\": \"{}\", \"expirationTimestamp\": \"2020-01-01T00:00:00Z\"}}}}",
        files.token()
    );
    let script = format!(
        "[ -e {} ] && {{ echo 'the session has ended: run foo login' >&2; exit 7; }}; echo '{answer}'",
        failing.display()
    );
    let path = files.write("tried", &files.with_user(&plugin(&script), ""))?;
    let mut forward = Forward::start(program(), &path, &["svc/api", ":80"])?;
    let port = forward.port().await?;
    ask(port).await?;
    // The spare ones ask the plugin as well, and one that stands when the others go is all it takes to go on.
    sandbox.node().sessions_are(|open| open == 3).await;
    fs::write(&failing, "")?;
    sandbox.faults().reset_all();
    let line = forward.stderr("run foo login").await?;
    assert!(line.contains("credential plugin sh failed") && line.contains("status 7"), "{line}");
    fs::remove_file(&failing)?;
    forward.stderr("connected to pod").await?;
    forward.end("INT").await?;
    Ok(())
}

/// One that hangs when it is asked again is named, and its credential is used once it comes.
#[tokio::test]
async fn a_renewal_that_hangs_is_named_while_forwarding() -> Test {
    let sandbox = cluster().await?;
    let files = Files::new(&sandbox, "admin")?;
    let hanging = sandbox.directory().join("hanging");
    let answer = |end: &str| {
        format!("{{\"status\": {{\"token\": \"{}\", \"expirationTimestamp\": \"{end}\"}}}}", files.token())
    };
    let (first, later) = (answer("2020-01-01T00:00:00Z"), answer("2999-01-01T00:00:00Z"));
    let file = hanging.display();
    let script = format!(
        "[ -e {file} ] || {{ echo '{first}'; exit; }}; while [ -e {file} ]; do sleep 0.1; done; echo '{later}'"
    );
    let path = files.write("tried", &files.with_user(&plugin(&script), ""))?;
    let mut forward = Forward::start(program(), &path, &["svc/api", ":80"])?;
    let port = forward.port().await?;
    ask(port).await?;
    // As above: no dial is under way that has its credential already.
    sandbox.node().sessions_are(|open| open == 3).await;
    fs::write(&hanging, "")?;
    sandbox.faults().reset_all();
    forward.stderr("still waiting for the credential plugin sh").await?;
    forward.stderr("credential plugin sh is still running").await?;
    fs::remove_file(&hanging)?;
    forward.stderr("connected to pod").await?;
    ask(port).await?;
    forward.end("INT").await?;
    Ok(())
}

/// What is slow at the start is told by its name.
#[tokio::test]
async fn a_plugin_that_takes_long_is_named() -> Test {
    let sandbox = cluster().await?;
    let files = Files::new(&sandbox, "admin")?;
    let go = sandbox.directory().join("go");
    let script = format!(
        "until [ -e {} ]; do sleep 0.1; done; echo '{{\"status\": {{\"token\": \"{}\"}}}}'",
        go.display(),
        files.token()
    );
    let path = files.write("tried", &files.with_user(&plugin(&script), ""))?;
    let mut forward = Forward::start(program(), &path, &["svc/api", ":80"])?;
    forward.stderr("still waiting for the credential plugin sh").await?;
    fs::write(&go, "")?;
    forward.port().await?;
    forward.end("INT").await?;
    Ok(())
}

/// A kubeconfig may be a pipe, as a shell's `<(command)` is. Where nobody writes to it, that is told and can be ended.
#[tokio::test]
async fn a_pipe_that_nobody_writes_to() -> Test {
    let sandbox = cluster().await?;
    let pipe = sandbox.directory().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
    assert!(made.success());
    let mut waiting = Forward::start(program(), &pipe, &["svc/api", ":80"])?;
    waiting.stderr("still reading the kubeconfig").await?;
    assert_eq!(waiting.end("INT").await?.code, Some(130));

    let mut forward = Forward::start(program(), &pipe, &["svc/api", ":80"])?;
    let text = fs::read(sandbox.kubeconfig("admin"))?;
    tokio::task::spawn_blocking(move || fs::write(pipe, text)).await??;
    ask(forward.port().await?).await?;
    forward.end("INT").await?;
    Ok(())
}
