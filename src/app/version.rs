//! `version`: of this program, and of the server.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::stdout::print;
use crate::{
    cli::{resolve::CommonOptions, subcommands::VersionArgs},
    cluster::{client::ClusterConfig, config::flags::ClusterEnvironment, wait_notifier::WaitNotifier},
    error::Fatal,
    ui::{escape, yaml},
};

/// How long the server may take to tell its version: what one on the other side of the world needs. Longer nobody waits for
/// a line that may be missing.
const SERVER_LIMIT: Duration = Duration::from_secs(3);

/// Both versions, with kubectl's names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client_version: ClientVersion,
    /// What the server says of itself, as it says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientVersion {
    major: &'static str,
    minor: &'static str,
    git_version: &'static str,
    platform: String,
}

/// What `version` prints.
#[derive(Clone, Copy)]
enum VersionFormat {
    Text,
    Json,
    Yaml,
}

/// Prints the versions. A server that cannot be reached is no error, for its version was not what was asked for first.
pub(super) async fn version(version: &VersionArgs, common: CommonOptions) -> Result<u8, Fatal> {
    let format = format(version.output.as_deref())?;
    let server = if version.client { None } else { server(common).await };
    match format {
        VersionFormat::Text => {
            let git_version = server.as_ref().and_then(|info| info["gitVersion"].as_str());
            let line = git_version.map(|version| format!("Server Version: {}\n", escape::line(version)));
            print(&(self::line() + &line.unwrap_or_default()))
        }
        VersionFormat::Json | VersionFormat::Yaml => {
            let versions = Versions { client_version: ClientVersion::this(), server_version: server };
            let versions = serde_json::to_value(versions).unwrap_or_default();
            let text = match format {
                VersionFormat::Yaml => yaml::yaml(&versions),
                _ => format!("{versions:#}\n"),
            };
            print(&escape::json(&text))
        }
    }
}

/// The one line of this program's version.
pub(super) fn line() -> String {
    format!("kubectl-fwd {} ({})\n", env!("CARGO_PKG_VERSION"), platform())
}

fn platform() -> String {
    format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH)
}

impl ClientVersion {
    fn this() -> Self {
        Self {
            major: env!("CARGO_PKG_VERSION_MAJOR"),
            minor: env!("CARGO_PKG_VERSION_MINOR"),
            git_version: concat!("v", env!("CARGO_PKG_VERSION")),
            platform: platform(),
        }
    }
}

fn format(text: Option<&str>) -> Result<VersionFormat, Fatal> {
    match text {
        None | Some("") => Ok(VersionFormat::Text),
        Some("json") => Ok(VersionFormat::Json),
        Some("yaml") => Ok(VersionFormat::Yaml),
        Some(other) => {
            Err(Fatal::new("fwd::usage::bad_output", format!("invalid value '{other}' for --output"))
                .help("use json or yaml, or leave it out for plain text"))
        }
    }
}

/// What the server says, if it does within the limit and without a question to the person.
async fn server(common: CommonOptions) -> Option<Value> {
    let environment = ClusterEnvironment { stdin_is_terminal: false, ..common.environment };
    let silent = WaitNotifier::silent();
    let ask = async {
        let config = ClusterConfig::find(common.flags, environment, &silent).await.ok()?;
        let cluster = config.without_refresh().connect(&silent).await.ok()?;
        let request = http::Request::get("/version").body(Vec::new()).ok()?;
        cluster.api.request::<Value>(request).await.ok().filter(Value::is_object)
    };
    timeout(SERVER_LIMIT, ask).await.ok().flatten()
}
