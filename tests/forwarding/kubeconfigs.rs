//! Kubeconfigs as people have them: what kubectl reads is read, and to the same end.

use std::{fs, path::PathBuf};

use sandbox::Sandbox;
use sandbox::forward::{self, Forward};
use serde_json::Value;

use crate::harness::{Failure, Test, cluster, program};

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
