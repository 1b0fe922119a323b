//! No files of the library, or of a benchmark, import each other in a circle.
//!
//! A module is the file that holds it. A file imports another if it names something of it, in a `use` or in a path that
//! begins with `crate`, `self`, `super` or a module of its own. `mod x;` is no import, and `pub use` is none unless the file
//! needs the name itself: it shows others what is there. What is there for tests alone does not count.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::{Path, PathBuf},
};

use super::{
    files, read, root,
    rust::{Token, attribute, balanced, tokens},
    shown,
};

type Names = Vec<String>;

/// A path that some module names.
struct Import {
    file: String,
    module: Names,
    path: Names,
    /// It is there for others.
    is_shown_only: bool,
}

#[derive(Default)]
struct Module {
    file: String,
    /// What its `use` lines call by which name.
    names: HashMap<String, Names>,
}

/// The modules of one crate, and what they import.
#[derive(Default)]
struct Crate {
    modules: BTreeMap<Names, Module>,
    imports: Vec<Import>,
}

impl Crate {
    /// Reads a crate from its root file on.
    fn read(root: &Path) -> Self {
        let mut this = Self::default();
        this.file(root, &Vec::new(), root.parent().unwrap());
        this
    }

    /// Reads the file that holds `module`, whose own modules are files in `folder`.
    fn file(&mut self, path: &Path, module: &Names, folder: &Path) {
        let tokens = tokens(&read(path));
        self.add(&tokens, &shown(path), module, &mut |this, name, attribute_path| {
            let mut module = module.clone();
            module.push(name.to_owned());
            let beside = path.parent().unwrap();
            let candidates = match attribute_path {
                Some(path) => vec![beside.join(path)],
                None => vec![folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")],
            };
            let path =
                candidates.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{module:?}"));
            this.file(&path, &module, &folder.join(name));
        });
    }

    /// Takes in the tokens of `module`, which stand in `file`. `submodule` reads the files of its modules.
    fn add(
        &mut self,
        tokens: &[Token],
        file: &str,
        module: &Names,
        submodule: &mut dyn FnMut(&mut Self, &str, Option<PathBuf>),
    ) {
        file.clone_into(&mut self.modules.entry(module.clone()).or_default().file);
        let (mut i, mut is_public, mut paths) = (0, false, Vec::new());
        while i < tokens.len() {
            if let Some(end) = attribute(tokens, i) {
                paths.extend(path_of(&tokens[i..end]));
                i = end;
                continue;
            }
            match word(tokens, i) {
                "pub" => {
                    is_public = true;
                    i = if tokens.get(i + 1) == Some(&Token::Sign('(')) {
                        balanced(tokens, i + 1)
                    } else {
                        i + 1
                    };
                    continue;
                }
                "use" => {
                    let mut found = Vec::new();
                    i = use_tree(tokens, i + 1, &Vec::new(), &mut found);
                    self.used(found, tokens, file, module, is_public);
                }
                "mod" => {
                    let name = word(tokens, i + 1).to_owned();
                    if tokens.get(i + 2) == Some(&Token::Sign('{')) {
                        let end = balanced(tokens, i + 2);
                        let inner: Names = module.iter().cloned().chain([name]).collect();
                        self.add(&tokens[i + 3..end - 1], file, &inner, submodule);
                        i = end;
                    } else if paths.is_empty() {
                        submodule(self, &name, None);
                        i += 3;
                    } else {
                        // One for each system.
                        for path in std::mem::take(&mut paths) {
                            submodule(self, &name, Some(PathBuf::from(path)));
                        }
                        i += 3;
                    }
                }
                "" => i += 1,
                _ if tokens.get(i + 1) == Some(&Token::Path) => {
                    let mut path = Vec::new();
                    while !word(tokens, i).is_empty() {
                        path.push(word(tokens, i).to_owned());
                        i += 2;
                        if tokens.get(i - 1) != Some(&Token::Path) {
                            i -= 1;
                            break;
                        }
                    }
                    self.imports.push(import(file, module, path, false));
                }
                _ => i += 1,
            }
            (is_public, paths) = (false, Vec::new());
        }
    }

    /// Notes what a `use` of `module` names.
    fn used(
        &mut self,
        found: Vec<(Names, String)>,
        tokens: &[Token],
        file: &str,
        module: &Names,
        is_public: bool,
    ) {
        for (path, name) in found {
            let uses = tokens.iter().filter(|token| **token == Token::Word(name.clone())).count();
            self.imports.push(import(file, module, path.clone(), is_public && uses < 2));
            self.modules.entry(module.clone()).or_default().names.insert(name, path);
        }
    }

    /// The file that holds what `module` calls by `path`; `None` where it is of no module of this crate.
    fn holder(&self, module: &[String], path: &[String], depth: usize) -> Option<&str> {
        let mut at = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => module.to_vec(),
            first if self.modules.contains_key(&joined(module, first)) => module.to_vec(),
            _ => return None,
        };
        let mut rest = path.iter().skip_while(|name| matches!(name.as_str(), "crate" | "self"));
        while let Some(name) = rest.next() {
            if name == "super" {
                at.pop();
            } else if self.modules.contains_key(&joined(&at, name)) {
                at.push(name.clone());
            } else {
                // Aliases end, for they are what a compiler took; a limit is there for what it did not.
                let alias = self.modules[&at].names.get(name).filter(|_| depth < 8);
                let aliased = alias.map(|alias| alias.iter().chain(rest).cloned().collect::<Names>());
                let held = aliased.and_then(|path| self.holder(&at, &path, depth + 1));
                return Some(held.unwrap_or(&self.modules[&at].file));
            }
        }
        Some(&self.modules[&at].file)
    }

