//! `plugin.yaml`: good by every rule, and what is bad is found.

use crate::krew::{self, is_licence};
use crate::{broken, read};

fn text() -> String {
    read("plugin.yaml")
}

#[test]
fn is_valid() {
    let plugin = krew::parse("fwd", &text()).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    assert_eq!(plugin.metadata.name, "fwd");
    assert_eq!(plugin.spec.version, concat!("v", env!("CARGO_PKG_VERSION")));
    assert_eq!(plugin.spec.homepage, env!("CARGO_PKG_REPOSITORY"));
    assert_eq!(plugin.spec.platforms.len(), 5);
    assert!(plugin.spec.caveats.contains("kubectl fwd completion install"));
}

/// Half a manifest's sums would make some machines install what was never looked at.
#[test]
fn sums_are_all_there_or_none_is() {
    let plugin = krew::parse("fwd", &text()).unwrap();
    let unknown = plugin.spec.platforms.iter().filter(|p| p.sha256.bytes().all(|byte| byte == b'0')).count();
    assert!(unknown == 0 || unknown == plugin.spec.platforms.len(), "{unknown} sums are zeros, others not");
}

#[test]
fn broken_ones_are_refused() {
    let zeros = "0".repeat(64);
    let upper = "A".repeat(64);
    let long = format!("shortDescription: {}", "x".repeat(51));
    let wide = format!("    {}\n", "word ".repeat(17));
    let cut = text().find("  platforms:").unwrap();
    let described = &text()[text().find("  description:").unwrap()..text().find("  caveats:").unwrap()];
    for (from, to, complaint) in [
        ("v1alpha2", "v1", "apiVersion"),
        ("kind: Plugin", "kind: plugin", "kind"),
        ("name: fwd", "name: fwd/x", "not safe"),
        ("name: fwd", "name: COM1", "not safe"),
        ("name: fwd", "name: forward", "fwd.yaml names the plugin forward"),
        ("version: v0.1.0", "version: 0.1.0", "version"),
        ("version: v0.1.0", "version: v0.1", "version"),
        ("version: v0.1.0", "version: v0.01.0", "version"),
        ("shortDescription: Port", "shortDescription: |\n    Two lines\n    Port", "line breaks"),
        ("  shortDescription: Port-forward that survives pod restarts\n", "", "no short description"),
        ("shortDescription: Port-forward that survives pod restarts", &long, "over 50"),
        ("homepage: https://", "homepage: http://", "homepage"),
        ("homepage:", "homePage:", "unknown field"),
        (described, "  description: \"\"\n", "no description"),
        ("  description: |\n", &format!("  description: |\n{wide}"), "not wrapped"),
        ("  description: |\n", "  description: |\n    kubectl fwd svc/api 80\n", "usage"),
        ("  description: |\n", "  description: |\n    $ kubectl get pods\n", "usage"),
        (&text()[cut..], "  platforms: []\n", "no platforms"),
        (&format!("\"{zeros}\""), &format!("\"{upper}\""), "sha256"),
        (&zeros, &zeros[1..], "sha256"),
        ("      bin: kubectl-fwd\n", "", "no bin"),
        ("      bin: kubectl-fwd\n", "      bin: kubectl-fwd\n      files: []\n", "empty"),
        (
            "      bin: kubectl-fwd\n",
            "      bin: kubectl-fwd\n      files: [{ from: kubectl-fwd }]\n",
            "from and to",
        ),
        ("      uri: https", "      url: https", "unknown field"),
        ("matchLabels:\n          os: linux\n          arch: amd64", "matchLabels: {}", "selector is empty"),
        ("          arch: amd64", "          cpu: amd64", "os and arch only"),
        ("          arch: amd64", "          arch: arm64", "overlap on linux/arm64"),
        ("          os: linux\n          arch: amd64", "          os: linux", "overlap on linux/arm64"),
        ("          os: windows", "          os: beos", "no known platform"),
        ("bin: kubectl-fwd.exe", "bin: kubectl-fwd", ".exe"),
    ] {
        let text = broken(&text(), from, to);
        let wrong = krew::parse("fwd", &text).err().unwrap_or_default();
        assert!(wrong.iter().any(|line| line.contains(complaint)), "{from:?} -> {to:?}: {wrong:?}");
    }
}

#[test]
fn selectors_with_expressions() {
    let text = broken(
        &text(),
        "matchLabels:\n          os: linux\n          arch: amd64",
        "matchExpressions:\n          - { key: os, operator: In, values: [linux] }\n          - { key: arch, operator: \
         NotIn, values: [arm64] }",
    );
    let plugin = krew::parse("fwd", &text).unwrap();
    let linux = &plugin.spec.platforms[0];
    assert!(linux.is_for("linux", "amd64") && linux.is_for("linux", "ppc64le"));
    assert!(!linux.is_for("linux", "arm64") && !linux.is_for("darwin", "amd64"));
}

#[test]
fn names_of_licences() {
    for name in ["LICENSE", "license.md", "LICENSES.txt", "COPYING"] {
        assert!(is_licence(name), "{name}");
    }
    for name in ["LICENSE-MIT", "LICENCE", "README.md", "license.rst"] {
        assert!(!is_licence(name), "{name}");
    }
}
