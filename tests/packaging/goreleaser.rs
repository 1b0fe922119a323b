//! `.goreleaser.yml`: valid, without what is deprecated, and of one mind with `plugin.yaml`.
//!
//! `goreleaser.schema.json` is what goreleaser 2.18 publishes (`goreleaser jsonschema`, MIT licence); the paid version's
//! words are not in it.

use serde_json::Value;

use crate::{broken, krew, read, root, yaml};

/// What goreleaser's schema has against a configuration.
fn validate(config: &Value) -> Vec<String> {
    let schema = serde_json::from_str(include_str!("goreleaser.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    schema.iter_errors(config).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn config() -> Value {
    yaml(&read(".goreleaser.yml"))
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn is_valid() {
    let wrong = validate(&config());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn broken_ones_are_refused() {
    for (from, to, complaint) in [
        ("project_name:", "projectname:", "'projectname' was unexpected"),
        ("builder: rust", "builder: cargo", "/builds/0/builder: \"cargo\" is not one of"),
        ("binary: kubectl-fwd", "binary: [kubectl-fwd]", "/builds/0/binary"),
        ("formats: [deb, rpm]", "formats: [deb, rmp]", "/nfpms/0/formats/1: \"rmp\" is not one of"),
        ("skip_upload: true", "skip_upload: [true]", "/krews/0/skip_upload"),
        ("version: 2", "version: two", "/version"),
        ("    command: zigbuild\n", "    command: zigbuild\n    if: true\n", "'if' was unexpected"),
    ] {
        let wrong = validate(&yaml(&broken(&read(".goreleaser.yml"), from, to)));
        assert!(wrong.iter().any(|line| line.contains(complaint)), "{from:?} -> {to:?}: {wrong:?}");
    }
}

/// The schema still has them; goreleaser warns, and its `check` fails.
#[test]
fn nothing_is_deprecated() {
    let config = config();
    for (pointer, word) in [
        ("", "brews"),
        ("/archives/0", "builds"),
        ("/archives/0", "format"),
        ("/archives/0/format_overrides/0", "format"),
        ("/nfpms/0", "builds"),
        ("/snapshot", "name_template"),
        ("/homebrew_casks/0", "binary"),
        ("/homebrew_casks/0", "manpage"),
    ] {
        let place = config.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        assert!(place.get(word).is_none(), "{pointer}/{word}");
    }
}

/// The os and arch that goreleaser's templates have for a target.
fn os_and_arch(target: &str) -> (&str, &str) {
    let arch = match target.split('-').next() {
        Some("x86_64") => "amd64",
        Some("aarch64") => "arm64",
        _ => panic!("{target}"),
    };
    match target {
        _ if target.contains("-linux-") => ("linux", arch),
        _ if target.contains("-apple-") => ("darwin", arch),
        _ if target.contains("-windows-") => ("windows", arch),
        _ => panic!("{target}"),
    }
}

#[test]
fn builds_what_the_manifest_names() {
    let config = config();
    let plugin = krew::parse("fwd", &read("plugin.yaml")).unwrap();
    let build = &config["builds"][0];
    let archive = &config["archives"][0];
    let targets = strings(&build["targets"]);
    assert_eq!(targets.len(), plugin.spec.platforms.len());
    for target in targets {
        let (os, arch) = os_and_arch(target);
        let platform = plugin.spec.platforms.iter().find(|platform| platform.is_for(os, arch));
        let platform = platform.unwrap_or_else(|| panic!("the manifest has nothing for {target}"));
        let overrides = archive["format_overrides"].as_array().unwrap();
        let formats = overrides.iter().find(|format| format["goos"] == os).unwrap_or(archive);
        let format = strings(&formats["formats"])[0];
        let name = archive["name_template"]
            .as_str()
            .unwrap()
            .replace("{{ .ProjectName }}", config["project_name"].as_str().unwrap())
            .replace("{{ .Tag }}", &plugin.spec.version)
            .replace("{{ .Os }}", os)
            .replace("{{ .Arch }}", arch);
        let krew::Spec { homepage, version, .. } = &plugin.spec;
        assert_eq!(platform.uri, format!("{homepage}/releases/download/{version}/{name}.{format}"));
        let ending = if os == "windows" { ".exe" } else { "" };
        assert_eq!(platform.bin, format!("{}{ending}", build["binary"].as_str().unwrap()));
    }
}

#[test]
fn says_what_the_manifest_says() {
    let config = config();
    let krews = &config["krews"][0];
    let spec = krew::parse("fwd", &read("plugin.yaml")).unwrap().spec;
    assert_eq!(krews["name"], "fwd");
    assert_eq!(krews["homepage"], spec.homepage);
    assert_eq!(krews["short_description"], spec.short_description);
    assert_eq!(krews["description"], spec.description);
    assert_eq!(krews["caveats"].as_str().unwrap_or_default(), spec.caveats);
    // goreleaser publishes nothing: it runs where the dependency tree is compiled, and has no right to.
    assert_eq!(krews["skip_upload"], true);
    let cask = &config["homebrew_casks"][0];
    assert_eq!(cask["skip_upload"], true);
    assert!(config.get("signs").is_none() && !config.to_string().contains(".Env."));
    // A check of macOS that is taken away is told.
    let hook = cask["hooks"]["post"]["install"].as_str().unwrap_or_default();
    let told = cask["caveats"].as_str().is_some_and(|text| text.contains("quarantine"));
    assert!(!hook.contains("quarantine") || (told && hook.contains("ohai")));
}

#[test]
fn what_it_packs_is_there() {
    let config = config();
    let files = config["archives"][0]["files"].as_array().unwrap().iter();
    let files: Vec<&str> = files.map(|file| file.as_str().or(file["src"].as_str()).unwrap()).collect();
    assert!(files.iter().any(|file| krew::is_licence(file)));
    // What the cask takes out of the archive is in it, in no folder.
    let cask = &config["homebrew_casks"][0];
    let taken = cask["completions"].as_object().unwrap().values().chain(cask["manpages"].as_array().unwrap());
    for name in taken.map(|name| name.as_str().unwrap()) {
        assert!(files.iter().any(|file| file.rsplit('/').next() == Some(name)), "{name}");
    }
    // What scripts/archive packs for trying it is the same.
    let script = read("scripts/archive").replace("$scripts", "src/cli/complete/scripts");
    assert!(script.contains(&format!("files=({})", files.join(" "))), "{files:?}");
    let contents = config["nfpms"][0]["contents"].as_array().unwrap();
    let packed = contents.iter().filter(|content| content["type"] != "symlink");
    let sources = packed.map(|content| content["src"].as_str().unwrap());
    for file in files.into_iter().chain(sources) {
        assert!(root(file).is_file(), "{file}");
    }
    // goreleaser's Rust builder refuses a workspace without it.
    assert!(strings(&config["builds"][0]["flags"]).contains(&"--package=kubectl-fwd"));
}
