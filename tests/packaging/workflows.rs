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
        unless(!compiles(job) || is_harmless(job), format!("{name}: compiles with rights or secrets"));
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
        let moves = run.contains("toolchain install stable") || run.contains("default stable");
        unless(!moves, format!("a toolchain that moves: {run}"));
    }
    for image in text.split_whitespace().filter(|word| IMAGES.iter().any(|image| word.starts_with(image))) {
        unless(has_digest(image), format!("an image without its digest: {image}"));
    }
    wrong
}

/// Where the images of clusters come from.
const IMAGES: [&str; 2] = ["kindest/", "rancher/"];

fn has_digest(image: &str) -> bool {
    let digest = image.split_once("@sha256:").map_or("", |(_, digest)| digest);
    digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a job builds what others wrote: build scripts and macros of some hundred packages run in it.
fn compiles(job: &Value) -> bool {
    let steps = job["steps"].as_array().into_iter().flatten();
    steps.filter_map(|step| step["run"].as_str().or(step["uses"].as_str())).any(|words| {
        ["cargo ", "scripts/toolchain", "rustup ", "goreleaser"].iter().any(|word| words.contains(word))
    })
}

/// Whether nothing can be changed, signed or read from a job that its steps do not have anyway.
fn is_harmless(job: &Value) -> bool {
    let rights = job["permissions"].as_object().into_iter().flatten();
    rights.into_iter().all(|(_, right)| right == "read") && !job.to_string().contains("secrets.")
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
        ("{ contents: read }", "{ contents: write }", "a: compiles with rights"),
        ("{ contents: read }", "{ contents: read, id-token: write }", "a: compiles with rights"),
        (
            "cargo test",
            "cargo test\n        env: { TOKEN: '${{ secrets.TOKEN }}' }",
            "a: compiles with rights",
        ),
        ("cargo test", "rustup toolchain install stable && cargo test", "toolchain that moves"),
        ("cargo test", "k3d cluster create --image rancher/k3s:v1", "without its digest"),
        ("cargo test", "k3d cluster create --image rancher/k3s:v1@sha256:ab", "without its digest"),
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
            assert!(root(&format!("tests/{test}/main.rs")).is_file(), "{name}: --test {test}");
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

/// What is published is what was built, by a job that builds nothing; krew-index and the tap get what was published, and
/// no pre-release.
#[test]
fn what_is_published_was_built_elsewhere() {
    let release = yaml(&read(".github/workflows/release.yml"));
    let jobs = jobs(&release);
    let step = |job: &str, action: &str| {
        let mut steps = jobs[job]["steps"].as_array().unwrap().iter();
        let step = steps.find(|step| step["uses"].as_str().is_some_and(|u| u.starts_with(action)));
        step.unwrap_or_else(|| panic!("{job}: no {action}"))["with"].clone()
    };
    let built = step("build", "actions/upload-artifact@");
    assert!(compiles(&jobs["build"]) && is_harmless(&jobs["build"]));
    for (job, needs) in [("publish", "build"), ("krew", "publish"), ("tap", "publish")] {
        assert!(!compiles(&jobs[job]), "{job}");
        assert_eq!(jobs[job]["needs"], needs, "{job}");
        assert_eq!(
            step(job, "actions/download-artifact@"),
            serde_json::json!({"name": built["name"], "path": built["path"]})
        );
    }
    for job in ["krew", "tap"] {
        assert_eq!(jobs[job]["if"], "${{ !contains(github.ref_name, '-') }}");
    }
    assert_eq!(step("krew", "rajatjindal/krew-release-bot@")["krew_template_file"], "release/krew/fwd.yaml");
    assert_eq!(step("publish", "actions/attest@")["subject-checksums"], "release/files/checksums.txt");
}

/// The files of a release are those that its sums name, and none is taken from another folder.
#[cfg(unix)]
#[test]
fn what_is_released_is_what_the_sums_name() {
    let folder = std::env::temp_dir().join(format!("kubectl-fwd-release-files-{}", std::process::id()));
    let dist = folder.join("dist");
    for (path, text) in [
        ("checksums.txt", "aa  a.tar.gz\nbb  a.sbom.json\n"),
        ("a.tar.gz", "archive"),
        ("a.sbom.json", "sbom"),
        ("secret", "not for others"),
        ("krew/fwd.yaml", "manifest"),
        ("homebrew/Casks/kubectl-fwd.rb", "cask"),
    ] {
        let path = dist.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let sort = |into: &str| {
        let script = std::process::Command::new(root("scripts/release-files"))
            .arg(&dist)
            .arg(folder.join(into))
            .output();
        script.unwrap().status.success()
    };
    assert!(sort("release"));
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("release/files")).unwrap().map(|f| f.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["a.sbom.json", "a.tar.gz", "checksums.txt"]);
    assert!(
        folder.join("release/krew/fwd.yaml").is_file()
            && folder.join("release/homebrew/kubectl-fwd.rb").is_file()
    );
    assert!(!sort("release"), "it is there already");
    for sums in ["aa  ../secret\n", "aa  missing\n"] {
        std::fs::write(dist.join("checksums.txt"), sums).unwrap();
        assert!(!sort(sums.trim().rsplit('/').next().unwrap()), "{sums}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// No second place says which Rust is the oldest.
#[test]
fn the_oldest_rust_is_read_from_cargo_toml() {
    let ci = yaml(&read(".github/workflows/ci.yml"));
    let msrv = ci["jobs"]["msrv"]["steps"].to_string();
    assert!(msrv.contains("rust-version") && !msrv.contains(env!("CARGO_PKG_RUST_VERSION")), "{msrv}");
}

/// What releases are built with is one version, and not older than what Cargo.toml promises.
#[test]
fn releases_are_built_with_one_rust() {
    let script = read("scripts/toolchain");
    let pinned: Vec<u32> = script
        .lines()
        .find_map(|line| line.strip_prefix("RUST="))
        .unwrap()
        .split('.')
        .map(|number| number.parse().unwrap())
        .collect();
    let oldest: Vec<u32> =
        env!("CARGO_PKG_RUST_VERSION").split('.').map(|number| number.parse().unwrap()).collect();
    assert!(pinned.len() == 3 && pinned >= oldest, "{pinned:?} {oldest:?}");
}
