//! Credential plugins: `users[].user.exec` of the kubeconfig.
//!
//! kube runs a plugin up to three times for one client, on the calling thread; with a plugin that opens a browser that
//! is three logins. Here it runs once at the start and once more when what it said has expired or is refused. What it
//! prints is kept up to a limit, and one that does not end is ended, with the processes that it has started.

mod group;

use std::{process::Stdio, time::Duration};

use jiff::Timestamp;
use kube::config::{Cluster, ExecAuthCluster, ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::timeout,
};

use self::group::ProcessGroup;
use crate::{cluster::config::yaml, error::Fatal, system::terminal};

/// How long a plugin that may not ask anything can take.
const SILENT_LIMIT: Duration = Duration::from_secs(120);

/// How long one that asks can take: people are slow, and the codes of a login in a browser last about so long.
const ASKING_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How much a plugin may print. A token, a certificate and its key take some kilobytes.
const STDOUT_LIMIT: usize = 1 << 20;

/// What of a failed plugin's stderr is kept and shown: the end, where the error is.
const STDERR_KEPT: usize = 2000;

/// How long the pipes of a plugin that has ended are read on. A process that it left behind may hold them open for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A plugin, ready to be run any number of times. It has no `Debug`: its arguments and environment hold secrets.
pub(in crate::cluster) struct ExecPlugin {
    config: ExecConfig,
    command: String,
    info: Value,
    /// What it finds on its stdin, unless somebody else has the terminal. Without one it is a group of processes of its own.
    /// Beside a terminal it is not: outside of the terminal's group it would be stopped where it asks for a PIN there, and
    /// Ctrl-C ends what it has started as well.
    stdin: PluginStdin,
}

/// What a plugin gave, or whatever else gives credentials that end.
pub(in crate::cluster) struct Credential {
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A client certificate and its key, both PEM.
    pub certificate: Option<(String, SecretString)>,
    /// Until when.
    pub expires: Option<Timestamp>,
}

/// What a plugin finds on its stdin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) enum PluginStdin {
    /// A terminal, where somebody can answer.
    Terminal,
    /// Anything else.
    Other,
}

/// What a plugin printed.
#[derive(Default)]
struct PluginOutput {
    stdout: Vec<u8>,
    /// The end of it.
    stderr: Vec<u8>,
}

impl ExecPlugin {
    /// Checks what can be checked without running it.
    pub(in crate::cluster) fn new(
        config: ExecConfig,
        cluster: &Cluster,
        stdin: PluginStdin,
    ) -> Result<Self, Fatal> {
        let Some(command) = config.command.clone().filter(|command| !command.is_empty()) else {
            return Err(Fatal::new("fwd::auth::plugin", "the kubeconfig's credential plugin has no command")
                .help("set users[].user.exec.command"));
        };
        if !may_run(&config, stdin) {
            return Err(unanswered(&command, "standard input is no terminal")
                .help("run this in a terminal once to log in, or use a plugin that needs no answers"));
        }
        let mut spec = json!({});
        if config.provide_cluster_info {
            let info = ExecAuthCluster::try_from(cluster).map(serde_json::to_value);
            spec["cluster"] = match info {
                Ok(Ok(value)) => value,
                Ok(Err(error)) => return Err(unprepared(&command, &error)),
                Err(error) => return Err(unprepared(&command, &error)),
            };
        }
        let version = config.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1beta1");
        let info = json!({ "apiVersion": version, "kind": "ExecCredential", "spec": spec });
        Ok(Self { config, command, info, stdin })
    }

    /// Its command, for people. Its arguments are not shown, for they may hold secrets.
    pub(in crate::cluster) fn name(&self) -> &str {
        &self.command
    }

    /// Whether it may ask for something at the terminal.
    pub(in crate::cluster) fn is_interactive(&self) -> bool {
        self.asks(self.stdin_now())
    }

    /// What it finds on its stdin now.
    fn stdin_now(&self) -> PluginStdin {
        if terminal::is_lent() { PluginStdin::Other } else { self.stdin }
    }

    /// Runs it. No thread is blocked meanwhile, and dropping the future ends it.
    pub(in crate::cluster) async fn run(&self) -> Result<Credential, Fatal> {
        let stdin = self.stdin_now();
        if !may_run(&self.config, stdin) {
            return Err(unanswered(&self.command, "the command behind '--' has the terminal")
                .help("log in before that command starts, or use a plugin that needs no answers"));
        }
        let limit = if self.asks(stdin) { ASKING_LIMIT } else { SILENT_LIMIT };
        self.run_within(limit, stdin).await
    }

