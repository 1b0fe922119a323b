//! One name, one type: no type name of `src/` is there twice, unless both are private to their files.
//!
//! What a file has for each system, in modules behind `cfg` or in files of their own, is one type.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{files, read, root, shown};

/// Files that are chosen by the system that is built for: what one of them declares stands for the other's as well.
const BY_SYSTEM: [&str; 2] = ["unix", "windows"];

/// Where a type is declared.
#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    file: PathBuf,
    line: usize,
    private: bool,
    /// Declared once for each system.
    by_system: bool,
}

/// The name that a line declares, and whether that is private to its file.
fn declared(line: &str) -> Option<(&str, bool)> {
    let text = line.trim_start();
    let (public, text) = match text.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => (true, rest.split_once(") ")?.1),
        Some(rest) => (true, rest.strip_prefix(' ')?),
        None => (false, text),
    };
    let (keyword, rest) = text.split_once(' ')?;
    // An indented `type` is associated with a trait.
    let declares = match keyword {
        "struct" | "enum" | "union" | "trait" => true,
        "type" => !line.starts_with(' '),
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (declares && end > 0).then(|| (&rest[..end], !public))
}

/// The types that a file declares, with their lines, whether they are private, and whether they are behind `cfg` with the
/// module that they are in.
fn declarations(text: &str) -> Vec<(&str, usize, bool, bool)> {
    let mut found = Vec::new();
    let (mut behind_cfg, mut in_module) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("#[cfg(") && !line.contains("test") {
            behind_cfg = true;
        } else if behind_cfg && line.starts_with("mod ") && line.ends_with('{') {
            (behind_cfg, in_module) = (false, true);
        } else if line == "}" {
            in_module = false;
        } else if !line.starts_with('#') {
            behind_cfg = false;
        }
        if let Some((name, private)) = declared(line) {
            found.push((name, number, private, in_module));
        }
    }
    found
}

/// What each name is declared as in these files.
fn by_name(sources: &[(PathBuf, String)]) -> BTreeMap<&str, Vec<Declaration>> {
    let mut names: BTreeMap<&str, Vec<Declaration>> = BTreeMap::new();
    for (file, text) in sources {
        let stem = file.file_stem().and_then(|stem| stem.to_str());
        let is_alternative = stem.is_some_and(|stem| BY_SYSTEM.contains(&stem));
        for (name, line, private, in_module) in declarations(text) {
            let all = names.entry(name).or_default();
            let by_system = is_alternative || in_module;
            // One for each system counts once.
            let home = if is_alternative { file.parent() } else { Some(file.as_path()) };
            let same = |other: &Declaration| {
                other.by_system
                    && (other.file.as_path() == file || is_alternative && other.file.parent() == home)
            };
            if !(by_system && all.iter().any(same)) {
                all.push(Declaration { file: file.clone(), line, private, by_system });
            }
        }
    }
    names
}

/// The names that stand for two types, not both of which are private to their files, in words.
fn twice(sources: &[(PathBuf, String)]) -> Vec<String> {
    let names = by_name(sources);
    let ambiguous = names.iter().filter(|(_, all)| all.len() > 1 && !all.iter().all(|one| one.private));
    let place = |one: &Declaration| format!("{}:{}", shown(&one.file), one.line);
    let words = ambiguous
        .map(|(name, all)| format!("{name}: {}", all.iter().map(place).collect::<Vec<_>>().join(", ")));
    words.collect()
}

#[test]
fn no_type_name_is_there_twice() {
    let sources: Vec<(PathBuf, String)> =
        files(&root("src"), &["rs"]).into_iter().map(|file| (file.clone(), read(&file))).collect();
    let found = twice(&sources);
    assert!(found.is_empty(), "these names stand for two types each:\n{}", found.join("\n"));
}

#[test]
fn a_name_that_is_there_twice_is_found() {
    let source = |path: &str, text: &str| (Path::new(path).to_owned(), text.to_owned());
    let found = twice(&[
        source(
            "a.rs",
            "pub struct One;\nstruct Two;\nenum Three {\n}\nimpl Trait for One {\n    type Two = u8;\n}\n",
        ),
        source("b.rs", "pub(super) enum One {\n}\nstruct Two;\npub type Three = u8;\n"),
    ]);
    assert_eq!(found, ["One: a.rs:1, b.rs:1", "Three: a.rs:3, b.rs:4"]);
}

#[test]
fn what_each_system_has_is_one_type() {
    let source = |path: &str, text: &str| (Path::new(path).to_owned(), text.to_owned());
    let module = "#[cfg(unix)]\nmod system {\n    pub(super) struct One;\n}\n\n#[cfg(not(unix))]\nmod system {\n    pub(super) struct One;\n}\n";
    assert_eq!(twice(&[source("a.rs", module)]), [""; 0]);
    let both = [source("p/unix.rs", "pub struct One;\n"), source("p/windows.rs", "pub struct One;\n")];
    assert_eq!(twice(&both), [""; 0]);
    let elsewhere = [source("p/unix.rs", "pub struct One;\n"), source("q.rs", "pub struct One;\n")];
    assert_eq!(twice(&elsewhere).len(), 1);
}
