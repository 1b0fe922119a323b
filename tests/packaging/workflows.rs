//! The workflows: what they run is pinned, what they may do is said, and what they name is there.

use serde_json::{Map, Value};

use crate::{read, root, yaml};

/// Every workflow: its name, its text, and what the text says.
fn workflows() -> Vec<(String, String, Value)> {
    let folder = root(".github/workflows");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let read = |name: String| {
        let text = read(&format!(".github/workflows/{name}"));
        let value = yaml(&text);
        (name, text, value)
    };
    names.into_iter().map(read).collect()
}

fn jobs(workflow: &Value) -> &Map<String, Value> {
    workflow["jobs"].as_object().unwrap()
}

fn steps(workflow: &Value) -> impl Iterator<Item = &Value> {
    jobs(workflow).values().flat_map(|job| job["steps"].as_array().unwrap())
}

/// Complaints about one workflow.
fn judge(text: &str) -> Vec<String> {
    let workflow = yaml(text);
    let mut wrong = Vec::new();
    let mut unless = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    unless(workflow["permissions"] == Value::Object(Map::new()), "grants to all jobs at once".into());
    unless(workflow["concurrency"]["group"].is_string(), "no concurrency group".into());
    for (name, job) in jobs(&workflow) {
        unless(job["permissions"].is_object(), format!("{name}: no permissions"));
        unless(job["timeout-minutes"].is_u64(), format!("{name}: no timeout"));
    }
    for line in text.lines().filter(|line| line.trim_start_matches([' ', '-']).starts_with("uses:")) {
        unless(is_pinned(line), format!("not pinned: {}", line.trim()));
    }
    for step in steps(&workflow) {
        let uses = step["uses"].as_str().unwrap_or_default();
        let keeps = uses.starts_with("actions/checkout@") && step["with"]["persist-credentials"] != false;
        unless(!keeps, "a checkout leaves its token behind".into());
        // An expression is put into the script before a shell reads it: a branch's name would be run.
        let run = step["run"].as_str().unwrap_or_default();
        unless(!run.contains("${{"), format!("an expression in a script: {run}"));
    }
    wrong
}

/// `uses: owner/action@<commit> # vVERSION`.
fn is_pinned(line: &str) -> bool {
    let Some((action, version)) = line.split_once(" # v") else { return false };
    let commit = action.rsplit_once('@').map_or("", |(_, commit)| commit);
    commit.len() == 40
        && commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && version.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn are_careful() {
    for (name, text, _) in workflows() {
        let wrong = judge(&text);
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

#[test]
fn careless_ones_are_found() {
    let good = "\
permissions: {}
concurrency: { group: x }
jobs:
  a:
    timeout-minutes: 1
    permissions: { contents: read }
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with: { persist-credentials: false }
      - run: cargo test
";
    assert_eq!(judge(good), [""; 0]);
    for (from, to, complaint) in [
        ("permissions: {}", "permissions: { contents: read }", "grants"),
        ("permissions: {}\n", "", "grants"),
        ("concurrency: { group: x }\n", "", "concurrency"),
        ("    permissions: { contents: read }\n", "", "a: no permissions"),
        ("    timeout-minutes: 1\n", "", "timeout"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7 # v7.0.1", "not pinned"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@3d3c42e # v7.0.1", "not pinned"),
        (" # v7.0.1", "", "not pinned"),
        ("persist-credentials: false", "persist-credentials: true", "token"),
        ("cargo test", "echo ${{ github.head_ref }}", "expression"),
    ] {
        let wrong = judge(&crate::broken(good, from, to));
        assert!(wrong.iter().any(|line| line.contains(complaint)), "{from:?} -> {to:?}: {wrong:?}");
    }
}

/// Scripts, tests, files: what is run by name is there under that name.
#[test]
fn name_what_is_there() {
    let mut scripts = 0;
    for (name, text, workflow) in workflows() {
        for run in steps(&workflow).filter_map(|step| step["run"].as_str()) {
            // A command with a folder in it is the repository's own, unless a variable says where it is.
            let commands = run.lines().filter_map(|line| line.split_whitespace().next());
            for command in commands.filter(|word| word.contains('/') && !word.contains('$')) {
                assert!(is_executable(command), "{name}: {command}");
                scripts += 1;
            }
        }
        let tests = text.split("--test ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        for test in tests {
            let places = [format!("tests/{test}.rs"), format!("tests/{test}/main.rs")];
            assert!(places.iter().any(|path| root(path).is_file()), "{name}: --test {test}");
        }
    }
    assert!(scripts > 0);
}

#[cfg(unix)]
fn is_executable(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    root(path).metadata().is_ok_and(|file| file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &str) -> bool {
    root(path).is_file()
}

/// The krew job takes what the release job made, and no pre-release reaches it.
#[test]
fn krew_index_gets_what_was_released() {
    let release = yaml(&read(".github/workflows/release.yml"));
    assert_eq!(release["jobs"]["krew"]["needs"], "release");
    assert_eq!(release["jobs"]["krew"]["if"], "${{ !contains(github.ref_name, '-') }}");
    let with = |action: &str| {
        let step = steps(&release).find(|step| step["uses"].as_str().is_some_and(|u| u.starts_with(action)));
        step.unwrap_or_else(|| panic!("no {action}"))["with"].clone()
    };
    let uploaded = with("actions/upload-artifact@");
    let downloaded = with("actions/download-artifact@");
    assert_eq!(uploaded["name"], downloaded["name"]);
    assert_eq!(uploaded["path"], "dist/krew/fwd.yaml");
    assert_eq!(downloaded["path"], "dist/krew");
    assert_eq!(with("rajatjindal/krew-release-bot@")["krew_template_file"], "dist/krew/fwd.yaml");
}

/// No second place says which Rust is the oldest.
#[test]
fn the_oldest_rust_is_read_from_cargo_toml() {
    let ci = yaml(&read(".github/workflows/ci.yml"));
    let msrv = ci["jobs"]["msrv"]["steps"].to_string();
    assert!(msrv.contains("rust-version") && !msrv.contains(env!("CARGO_PKG_RUST_VERSION")), "{msrv}");
}