    /// Whether it may ask a person.
    fn asks(&self, stdin: PluginStdin) -> bool {
        stdin == PluginStdin::Terminal && self.config.interactive_mode != Some(ExecInteractiveMode::Never)
    }

    async fn run_within(&self, limit: Duration, stdin: PluginStdin) -> Result<Credential, Fatal> {
        let mut child = self.command(stdin).spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.failed("the command is not installed, or not in PATH", b""),
            _ => self.failed(&crate::cluster::error::reason::reason(&error), b""),
        })?;
        let group = (stdin == PluginStdin::Other).then(|| ProcessGroup::of(&child));
        let mut printed = PluginOutput::default();
        let ended = timeout(limit, printed.follow(&mut child)).await;
        let status = match ended {
            Ok(Ok(status)) => status,
            Ok(Err(why)) => return Err(self.failed(&why, &printed.stderr)),
            Err(_) => {
                let why = format!("it did not end within {} s", limit.as_secs_f32());
                return Err(self.failed(&why, &printed.stderr));
            }
        };
        if let Some(group) = group {
            group.disarm();
        }
        if !status.success() {
            let why = match status.code() {
                Some(code) => format!("it exited with status {code}"),
                None => "it was killed".to_owned(),
            };
            return Err(self.failed(&why, &printed.stderr));
        }
        Self::read(&printed.stdout).map_err(|why| self.failed(why, &printed.stderr))
    }

    fn command(&self, stdin: PluginStdin) -> Command {
        let mut command = Command::new(&self.command);
        command.args(self.config.args.iter().flatten());
        for variable in self.config.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        let mut info = self.info.clone();
        info["spec"]["interactive"] = self.asks(stdin).into();
        command.env("KUBERNETES_EXEC_INFO", info.to_string()).kill_on_drop(true).stdout(Stdio::piped());
        if self.asks(stdin) {
            // A plugin that talks to a person writes its questions to stderr, so that is the person's then.
            command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        } else {
            command.stdin(Stdio::null()).stderr(Stdio::piped());
        }
        if stdin == PluginStdin::Other {
            group::separate(&mut command);
        }
        command
    }

    /// Reads what it printed, as client-go does: JSON or YAML. Nothing of it is ever shown, for it is the secret.
    fn read(stdout: &[u8]) -> Result<Credential, &'static str> {
        const OTHER: &str = "what it printed is not an ExecCredential";
        let answer = yaml::read(stdout).map_err(|_| OTHER)?.ok_or("it printed nothing")?;
        if answer.map().is_err() {
            return Err(OTHER);
        }
        let status = answer.get("status").ok_or("it printed an ExecCredential without a status")?;
        let text = |name| status.get(name).map_or(Ok(None), |node| node.text()).map_err(|_| OTHER);
        let token = text("token")?;
        let certificate = match (text("clientCertificateData")?, text("clientKeyData")?) {
            (Some(certificate), Some(key)) => Some((certificate, SecretString::from(key))),
            (None, None) => None,
            _ => return Err("it gave a certificate without its key, or a key without a certificate"),
        };
        if token.is_none() && certificate.is_none() {
            return Err("it gave neither a token nor a certificate");
        }
        let expires = text("expirationTimestamp")?.map(|text| text.parse()).transpose();
        let expires = expires.map_err(|_| "its expirationTimestamp is not a time")?;
        Ok(Credential { token: token.map(SecretString::from), certificate, expires })
    }

    /// The error of one that has been running for longer than a request can wait; it goes on meanwhile.
    pub(in crate::cluster::auth) fn slow(&self, waited: Duration) -> Fatal {
        Fatal::new("fwd::auth::plugin", format!("credential plugin {} is still running", self.command))
            .because(format!("it gave no credential within {} s", waited.as_secs_f32()))
            .help("it may wait for a login: run the command by hand to see what it needs")
    }

    fn failed(&self, why: &str, stderr: &[u8]) -> Fatal {
        let mut error = Fatal::new("fwd::auth::plugin", format!("credential plugin {} failed", self.command))
            .because(why);
        let words = String::from_utf8_lossy(stderr);
        // Where it was cut, half a character may be left.
        let words = words.trim_start_matches(char::REPLACEMENT_CHARACTER).trim();
        if !words.is_empty() {
            error = error.because(words);
        }
        match self.config.install_hint.as_deref().map(str::trim).filter(|hint| !hint.is_empty()) {
            Some(hint) => error.help(hint),
            None => error.help("run the command by hand to see what it needs; often that is a new login"),
        }
    }
}

