//! From an entry of the kubeconfig to what it says: the one place where its fields are read, and brought to one form.
//!
//! `''` is not set; paths are absolute; base64 has no line breaks. Only entries that are used come here, so whatever
//! is wrong with one is told as an error of that entry and that field.

use std::{
    collections::HashMap,
    path::{self, Component, Path, PathBuf},
};

use base64::Engine as _;
use kube::config::{
    AuthInfo, AuthProviderConfig, Cluster, Context, ExecConfig, ExecInteractiveMode, NamedExtension,
};
use secrecy::SecretString;

use super::{
    kubeconfig::KubeconfigEntry,
    yaml::{YamlNode, YamlTypeError},
};
use crate::error::Fatal;

/// The extension of a cluster that is handed to credential plugins.
const EXEC_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// How many values that extension may have. An environment variable of 128 KiB, which Linux allows, holds fewer.
const EXTENSION_LIMIT: usize = 65_536;

/// A context's fields.
pub(in crate::cluster) fn context(entry: &KubeconfigEntry) -> Result<Context, Fatal> {
    let fields = EntryFields { entry, kind: "context" };
    let body = fields.body()?;
    Ok(Context {
        cluster: fields.text(body, "cluster")?.unwrap_or_default(),
        user: fields.text(body, "user")?,
        namespace: fields.text(body, "namespace")?,
        ..Context::default()
    })
}

/// A cluster's fields.
pub(in crate::cluster) fn cluster(entry: &KubeconfigEntry) -> Result<Cluster, Fatal> {
    let fields = EntryFields { entry, kind: "cluster" };
    let body = fields.body()?;
    let yes = |name| fields.boolean(body, name).map(|yes| yes.then_some(true));
    Ok(Cluster {
        server: fields.text(body, "server")?,
        insecure_skip_tls_verify: yes("insecure-skip-tls-verify")?,
        certificate_authority: fields.path(body, "certificate-authority")?,
        certificate_authority_data: fields.base64(body, "certificate-authority-data")?,
        proxy_url: fields.text(body, "proxy-url")?,
        disable_compression: yes("disable-compression")?,
        tls_server_name: fields.text(body, "tls-server-name")?,
        extensions: extension(&fields, body)?.map(|extension| vec![extension]),
        ..Cluster::default()
    })
}

/// What the cluster has for credential plugins.
fn extension(fields: &EntryFields<'_>, body: &YamlNode) -> Result<Option<NamedExtension>, Fatal> {
    for item in fields.list(body, "extensions")? {
        let name = item.get("name").map(|name| name.text());
        if matches!(name, Some(Ok(Some(name))) if name == EXEC_EXTENSION)
            && let Some(extension) = item.get("extension")
        {
            let mut limit = EXTENSION_LIMIT;
            let unfit = YamlTypeError { line: extension.line, why: "is too large" };
            let extension =
                extension.json(&mut limit).ok_or_else(|| fields.unusable("extensions", &unfit))?;
            return Ok(Some(NamedExtension { name: EXEC_EXTENSION.to_owned(), extension }));
        }
    }
    Ok(None)
}

/// A user's fields.
pub(in crate::cluster) fn user(entry: &KubeconfigEntry) -> Result<AuthInfo, Fatal> {
    let fields = EntryFields { entry, kind: "user" };
    let body = fields.body()?;
    let secret = |name| fields.text(body, name).map(|text| text.map(SecretString::from));
    let groups = fields.texts(body, "as-groups")?;
    let mut extra = HashMap::new();
    if let Some(node) = body.get("as-user-extra") {
        for (key, values) in node.map().map_err(|unfit| fields.unusable("as-user-extra", &unfit))? {
            extra.insert(key.to_owned(), fields.items("as-user-extra", values)?);
        }
    }
    Ok(AuthInfo {
        username: fields.text(body, "username")?,
        password: secret("password")?,
        token: secret("token")?,
        token_file: fields.path(body, "tokenFile")?,
        client_certificate: fields.path(body, "client-certificate")?,
        client_certificate_data: fields.base64(body, "client-certificate-data")?,
        client_key: fields.path(body, "client-key")?,
        client_key_data: fields.base64(body, "client-key-data")?.map(SecretString::from),
        impersonate: fields.text(body, "as")?,
        impersonate_uid: fields.text(body, "as-uid")?,
        impersonate_groups: Some(groups).filter(|groups| !groups.is_empty()),
        impersonate_user_extra: Some(extra).filter(|extra| !extra.is_empty()),
        auth_provider: body.get("auth-provider").map(|node| provider(&fields, node)).transpose()?,
        exec: body.get("exec").map(|node| exec(&fields, node)).transpose()?,
        ..AuthInfo::default()
    })
}

