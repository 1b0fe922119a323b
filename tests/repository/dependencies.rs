//! Each direct dependency is in docs/DEPENDENCIES.md with a reason, and each second version is one that deny.toml lets in.

use std::collections::BTreeSet;

use super::{read, root};

/// The names in the sections of Cargo.toml whose titles end so.
fn declared(manifest: &str, section: &str) -> BTreeSet<String> {
    let mut is_wanted = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(title) = line.strip_prefix('[') {
            let title = title.trim_end_matches(']');
            is_wanted =
                title == section || title.starts_with("target.") && title.ends_with(&format!(".{section}"));
        } else if let Some((name, _)) = line.split_once([' ', '.', '='])
            && is_wanted
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            names.insert(name.to_owned());
        }
    }
    names
}

/// The first column of the table in a section, and whether each row has a reason.
fn listed(document: &str, section: &str) -> BTreeSet<String> {
    let (_, rest) = document.split_once(&format!("\n## {section}\n")).unwrap();
    let rows =
        rest.lines().take_while(|line| !line.starts_with("## ")).filter_map(|line| line.strip_prefix("| "));
    rows.skip(1)
        .map(|row| {
            let (name, why) = row.split_once(" | ").unwrap();
            assert!(why.trim_end_matches(" |").len() > 5, "{name} has no reason");
            name.to_owned()
        })
        .collect()
}

#[test]
fn each_has_a_reason() {
    let (manifest, document) = (read(&root("Cargo.toml")), read(&root("docs/DEPENDENCIES.md")));
    let shipped = declared(&manifest, "dependencies");
    assert_eq!(listed(&document, "Shipped"), shipped);
    let tests: BTreeSet<_> = declared(&manifest, "dev-dependencies").difference(&shipped).cloned().collect();
    assert_eq!(listed(&document, "For tests, benchmarks and builds alone"), tests);
}

#[test]
fn second_versions() {
    let denied = read(&root("deny.toml"));
    let skipped: BTreeSet<_> = denied
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split_once('"'))
        .filter_map(|(name, _)| name.split_once('@'))
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    assert_eq!(listed(&read(&root("docs/DEPENDENCIES.md")), "Second versions"), skipped);
}
