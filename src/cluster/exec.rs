//! Credential plugins: `users[].user.exec` of the kubeconfig.
//!
//! kube runs a plugin up to three times for one client, on the calling thread; with a plugin that opens a browser that
//! is three logins. Here it runs once at the start and once more when what it said has expired or is refused.

use std::{process::Stdio, time::Duration};

use jiff::Timestamp;
use kube::config::{Cluster, ExecAuthCluster, ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use crate::error::Fatal;

/// How long a plugin that may not ask anything can take. One that asks is waited for: people are slow.
const SILENT_PLUGIN_TIMEOUT: Duration = Duration::from_secs(120);

/// What of a failed plugin's stderr is shown: the end, where the error is.
const STDERR_SHOWN: usize = 2000;

/// A plugin, ready to be run any number of times. It has no `Debug`: its arguments and environment hold secrets.
pub(super) struct Plugin {
    config: ExecConfig,
    command: String,
    info: String,
    interactive: bool,
}

/// What a plugin gave.
pub(super) struct Credential {
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A client certificate and its key, both PEM.
    pub certificate: Option<(String, SecretString)>,
    /// Until when.
    pub expires: Option<Timestamp>,
}

/// `ExecCredential`, as far as it is read.
#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<String>,
}

impl Plugin {
    /// Checks what can be checked without running it.
    pub(super) fn new(config: ExecConfig, cluster: &Cluster, terminal: bool) -> Result<Self, Fatal> {
        let Some(command) = config.command.clone().filter(|command| !command.is_empty()) else {
            return Err(Fatal::new("fwd::auth::plugin", "the kubeconfig's credential plugin has no command")
                .help("set users[].user.exec.command"));
        };
        let interactive = match config.interactive_mode {
            Some(ExecInteractiveMode::Never) => false,
            Some(ExecInteractiveMode::Always) if !terminal => {
                return Err(Fatal::new(
                    "fwd::auth::plugin",
                    format!("credential plugin {command} cannot run"),
                )
                .because(
                    "it has to ask questions (interactiveMode: Always) and standard input is no terminal",
                )
                .help("run this in a terminal once to log in, or use a plugin that needs no answers"));
            }
            _ => terminal,
        };
        let mut spec = json!({ "interactive": interactive });
        if config.provide_cluster_info {
            let info = ExecAuthCluster::try_from(cluster).map(serde_json::to_value);
            spec["cluster"] = match info {
                Ok(Ok(value)) => value,
                Ok(Err(error)) => return Err(unprepared(&command, &error)),
                Err(error) => return Err(unprepared(&command, &error)),
            };
        }
        let version = config.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1beta1");
        let info = json!({ "apiVersion": version, "kind": "ExecCredential", "spec": spec }).to_string();
        Ok(Self { config, command, info, interactive })
    }

    /// Runs it. No thread is blocked meanwhile, and dropping the future ends it.
    pub(super) async fn run(&self) -> Result<Credential, Fatal> {
        let mut command = tokio::process::Command::new(&self.command);
        command.args(self.config.args.iter().flatten());
        for variable in self.config.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        command.env("KUBERNETES_EXEC_INFO", &self.info).kill_on_drop(true).stdout(Stdio::piped());
        // A plugin that talks to a person writes its questions to stderr, so that is the person's then.
        if self.interactive {
            command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        } else {
            command.stdin(Stdio::null()).stderr(Stdio::piped());
        }
        let limit = if self.interactive { Duration::MAX } else { SILENT_PLUGIN_TIMEOUT };
        let output = match tokio::time::timeout(limit, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.failed(Some("the command is not installed, or not in PATH"), b""));
            }
            Ok(Err(error)) => return Err(self.failed(Some(&super::access::reason(&error)), b"")),
            Err(_) => {
                let why = format!("it did not end within {} s", SILENT_PLUGIN_TIMEOUT.as_secs());
                return Err(self.failed(Some(&why), b""));
            }
        };
        if !output.status.success() {
            let why = match output.status.code() {
                Some(code) => format!("it exited with status {code}"),
                None => "it was killed".to_owned(),
            };
            return Err(self.failed(Some(&why), &output.stderr));
        }
        Self::read(&output.stdout).map_err(|why| self.failed(Some(why), &output.stderr))
    }

    /// Reads what it printed. Nothing of it is ever shown, for it is the secret.
    fn read(stdout: &[u8]) -> Result<Credential, &'static str> {
        let answer: Answer =
            serde_json::from_slice(stdout).map_err(|_| "it printed something that is no ExecCredential")?;
        let status = answer.status.ok_or("it printed an ExecCredential without a status")?;
        let certificate = match (status.client_certificate_data, status.client_key_data) {
            (Some(certificate), Some(key)) => Some((certificate, SecretString::from(key))),
            (None, None) => None,
            _ => return Err("it gave a certificate without its key, or a key without a certificate"),
        };
        if status.token.is_none() && certificate.is_none() {
            return Err("it gave neither a token nor a certificate");
        }
        let expires = status.expiration_timestamp.map(|text| text.parse()).transpose();
        let expires = expires.map_err(|_| "it gave an expirationTimestamp that is no time")?;
        Ok(Credential { token: status.token.map(SecretString::from), certificate, expires })
    }

    fn failed(&self, why: Option<&str>, stderr: &[u8]) -> Fatal {
        let mut error = Fatal::new("fwd::auth::plugin", format!("credential plugin {} failed", self.command));
        if let Some(why) = why {
            error = error.because(why);
        }
        let words = String::from_utf8_lossy(stderr);
        let words = words.trim();
        if !words.is_empty() {
            let from = words.len().saturating_sub(STDERR_SHOWN);
            let from = (from..words.len()).find(|at| words.is_char_boundary(*at)).unwrap_or(from);
            error = error.because(&words[from..]);
        }
        match self.config.install_hint.as_deref().map(str::trim).filter(|hint| !hint.is_empty()) {
            Some(hint) => error.help(hint),
            None => error.help("run the command by hand to see what it needs; often that is a new login"),
        }
    }
}