fn provider(fields: &EntryFields<'_>, node: &YamlNode) -> Result<AuthProviderConfig, Fatal> {
    let mut config = HashMap::new();
    if let Some(node) = node.get("config") {
        for (key, value) in node.map().map_err(|unfit| fields.unusable("auth-provider.config", &unfit))? {
            let value = value.text().map_err(|unfit| fields.unusable("auth-provider.config", &unfit))?;
            config.extend(value.map(|value| (key.to_owned(), value)));
        }
    }
    let name = fields.text(node, "name")?.unwrap_or_default();
    Ok(AuthProviderConfig { name, config, ..AuthProviderConfig::default() })
}

fn exec(fields: &EntryFields<'_>, node: &YamlNode) -> Result<ExecConfig, Fatal> {
    let command = fields.text(node, "command")?;
    let mut env = Vec::new();
    for item in fields.list(node, "env")? {
        let (name, value) = (fields.word(item, "name")?, fields.word(item, "value")?);
        env.push(HashMap::from([
            ("name".to_owned(), name.unwrap_or_default()),
            ("value".to_owned(), value.unwrap_or_default()),
        ]));
    }
    let interactive_mode = match fields.text(node, "interactiveMode")?.as_deref() {
        None => None,
        Some("Never") => Some(ExecInteractiveMode::Never),
        Some("IfAvailable") => Some(ExecInteractiveMode::IfAvailable),
        Some("Always") => Some(ExecInteractiveMode::Always),
        Some(_) => {
            let line = node.get("interactiveMode").map_or(node.line, |node| node.line);
            let unfit = YamlTypeError { line, why: "is not Never, IfAvailable or Always" };
            return Err(fields.unusable("interactiveMode", &unfit));
        }
    };
    Ok(ExecConfig {
        api_version: fields.text(node, "apiVersion")?,
        // A command without a slash is looked for in PATH.
        command: command.map(|command| {
            if command.contains(path::is_separator) {
                absolute(&fields.entry.file, &command)
            } else {
                command
            }
        }),
        args: Some(fields.words(node, "args")?),
        env: Some(env),
        install_hint: fields.text(node, "installHint")?,
        interactive_mode,
        provide_cluster_info: fields.boolean(node, "provideClusterInfo")?,
        ..ExecConfig::default()
    })
}

/// Reads the fields of one entry, and says which one cannot be read.
struct EntryFields<'a> {
    entry: &'a KubeconfigEntry,
    kind: &'static str,
}

