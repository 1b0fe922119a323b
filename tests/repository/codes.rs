//! The codes of errors are written in one style: `fwd::area::what_it_is`.

use super::{files, read, root, shown};

/// The codes that stand in a source, each with its line. Part of one may be filled in where it is made.
fn codes(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(line, text)| {
        let begun = text.split("\"fwd::").skip(1);
        begun.map(move |rest| (line + 1, rest.split('"').next().unwrap_or_default()))
    })
}

#[test]
fn codes_are_snake_case() {
    let (mut count, mut odd) = (0, Vec::new());
    for path in files(&root("src"), &["rs"]) {
        for (line, code) in codes(&read(&path)) {
            count += 1;
            if !code
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | ':' | '{' | '}'))
            {
                odd.push(format!("{}:{line}: fwd::{code}", shown(&path)));
            }
        }
    }
    assert!(count > 100, "only {count} codes were found");
    assert!(odd.is_empty(), "not snake_case:\n{}", odd.join("\n"));
}
