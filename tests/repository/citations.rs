//! Sections of docs/PROTOCOL.md and docs/DESIGN.md that are cited exist there.
//!
//! `PROTOCOL §2.3` and `DESIGN §2` are citations, and so is each of `PROTOCOL §2.3, §2.4`. A bare `(§2.3)` is one of
//! PROTOCOL, in DESIGN.md one of itself. `RFC 6455 §5.5` is somebody else's.

use std::{collections::BTreeSet, path::PathBuf};

use super::{files, read, root, shown};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Document {
    Protocol,
    Design,
}

/// A section that is cited, with the line that it is cited in.
#[derive(Debug, PartialEq, Eq)]
struct Citation {
    line: usize,
    document: Document,
    section: String,
}

/// The citations in a text, where a bare one is of `own`.
fn citations(text: &str, own: Document) -> Vec<Citation> {
    let mut found = Vec::new();
    // What the section before belongs to, and where it ends: a list goes on with the same document.
    let mut before: Option<(Option<Document>, usize)> = None;
    for (at, sign) in text.match_indices('§') {
        let rest = &text[at + sign.len()..];
        let section: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let section = section.trim_end_matches('.').to_owned();
        if section.is_empty() {
            continue;
        }
        let between = before.filter(|(_, end)| is_list(&text[*end..at]));
        let document = between.map_or_else(|| named(&text[..at], own), |(document, _)| document);
        before = Some((document, at + sign.len() + section.len()));
        if let Some(document) = document {
            let line = text[..at].matches('\n').count() + 1;
            found.push(Citation { line, document, section });
        }
    }
    found
}

/// Words of a text, without what marks a comment.
fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split_whitespace().filter(|word| !matches!(*word, "//" | "///" | "//!"))
}

/// Whether so much between two sections makes them a list.
fn is_list(text: &str) -> bool {
    words(text).all(|word| matches!(word, "," | "and" | "or" | "to"))
}

/// Which document a section behind this text is of; `None` where it is none of ours.
fn named(text: &str, own: Document) -> Option<Document> {
    // A citation is near its document: a line back at most.
    let near = text.char_indices().rev().nth(200).map_or(text, |(start, _)| &text[start..]);
    let mut last = words(near).rev();
    let (word, before) = (last.next().unwrap_or_default(), last.next().unwrap_or_default());
    if word.ends_with("PROTOCOL") {
        Some(Document::Protocol)
    } else if word.ends_with("DESIGN") {
        Some(Document::Design)
    } else if before.ends_with("RFC") {
        None
    } else {
        Some(own)
    }
}

/// The sections that a document has: its numbered headings, and the numbered items right below one (`0.7`).
fn sections(text: &str) -> BTreeSet<String> {
    let mut sections = BTreeSet::new();
    let mut heading = "";
    for line in text.lines() {
        let title = line.trim_start_matches('#').trim_start();
        let digits = title.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(title.len());
        let number = title[..digits].trim_end_matches('.');
        if line.starts_with('#') {
            heading = number;
        } else if !line.starts_with(|c: char| c.is_ascii_digit()) || !title[number.len()..].starts_with(". ")
        {
            continue;
        }
        if !heading.is_empty() && !number.is_empty() {
            let is_item = !line.starts_with('#');
            sections.insert(if is_item { format!("{heading}.{number}") } else { number.to_owned() });
        }
    }
    sections
}

#[test]
fn what_is_cited_exists() {
    let protocol = sections(&read(&root("docs/PROTOCOL.md")));
    let design = sections(&read(&root("docs/DESIGN.md")));
    // A package has the sources and these two documents, the repository all of it.
    let there = |path: &PathBuf| path.exists();
    let folders = ["src", "tests", "benches", "examples", "fuzz", "docs"].map(root).into_iter().filter(there);
    let mut texts: Vec<_> = folders.flat_map(|folder| files(&folder, &["rs", "md"])).collect();
    texts.extend(
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(root).into_iter().filter(there),
    );
    // The samples below are of what does not exist.
    texts.retain(|path| !path.ends_with(file!()));
    let (mut count, mut missing) = (0, Vec::new());
    for path in texts {
        let own = if path.ends_with("docs/DESIGN.md") { Document::Design } else { Document::Protocol };
        for Citation { line, document, section } in citations(&read(&path), own) {
            count += 1;
            let (name, there) = match document {
                Document::Protocol => ("PROTOCOL", &protocol),
                Document::Design => ("DESIGN", &design),
            };
            if !there.contains(&section) {
                missing.push(format!("{}:{line}: {name} §{section}", shown(&path)));
            }
        }
    }
    assert!(count > 100, "only {count} citations were found");
    assert!(missing.is_empty(), "not in docs/:\n{}", missing.join("\n"));
}

#[test]
fn citations_are_found_as_they_are_written() {
    let text = "//! As (PROTOCOL\n//! §0.7), PROTOCOL §2.3, §2.4 and §3; DESIGN §2.\n// RFC 6455 §5.5, (§4). PROTOCOL §n";
    let found = citations(text, Document::Protocol);
    let (protocol, design) = (Document::Protocol, Document::Design);
    let expected = [
        (2, protocol, "0.7"),
        (2, protocol, "2.3"),
        (2, protocol, "2.4"),
        (2, protocol, "3"),
        (2, design, "2"),
        (3, protocol, "4"),
    ];
    let expected = expected.map(|(line, document, section)| {
        let section = section.to_owned();
        Citation { line, document, section }
    });
    assert_eq!(found, expected);
}

#[test]
fn sections_are_headings_and_their_items() {
    let text =
        "# Title\n1. no\n## 0. Facts\n1. one\n2. two\n12 pods\n### 0.3 More\n1. item\n## Plain\n3. no\n";
    let expected = ["0", "0.1", "0.2", "0.3", "0.3.1"].map(str::to_owned);
    assert_eq!(sections(text), BTreeSet::from(expected));
}