impl<'a> EntryFields<'a> {
    fn body(&self) -> Result<&'a YamlNode, Fatal> {
        match self.entry.body.map() {
            Ok(_) => Ok(&self.entry.body),
            Err(unfit) => Err(self.unusable(self.kind, &unfit)),
        }
    }

    /// The error names the field and never its value.
    fn unusable(&self, field: &str, unfit: &YamlTypeError) -> Fatal {
        let Self { entry, kind } = self;
        Fatal::new("fwd::kubeconfig::broken", format!("cannot use the {kind} '{}'", entry.name))
            .because(format!("{field} in {} {unfit}", entry.file.display()))
            .help("run `kubectl config view` to check the file")
    }

    fn text(&self, node: &YamlNode, name: &str) -> Result<Option<String>, Fatal> {
        let text = node.get(name).map(|node| node.text()).transpose();
        Ok(text.map_err(|unfit| self.unusable(name, &unfit))?.flatten())
    }

    fn boolean(&self, node: &YamlNode, name: &str) -> Result<bool, Fatal> {
        node.get(name).map_or(Ok(false), |node| node.boolean()).map_err(|unfit| self.unusable(name, &unfit))
    }

    fn list<'n>(&self, node: &'n YamlNode, name: &str) -> Result<&'n [std::sync::Arc<YamlNode>], Fatal> {
        node.get(name)
            .map_or(Ok([].as_slice()), |node| node.list())
            .map_err(|unfit| self.unusable(name, &unfit))
    }

    fn texts(&self, node: &YamlNode, name: &str) -> Result<Vec<String>, Fatal> {
        node.get(name).map_or_else(|| Ok(Vec::new()), |node| self.items(name, node))
    }

    /// The texts of a list. A null in it is an empty text, as in Go.
    fn items(&self, name: &str, node: &YamlNode) -> Result<Vec<String>, Fatal> {
        let texts = node.list().and_then(|items| {
            items.iter().map(|item| item.text().map(Option::unwrap_or_default)).collect::<Result<_, _>>()
        });
        texts.map_err(|unfit| self.unusable(name, &unfit))
    }

    /// A text that client-go takes for one as well: a command is not run with words of another reading.
    fn word(&self, node: &YamlNode, name: &str) -> Result<Option<String>, Fatal> {
        let word = node.get(name).map(|node| node.word()).transpose();
        Ok(word.map_err(|unfit| self.unusable(name, &unfit))?.flatten())
    }

    fn words(&self, node: &YamlNode, name: &str) -> Result<Vec<String>, Fatal> {
        let Some(node) = node.get(name) else { return Ok(Vec::new()) };
        let words = node.list().and_then(|items| {
            items.iter().map(|item| item.word().map(Option::unwrap_or_default)).collect::<Result<_, _>>()
        });
        words.map_err(|unfit| self.unusable(name, &unfit))
    }

    /// A path, relative to the file that it stands in.
    fn path(&self, node: &YamlNode, name: &str) -> Result<Option<String>, Fatal> {
        Ok(self.text(node, name)?.map(|text| absolute(&self.entry.file, &text)))
    }

    /// Base64 in one line, known to be base64.
    fn base64(&self, node: &YamlNode, name: &str) -> Result<Option<String>, Fatal> {
        let Some(node) = node.get(name) else { return Ok(None) };
        let bytes = node.bytes().map_err(|unfit| self.unusable(name, &unfit))?;
        Ok(Some(base64::engine::general_purpose::STANDARD.encode(bytes)).filter(|text| !text.is_empty()))
    }
}