fn unprepared(command: &str, error: &dyn std::error::Error) -> Fatal {
    Fatal::new("fwd::auth::plugin", format!("cannot prepare credential plugin {command}")).because(error)
}

// The plugins of these tests are shell scripts.
#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::error::Error;

    use miette::Diagnostic;
    use secrecy::ExposeSecret;

    use super::*;

    fn shell(script: &str) -> ExecConfig {
        ExecConfig {
            command: Some("sh".into()),
            args: Some(vec!["-c".into(), script.into()]),
            install_hint: Some("brew install sh".into()),
            ..ExecConfig::default()
        }
    }

    async fn run(config: ExecConfig) -> Result<Credential, Fatal> {
        Plugin::new(config, &Cluster::default(), false)?.run().await
    }

    #[tokio::test]
    async fn gives_a_token() {
        let script =
            r#"echo "{\"status\": {\"token\": \"$X\", \"expirationTimestamp\": \"2030-01-01T00:00:00Z\"}}""#;
        let mut config = shell(script);
        config.env = Some(vec![[("name".into(), "X".into()), ("value".into(), "t0".into())].into()]);
        let credential = run(config).await.ok().unwrap();
        assert_eq!(credential.token.unwrap().expose_secret(), "t0");
        assert_eq!(credential.expires, "2030-01-01T00:00:00Z".parse().ok());
        assert!(credential.certificate.is_none());
    }

    #[tokio::test]
    async fn is_told_about_the_cluster() {
        let mut config =
            shell(r#"printf '{"status": {"token": "%s"}}' "$(echo "$KUBERNETES_EXEC_INFO" | tr -d '"')""#);
        config.provide_cluster_info = true;
        config.api_version = Some("client.authentication.k8s.io/v1".into());
        let cluster = Cluster { server: Some("https://s".into()), ..Cluster::default() };
        let plugin = Plugin::new(config, &cluster, false).ok().unwrap();
        let token = plugin.run().await.ok().unwrap().token.unwrap();
        let info = token.expose_secret();
        assert!(info.contains("apiVersion:client.authentication.k8s.io/v1"), "{info}");
        assert!(info.contains("server:https://s") && info.contains("interactive:false"), "{info}");
    }

    #[tokio::test]
    async fn failures_name_the_command_and_its_words() {
        let error = run(shell("echo you are logged out >&2; exit 3")).await.err().unwrap();
        assert_eq!(error.to_string(), "credential plugin sh failed");
        let why = error.source().unwrap();
        assert_eq!(why.to_string(), "it exited with status 3");
        assert_eq!(why.source().unwrap().to_string(), "you are logged out");
        assert_eq!(Diagnostic::help(&error).unwrap().to_string(), "brew install sh");
        // What it printed is the secret, so a bad answer is not quoted.
        let error = run(shell("echo s3cret")).await.err().unwrap();
        assert!(!format!("{error:?}").contains("s3cret") || format!("{error:?}").contains("echo"));
        let missing = ExecConfig { command: Some("/no/such/plugin".into()), ..ExecConfig::default() };
        let error = run(missing).await.err().unwrap();
        assert!(error.source().unwrap().to_string().contains("not installed"));
    }

    #[test]
    fn questions_need_a_terminal() {
        let always = |terminal| {
            let mut config = shell("");
            config.interactive_mode = Some(ExecInteractiveMode::Always);
            Plugin::new(config, &Cluster::default(), terminal).map(|plugin| plugin.interactive)
        };
        assert!(always(false).is_err());
        assert_eq!(always(true), Ok(true));
        let mut never = shell("");
        never.interactive_mode = Some(ExecInteractiveMode::Never);
        assert_eq!(Plugin::new(never, &Cluster::default(), true).map(|plugin| plugin.interactive), Ok(false));
    }
}
