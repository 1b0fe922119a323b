//! docs/ARCHITECTURE.md is the map of what is there, and docs/DESIGN.md has the floors of src/lib.rs.

use std::{collections::BTreeSet, path::Path};

use super::{files, read, root, shown};

/// What stands between backquotes in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The folders of sources below `folder`, as they are written in the map.
fn folders(folder: &str) -> BTreeSet<String> {
    let sources = files(&root(folder), &["rs"]);
    sources.iter().filter_map(|path| path.parent()).map(|path| format!("{}/", shown(path))).collect()
}

#[test]
fn the_map_has_every_folder_and_nothing_else() {
    if !root("docs/ARCHITECTURE.md").exists() {
        // It is not in the package.
        return;
    }
    let map = read(&root("docs/ARCHITECTURE.md"));
    let (mut mapped, mut missing) = (BTreeSet::new(), Vec::new());
    for line in map.lines().filter(|line| line.starts_with('|')) {
        let mut names = quoted(line);
        let Some(folder) = names.next().filter(|name| name.ends_with('/')) else { continue };
        mapped.insert(folder.to_owned());
        missing.extend(names.filter(|name| is_file(name)).map(|name| format!("{folder}{name}")));
    }
    missing.extend(quoted(&map).filter(|name| name.starts_with("src/") && is_file(name)).map(str::to_owned));
    missing.retain(|path| !root(path).exists());
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md names what is not there: {missing:?}");
    let sources: BTreeSet<String> = mapped.into_iter().filter(|folder| folder.starts_with("src/")).collect();
    assert_eq!(sources, folders("src"), "the folders of docs/ARCHITECTURE.md, and those of src/");
}

fn is_file(name: &str) -> bool {
    let is_source = Path::new(name).extension().is_some_and(|extension| extension == "rs");
    is_source && !name.starts_with("NAME")
}

/// A file of so many lines asks to be cut (CONTRIBUTING.md).
const TOO_LONG: usize = 500;

#[test]
fn no_file_is_too_long() {
    let sources = files(&root("src"), &["rs"]);
    let long: Vec<_> = sources.iter().filter(|path| read(path).lines().count() >= TOO_LONG).collect();
    assert!(long.is_empty(), "files of {TOO_LONG} lines or more: {long:?}");
}

#[test]
fn the_floors_are_the_same_in_both_places() {
    let library = read(&root("src/lib.rs")).replace("// ", "");
    let design = read(&root("docs/DESIGN.md"));
    assert_eq!(floors(&design), floors(&library));
}

/// The block of floors in a text.
fn floors(text: &str) -> &str {
    let block = text.split("```").find(|block| block.contains("\nF5 ") && block.contains("\nF0 "));
    block.expect("the floors").trim_start_matches("text").trim()
}
