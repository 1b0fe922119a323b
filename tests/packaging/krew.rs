//! krew's rules for a manifest: those that krew itself enforces when it installs (`internal/index/validation`), those
//! that the checks of krew-index add (`cmd/validate-krew-manifest`), and what its reviewers ask for. As of krew 0.5.

use std::collections::BTreeMap;

use serde::Deserialize;

pub(crate) const API_VERSION: &str = "krew.googlecontainertools.github.com/v1alpha2";

/// The platforms that krew-index knows.
const KNOWN: [(&str, &str); 11] = [
    ("windows", "386"),
    ("windows", "amd64"),
    ("windows", "arm64"),
    ("linux", "386"),
    ("linux", "amd64"),
    ("linux", "arm"),
    ("linux", "arm64"),
    ("linux", "ppc64le"),
    ("darwin", "386"),
    ("darwin", "amd64"),
    ("darwin", "arm64"),
];

/// What reviewers allow for the one line that `kubectl krew search` shows.
const SHORT: usize = 50;
/// Where they want descriptions wrapped.
const WIDTH: usize = 80;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Plugin {
    api_version: String,
    kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) homepage: String,
    #[serde(default)]
    pub(crate) short_description: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) caveats: String,
    #[serde(default)]
    pub(crate) platforms: Vec<Platform>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Platform {
    selector: Option<Selector>,
    #[serde(default)]
    pub(crate) uri: String,
    #[serde(default)]
    pub(crate) sha256: String,
    #[serde(default)]
    pub(crate) bin: String,
    files: Option<Vec<FileOperation>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    #[serde(default)]
    match_expressions: Vec<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOperation {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

impl Platform {
    /// Whether krew takes it on this system.
    pub(crate) fn is_for(&self, os: &str, arch: &str) -> bool {
        let value = |key: &str| match key {
            "os" => Some(os),
            "arch" => Some(arch),
            _ => None,
        };
        let Some(selector) = &self.selector else { return false };
        selector.match_labels.iter().all(|(key, wanted)| value(key) == Some(wanted))
            && selector.match_expressions.iter().all(|requirement| {
                let listed = value(&requirement.key)
                    .is_some_and(|value| requirement.values.iter().any(|v| v == value));
                match requirement.operator.as_str() {
                    "In" => listed,
                    "NotIn" => !listed,
                    "Exists" => value(&requirement.key).is_some(),
                    _ => false,
                }
            })
    }
}

/// Reads a manifest that is to be published in a file of this name, without its ending; what is wrong with it otherwise.
pub(crate) fn parse(file: &str, text: &str) -> Result<Plugin, Vec<String>> {
    let plugin: Plugin = serde_saphyr::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut wrong = Vec::new();
    installable(&plugin, &mut wrong);
    indexable(&plugin, file, &mut wrong);
    reviewable(&plugin.spec, &mut wrong);
    if wrong.is_empty() { Ok(plugin) } else { Err(wrong) }
}

/// What krew refuses to install.
fn installable(plugin: &Plugin, wrong: &mut Vec<String>) {
    let Plugin { api_version, kind, metadata: Metadata { name }, spec } = plugin;
    let mut unless = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    unless(api_version == API_VERSION, "apiVersion");
    unless(kind == "Plugin", "kind");
    unless(is_safe_name(name), "name is not safe as a file name");
    unless(is_semver(&spec.version), "version is not vMAJOR.MINOR.PATCH");
    unless(!spec.short_description.is_empty(), "no short description");
    unless(!spec.short_description.contains(['\r', '\n']), "short description has line breaks");
    unless(!spec.platforms.is_empty(), "no platforms");
    for platform in &spec.platforms {
        unless(!platform.uri.is_empty(), "no uri");
        unless(is_sum(&platform.sha256), "sha256 is not 64 lower-case hexadecimal digits");
        unless(!platform.bin.is_empty(), "no bin");
        unless(platform.files.as_ref().is_none_or(|files| !files.is_empty()), "files is there and empty");
        for FileOperation { from, to } in platform.files.iter().flatten() {
            unless(!from.is_empty() && !to.is_empty(), "a file operation needs from and to");
        }
        let selector = platform.selector.as_ref();
        unless(selector.is_some(), "no selector");
        let keys: Vec<&String> = selector.map_or_else(Vec::new, |selector| {
            selector.match_labels.keys().chain(selector.match_expressions.iter().map(|r| &r.key)).collect()
        });
        unless(selector.is_none() || !keys.is_empty(), "selector is empty");
        unless(
            keys.iter().all(|key| ["os", "arch"].contains(&key.as_str())),
            "selector knows os and arch only",
        );
    }
}

/// What the checks of krew-index refuse beyond that, short of the downloads.
fn indexable(plugin: &Plugin, file: &str, wrong: &mut Vec<String>) {
    if plugin.metadata.name != file {
        wrong.push(format!("{file}.yaml names the plugin {}", plugin.metadata.name));
    }
    let platforms = &plugin.spec.platforms;
    for (os, arch) in KNOWN {
        if platforms.iter().filter(|platform| platform.is_for(os, arch)).count() > 1 {
            wrong.push(format!("platforms overlap on {os}/{arch}"));
        }
    }
    for platform in platforms {
        if !KNOWN.iter().any(|(os, arch)| platform.is_for(os, arch)) {
            wrong.push(format!("{} is for no known platform", platform.uri));
        }
        if platform.is_for("windows", "amd64") && !platform.bin.to_ascii_lowercase().ends_with(".exe") {
            wrong.push("on Windows bin is an .exe".to_owned());
        }
    }
}

/// What reviewers ask for.
fn reviewable(spec: &Spec, wrong: &mut Vec<String>) {
    let Spec { homepage, short_description, description, caveats, .. } = spec;
    if !homepage.starts_with("https://") {
        wrong.push("no homepage".to_owned());
    }
    if short_description.chars().count() > SHORT {
        wrong.push(format!("short description is over {SHORT} characters"));
    }
    if description.trim().is_empty() {
        wrong.push("no description".to_owned());
    }
    for (what, text) in [("description", description), ("caveats", caveats)] {
        if text.lines().any(|line| line.chars().count() > WIDTH) {
            wrong.push(format!("{what} is not wrapped at {WIDTH}"));
        }
    }
    if description.lines().any(|line| line.contains("kubectl fwd ") || line.trim_start().starts_with('$')) {
        wrong.push("description has usage examples".to_owned());
    }
}

fn is_safe_name(name: &str) -> bool {
    let device = |name: &str| {
        ["CON", "PRN", "AUX", "NUL"].contains(&name)
            || ["COM", "LPT"].iter().any(|kind| {
                name.strip_prefix(kind).is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']))
            })
    };
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !device(&name.to_ascii_uppercase())
}

fn is_semver(version: &str) -> bool {
    let Some(version) = version.strip_prefix('v') else { return false };
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let number = |n: &&str| n.parse::<u64>().is_ok_and(|value| value.to_string() == **n);
    numbers.len() == 3 && numbers.iter().all(number)
}

fn is_sum(sum: &str) -> bool {
    sum.len() == 64 && sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether krew-index takes a file of this name for the licence that has to be among the installed files.
pub(crate) fn is_licence(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.strip_suffix(".txt").or_else(|| name.strip_suffix(".md")).unwrap_or(&name);
    ["license", "licenses", "copying"].contains(&stem)
}