    /// Which file imports which.
    fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for import in self.imports.iter().filter(|import| !import.is_shown_only) {
            if let Some(holder) = self.holder(&import.module, &import.path, 0)
                && holder != import.file
            {
                edges.entry(&import.file).or_default().insert(holder);
            }
        }
        edges
    }
}

fn import(file: &str, module: &Names, path: Names, is_shown_only: bool) -> Import {
    Import { file: file.to_owned(), module: module.clone(), path, is_shown_only }
}

fn joined(module: &[String], name: &str) -> Names {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

fn word(tokens: &[Token], i: usize) -> &str {
    match tokens.get(i) {
        Some(Token::Word(word)) => word,
        _ => "",
    }
}

/// The file that an attribute names for a module, `path = "..."`.
fn path_of(attribute: &[Token]) -> Option<String> {
    attribute.windows(3).find_map(|window| match window {
        [Token::Word(word), Token::Sign('='), Token::Text(path)] if word == "path" => Some(path.clone()),
        _ => None,
    })
}

/// Reads what stands behind `use`, or in its braces: paths, and the names that they are called by. Says where it ends.
fn use_tree(tokens: &[Token], start: usize, prefix: &Names, found: &mut Vec<(Names, String)>) -> usize {
    let (mut path, mut i) = (prefix.clone(), start);
    loop {
        match &tokens[i] {
            Token::Word(word) if word == "as" => {
                let name = self::word(tokens, i + 1).to_owned();
                found.push((path, name));
                return i + 2;
            }
            Token::Word(word) => {
                path.push(word.clone());
                i += 1;
            }
            Token::Path => i += 1,
            Token::Sign('*') => {
                found.push((path, "*".to_owned()));
                return i + 1;
            }
            Token::Sign('{') => {
                i += 1;
                while tokens[i] != Token::Sign('}') {
                    i = use_tree(tokens, i, &path, found);
                    i += usize::from(tokens[i] == Token::Sign(','));
                }
                return i + 1;
            }
            _ => {
                // `a::{self}` is `a`.
                if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
                    path.pop();
                }
                let name = path.last().cloned().unwrap_or_default();
                found.push((path, name));
                return i;
            }
        }
    }
}

/// A shortest circle through each file that is in one, each circle once.
fn circles<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<Vec<&'a str>> {
    edges.keys().filter_map(|start| circle(edges, start)).collect()
}

fn circle<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut from: HashMap<&str, &str> = HashMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(file) = next.pop_front() {
        for imported in edges.get(file).into_iter().flatten() {
            if *imported == start {
                let back = std::iter::successors(Some(file), |file| from.get(file).copied());
                let mut circle: Vec<&str> = back.collect();
                circle.reverse();
                // The same circle begins with the same file, wherever it was entered.
                let first = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
                circle.rotate_left(first);
                return Some(circle);
            }
            if *imported != start && !from.contains_key(imported) {
                from.insert(imported, file);
                next.push_back(imported);
            }
        }
    }
    None
}

/// How many imports there are in the crates of these root files, and the circles among them.
fn imports_and_circles(roots: &[PathBuf]) -> (usize, Vec<String>) {
    let (mut count, mut found) = (0, Vec::new());
    for root in roots {
        let of_crate = Crate::read(root);
        let edges = of_crate.edges();
        count += edges.values().map(BTreeSet::len).sum::<usize>();
        let shown = |circle: Vec<&str>| format!("{} -> {}", circle.join(" -> "), circle[0]);
        found.extend(circles(&edges).into_iter().map(shown));
    }
    (count, found)
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let benches = files(&root("benches"), &["rs"]).into_iter().filter(|path| {
        path.ends_with("main.rs") || path.parent().is_some_and(|parent| parent.ends_with("benches"))
    });
    let roots: Vec<PathBuf> = [root("src/lib.rs")].into_iter().chain(benches).collect();
    let (count, found) = imports_and_circles(&roots);
    assert!(count > 300, "only {count} imports were found");
    assert!(found.is_empty(), "files that import each other:\n{}", found.join("\n"));
}

#[test]
fn imports_lead_to_the_file_that_holds_them() {
    let mut sample = Crate::default();
    let sources = [
        ("lib.rs", vec![], "mod a; mod b;"),
        (
            "a/mod.rs",
            vec!["a"],
            "mod c; pub use self::c::C; pub struct A; mod inner { use super::super::b::B as D; }",
        ),
        (
            "a/c.rs",
            vec!["a", "c"],
            "use super::{A, super::b::{self, B}}; pub struct C; fn c() { crate::b::f::<u8>() }",
        ),
        ("b.rs", vec!["b"], "use std::fmt; use crate::a::C; #[cfg(test)] use crate::a::A; pub struct B;"),
    ];
    for (file, module, source) in &sources {
        let module: Names = module.iter().map(ToString::to_string).collect();
        sample.add(&tokens(source), file, &module, &mut |_, _, _| {});
    }
    let edges: Vec<(&str, &str)> =
        sample.edges().into_iter().flat_map(|(file, to)| to.into_iter().map(move |to| (file, to))).collect();
    let expected = [("a/c.rs", "a/mod.rs"), ("a/c.rs", "b.rs"), ("a/mod.rs", "b.rs"), ("b.rs", "a/c.rs")];
    assert_eq!(edges, expected);
    let circles = circles(&sample.edges());
    assert_eq!(
        circles.into_iter().collect::<Vec<_>>(),
        [vec!["a/c.rs", "a/mod.rs", "b.rs"], vec!["a/c.rs", "b.rs"]]
    );
}