/// `text` as seen from the directory of `file`, `.` and `..` taken out as Go takes them out: without a look at the disk.
fn absolute(file: &Path, text: &str) -> String {
    if Path::new(text).is_absolute() {
        return text.to_owned();
    }
    let file = path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut clean = PathBuf::new();
    for part in file.parent().unwrap_or(Path::new("")).join(text).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::cluster::config::kubeconfig::Kubeconfig;

    fn read(text: &str) -> Kubeconfig {
        Kubeconfig::parse(text.as_bytes(), Path::new("/home/jane/.kube/config")).ok().unwrap()
    }

    fn only_user(body: &str) -> Result<AuthInfo, Fatal> {
        user(&read(&format!("users:\n- name: x\n  user:\n    {body}\n")).users[0])
    }

    fn only_cluster(body: &str) -> Result<Cluster, Fatal> {
        cluster(&read(&format!("clusters:\n- name: x\n  cluster:\n    {body}\n")).clusters[0])
    }

    /// kube's types know no equality.
    fn same(one: &impl serde::Serialize, other: &impl serde::Serialize) -> bool {
        serde_json::to_value(one).unwrap() == serde_json::to_value(other).unwrap()
    }

    #[test]
    fn what_is_empty_is_not_set() {
        for field in [
            "username",
            "password",
            "token",
            "tokenFile",
            "client-certificate",
            "client-certificate-data",
            "client-key",
            "client-key-data",
            "as",
            "as-uid",
        ] {
            for nothing in ["''", "null", "~", ""] {
                let user = only_user(&format!("{field}: {nothing}")).unwrap();
                assert!(same(&user, &AuthInfo::default()), "{field}: {nothing}");
            }
        }
        let user = only_user("{as-groups: [], as-user-extra: {}, exec: null, auth-provider: null}").unwrap();
        assert!(user.impersonate_groups.is_none() && user.impersonate_user_extra.is_none());
        assert!(user.exec.is_none() && user.auth_provider.is_none());
        for field in
            ["server", "certificate-authority", "certificate-authority-data", "proxy-url", "tls-server-name"]
        {
            let cluster = only_cluster(&format!("{field}: ''")).unwrap();
            assert!(same(&cluster, &Cluster::default()), "{field}");
        }
        let cluster = only_cluster("{insecure-skip-tls-verify: false, disable-compression: null}").unwrap();
        assert!(same(&cluster, &Cluster::default()));
    }

    #[test]
    fn entries_that_are_not_used_may_look_like_anything() {
        let config = read(
            "contexts: [null, {name: a}, {name: b, context: null}, {context: {cluster: c}}, text, {name: [x]}, \
             {name: c, context: {cluster: [1]}}, {name: d, context: {user: u}}]\n\
             users:\n- name: gke\n  user:\n    auth-provider: {name: gcp, config: null}\n- name: e\n  user: {exec: \
             {provideClusterInfo: null, args: null}}\n- {name: f, user: [1, 2]}\nclusters: null\n",
        );
        let names: Vec<&str> = config.contexts.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert!(same(&context(&config.contexts[0]).unwrap(), &Context::default()));
        assert_eq!(context(&config.contexts[3]).unwrap().user.as_deref(), Some("u"));
        assert!(user(&config.users[0]).unwrap().auth_provider.unwrap().config.is_empty());
        assert!(!user(&config.users[1]).unwrap().exec.unwrap().provide_cluster_info);
        // Used, it is an error that says what is wrong and where.
        let error = context(&config.contexts[2]).err().unwrap();
        assert_eq!(error.to_string(), "cannot use the context 'c'");
        let why = error.causes().next().unwrap();
        assert_eq!(why, "cluster in /home/jane/.kube/config is a list where a text belongs (line 1)");
        assert!(user(&config.users[2]).is_err());
    }

    #[test]
    fn base64_in_every_shape() {
        for body in [
            "client-key-data: |\n      aGVs\n      bG8=\n",
            "client-key-data: >\n      aGVs\n      bG8=\n",
            "client-key-data: \"aGVs\\r\\nbG8=\\n\"",
            "client-key-data: !!binary |\n      YUdW\n      c2JHOD0=\n",
            "client-key-data: [104, 101, 108, 108, 111]",
        ] {
            let user = only_user(body).unwrap();
            assert_eq!(user.client_key_data.unwrap().expose_secret(), "aGVsbG8=", "{body}");
        }
        let error = only_user("client-key-data: s3cret%").err().unwrap();
        assert!(error.causes().all(|why| why.contains("client-key-data") && !why.contains("s3cret")));
        assert!(only_user("client-key-data: [256]").is_err());
    }

    #[test]
    fn scalars_are_taken_as_they_are_written() {
        let user = only_user("{token: 0123, username: true, as: 1e3}").unwrap();
        assert_eq!(user.token.unwrap().expose_secret(), "0123");
        assert_eq!((user.username.as_deref(), user.impersonate.as_deref()), (Some("true"), Some("1e3")));
        assert_eq!(
            only_cluster("insecure-skip-tls-verify: yes").unwrap().insecure_skip_tls_verify,
            Some(true)
        );
        // A word that is no boolean does not turn verification off, nor on.
        assert!(only_cluster("insecure-skip-tls-verify: 'true'").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn paths_are_seen_from_the_file() {
        let user = only_user("{tokenFile: t/x, client-key: /k, exec: {command: ./no/../p}}").unwrap();
        assert_eq!(user.token_file.as_deref(), Some("/home/jane/.kube/t/x"));
        assert_eq!(user.client_key.as_deref(), Some("/k"));
        assert_eq!(user.exec.unwrap().command.as_deref(), Some("/home/jane/.kube/p"));
        let exec =
            only_user("exec: {command: aws, args: [a, null, '1'], env: [{name: A, value: '2'}, {name: B}]}");
        let exec = exec.unwrap().exec.unwrap();
        assert_eq!(exec.command.as_deref(), Some("aws"));
        assert_eq!(exec.args.unwrap(), ["a", "", "1"]);
        assert_eq!(exec.env.unwrap()[1]["value"], "");
        for exec in
            ["{args: [1]}", "{args: [true]}", "{args: [0x1f]}", "{env: [{name: A, value: 1.5}]}", "{args: x}"]
        {
            assert!(only_user(&format!("exec: {exec}")).is_err(), "{exec}");
        }
    }

    #[test]
    fn the_extension_for_plugins() {
        let body = "extensions: [null, {name: other, extension: {a: b}}, {name: client.authentication.k8s.io/exec, \
                    extension: {audience: x, n: 1, on: true}}]";
        let extensions = only_cluster(body).unwrap().extensions.unwrap();
        assert_eq!(extensions.len(), 1);
        assert_eq!(extensions[0].extension, serde_json::json!({"audience": "x", "n": 1, "on": true}));
    }
}