/// Whether it can do what it has to with such a stdin.
fn may_run(config: &ExecConfig, stdin: PluginStdin) -> bool {
    config.interactive_mode != Some(ExecInteractiveMode::Always) || stdin == PluginStdin::Terminal
}

fn unanswered(command: &str, why: &str) -> Fatal {
    Fatal::new("fwd::auth::plugin", format!("credential plugin {command} cannot run"))
        .because(format!("it has to ask questions (interactiveMode: Always) and {why}"))
}

impl PluginOutput {
    /// Reads until the plugin has ended. Errors are words for a person.
    async fn follow(&mut self, child: &mut Child) -> Result<std::process::ExitStatus, String> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reading =
            async { tokio::try_join!(all(stdout, &mut self.stdout), end(stderr, &mut self.stderr)) };
        let mut reading = std::pin::pin!(reading);
        let ended = tokio::select! {
            read = &mut reading => {
                read?;
                child.wait().await
            }
            ended = child.wait() => {
                if let Ok(read) = timeout(LAST_WORDS, &mut reading).await {
                    read?;
                }
                ended
            }
        };
        ended.map_err(|error| crate::cluster::error::reason::reason(&error))
    }
}

/// All that comes, up to the limit.
async fn all(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> Result<(), String> {
    let Some(from) = from else { return Ok(()) };
    // What is cut off by an error of the pipe is no credential, which is told then.
    let _ = from.take(STDOUT_LIMIT as u64 + 1).read_to_end(into).await;
    if into.len() > STDOUT_LIMIT {
        return Err(format!("it printed more than {} MiB", STDOUT_LIMIT >> 20));
    }
    Ok(())
}

/// The end of all that comes.
async fn end(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> Result<(), String> {
    let Some(mut from) = from else { return Ok(()) };
    while from.read_buf(into).await.is_ok_and(|read| read > 0) {
        let excess = into.len().saturating_sub(STDERR_KEPT);
        into.drain(..excess);
    }
    Ok(())
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
        ExecPlugin::new(config, &Cluster::default(), PluginStdin::Other)?.run().await
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
        let plugin = ExecPlugin::new(config, &cluster, PluginStdin::Other).ok().unwrap();
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
        // What it printed is the secret, so a bad answer is not quoted. Its arguments hold the word in two pieces.
        let error = run(shell("printf s3; echo cret")).await.err().unwrap();
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        let missing = ExecConfig { command: Some("/no/such/plugin".into()), ..ExecConfig::default() };
        let error = run(missing).await.err().unwrap();
        assert!(error.source().unwrap().to_string().contains("not installed"));
    }

    #[tokio::test]
    async fn answers_are_read_as_client_go_reads_them() {
        for answer in [
            "\u{feff}{\"status\": {\"token\": \"t0\"}}",
            "apiVersion: v\nstatus:\n  token: t0\n",
            r#"{"status": {"token": "x", "token": "t0"}}"#,
            r#"{"status": {"token": "t0", "clientCertificateData": "", "clientKeyData": "", "expirationTimestamp": null}}"#,
            "{\n\t\"status\":\t{\n\t\t\"token\": \"t0\"\n\t}\n}\n",
            r#"{"status": {"token": "t0", "other": [1, {}]}, "spec": null} "#,
        ] {
            let credential =
                ExecPlugin::read(answer.as_bytes()).unwrap_or_else(|why| panic!("{answer}: {why}"));
            assert_eq!(credential.token.unwrap().expose_secret(), "t0", "{answer}");
            assert!(credential.certificate.is_none());
        }
        for (answer, why) in [
            ("", "nothing"),
            ("t0", "not an ExecCredential"),
            ("{}", "without a status"),
            (r#"{"status": {"token": ""}}"#, "neither"),
            (r#"{"status": {"token": [1]}}"#, "not an ExecCredential"),
            (r#"{"status": {"clientKeyData": "k"}}"#, "without its key"),
        ] {
            assert!(ExecPlugin::read(answer.as_bytes()).err().unwrap().contains(why), "{answer}");
        }
    }

    #[tokio::test]
    async fn what_it_prints_is_bounded() {
        let error = run(shell("yes 0123456789")).await.err().unwrap();
        assert_eq!(error.causes().next(), Some("it printed more than 1 MiB"));
        // Its own words are read to the end, and the end of them is told.
        let error =
            run(shell("yes words | head -c 10000000 >&2; echo last >&2; exit 1")).await.err().unwrap();
        let words = error.causes().nth(1).unwrap();
        assert!(words.len() <= STDERR_KEPT && words.ends_with("last"), "{words}");
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_given_up() {
        let plugin =
            ExecPlugin::new(shell("echo asleep >&2; sleep 1000"), &Cluster::default(), PluginStdin::Other)
                .ok()
                .unwrap();
        let error = plugin.run_within(Duration::from_millis(300), PluginStdin::Other).await.err().unwrap();
        assert_eq!(error.causes().next(), Some("it did not end within 0.3 s"));
    }

    #[tokio::test]
    async fn what_it_has_started_ends_with_it() {
        let pipe = std::env::temp_dir().join(format!("kubectl-fwd-group-{}", std::process::id()));
        let _ = std::fs::remove_file(&pipe);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // A child of the plugin holds the pipe open for as long as it lives.
        let script = format!("(exec 3>{0}; echo here >&3; sleep 1000) & sleep 1000", pipe.display());
        let running = tokio::spawn(run(shell(&script)));
        let mut reader = tokio::fs::File::open(&pipe).await.unwrap();
        let mut here = [0; 5];
        reader.read_exact(&mut here).await.unwrap();
        running.abort();
        let _ = running.await;
        assert_eq!(reader.read(&mut here).await.unwrap(), 0);
        std::fs::remove_file(pipe).unwrap();
    }

    #[tokio::test]
    async fn one_that_leaves_a_process_behind_is_not_waited_for() {
        let script = r#"sleep 1000 & echo $! >&2; echo '{"status": {"token": "t0"}}'"#;
        let plugin = ExecPlugin::new(shell(script), &Cluster::default(), PluginStdin::Other).ok().unwrap();
        assert!(plugin.run_within(Duration::from_secs(60), PluginStdin::Other).await.is_ok());
    }

    /// A command beside forwards has the terminal: nothing is asked there, and nothing is written.
    #[tokio::test]
    async fn a_terminal_that_somebody_else_has() {
        let script = r#"printf '{"status": {"token": "%s"}}' "$(echo "$KUBERNETES_EXEC_INFO" | tr -d '"')""#;
        let plugin = ExecPlugin::new(shell(script), &Cluster::default(), PluginStdin::Terminal).ok().unwrap();
        assert!(plugin.asks(PluginStdin::Terminal));
        let loan = terminal::lend();
        let token = plugin.run().await.ok().unwrap().token.unwrap();
        assert!(token.expose_secret().contains("interactive:false"), "{}", token.expose_secret());
        let mut always = shell(script);
        always.interactive_mode = Some(ExecInteractiveMode::Always);
        let plugin = ExecPlugin::new(always, &Cluster::default(), PluginStdin::Terminal).ok().unwrap();
        let error = plugin.run().await.err().unwrap();
        assert!(error.source().unwrap().to_string().ends_with("the command behind '--' has the terminal"));
        drop(loan);
        assert!(!terminal::is_lent());
    }

    #[test]
    fn questions_need_a_terminal() {
        let always = |stdin| {
            let mut config = shell("");
            config.interactive_mode = Some(ExecInteractiveMode::Always);
            ExecPlugin::new(config, &Cluster::default(), stdin).map(|plugin| plugin.asks(stdin))
        };
        assert!(always(PluginStdin::Other).is_err());
        assert_eq!(always(PluginStdin::Terminal), Ok(true));
        let mut never = shell("");
        never.interactive_mode = Some(ExecInteractiveMode::Never);
        assert_eq!(
            ExecPlugin::new(never, &Cluster::default(), PluginStdin::Terminal)
                .map(|plugin| plugin.asks(PluginStdin::Terminal)),
            Ok(false)
        );
    }
}
