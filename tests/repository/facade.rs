//! What embedding programs see is what src/lib.rs names, and the examples of it need nothing else.

use std::collections::BTreeSet;

use super::{read, root};

/// Names that are still seen at a glance: a screen of them.
const SCREEN: usize = 40;

#[test]
fn every_module_is_hidden_from_the_documentation() {
    let source = read(&root("src/lib.rs"));
    let lines: Vec<_> = source.lines().collect();
    let modules = lines.windows(2).filter(|pair| pair[1].starts_with("pub mod "));
    let shown: Vec<_> = modules.filter(|pair| pair[0] != "#[doc(hidden)]").map(|pair| pair[1]).collect();
    assert!(shown.is_empty(), "not hidden: {shown:?}");
    let names = exported(&source);
    assert!(names.contains("Registry") && names.len() <= SCREEN, "{} names: {names:?}", names.len());
}

#[test]
fn examples_use_nothing_but_what_is_documented() {
    let exported = exported(&read(&root("src/lib.rs")));
    for path in ["src/lib.rs", "examples/forward.rs", "tests/library/main.rs"] {
        let source = read(&root(path)).replace("//! ", "");
        let others: BTreeSet<_> = used(&source).filter(|name| !exported.contains(name)).collect();
        assert!(others.is_empty(), "{path} uses what is not exported at the root of the crate: {others:?}");
    }
}

/// The names at the ends of the paths in a `use` tree, each behind its last `::`.
fn names(tree: &str) -> impl Iterator<Item = String> {
    let parts =
        tree.split([',', '{', '}']).map(str::trim).filter(|part| !part.is_empty() && !part.ends_with("::"));
    parts.map(|part| part.rsplit("::").next().unwrap_or(part).to_owned())
}

/// What src/lib.rs exports.
fn exported(source: &str) -> BTreeSet<String> {
    let uses = source.split("pub use ").skip(1);
    uses.flat_map(|rest| names(rest.split(';').next().unwrap_or(rest))).collect()
}

/// What is used of the crate: the whole of each path behind its name, and each part of a tree.
fn used(source: &str) -> impl Iterator<Item = String> {
    source.split("kubectl_fwd::").skip(1).flat_map(|rest| {
        let tree = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        let path = || rest.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':')).next();
        let tree = tree.or_else(path).unwrap_or(rest);
        tree.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect::<Vec<_>>()
    })
}
