//! What a program said, in words that are the same for each run, and whether it is what a row says.

/// How long the parts of a name are that a controller makes up; shorter ones are ordinals.
const MADE_UP: usize = 5;

/// The pods of a run, which are called A, B, C in the order in which they are met.
#[derive(Default, Clone)]
pub(crate) struct PodNames(Vec<String>);

impl PodNames {
    /// A text in which made-up names of pods are letters.
    pub(crate) fn plain(&mut self, text: &str) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let mut plain = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            match self.letter(word) {
                Some(letter) => plain.push(letter),
                None => plain.push_str(word),
            }
            rest = after;
        }
        plain
    }

    fn letter(&mut self, word: &str) -> Option<char> {
        let (_, made_up) = word.rsplit_once('-')?;
        let consonants = |c: char| c.is_ascii_digit() || (c.is_ascii_lowercase() && !"aeiou".contains(c));
        if made_up.len() != MADE_UP || !made_up.chars().all(consonants) {
            return None;
        }
        let at = self.0.iter().position(|name| name == word).unwrap_or_else(|| {
            self.0.push(word.to_owned());
            self.0.len() - 1
        });
        ('A'..='Z').nth(at)
    }
}

/// Whether `said` is what `patterns` say, in this order. In a pattern `*` stands for anything. One that begins with `? ` need
/// not be there, one with `+ ` may be there more than once, and what one with `~ ` has may be anywhere, and as often as it comes:
/// connections that fail when their pod does are told when they meet it.
pub(crate) fn fit(patterns: &[&str], said: &[String]) -> bool {
    let (anywhere, ordered): (Vec<_>, Vec<_>) =
        patterns.iter().copied().partition(|pattern: &&str| pattern.starts_with("~ "));
    let is_anywhere = |line: &&String| anywhere.iter().any(|pattern| matches(&pattern[2..], line));
    let said: Vec<String> = said.iter().filter(|line| !is_anywhere(line)).cloned().collect();
    fit_in_order(&ordered, &said)
}

fn fit_in_order(patterns: &[&str], said: &[String]) -> bool {
    let Some((pattern, after)) = patterns.split_first() else { return said.is_empty() };
    let (text, optional, repeats) = match (pattern.strip_prefix("? "), pattern.strip_prefix("+ ")) {
        (Some(text), _) => (text, true, false),
        (None, Some(text)) => (text, false, true),
        (None, None) => (*pattern, false, false),
    };
    let here = said.split_first().filter(|(line, _)| matches(text, line));
    let taken =
        here.is_some_and(|(_, rest)| fit_in_order(after, rest) || (repeats && fit_in_order(patterns, rest)));
    taken || (optional && fit_in_order(after, said))
}

fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((head, tail)) => line.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_are_letters() {
        let mut names = PodNames::default();
        let said = "svc/api: pod api-5d4f7c-x2b7k is terminating, new connections go to api-5d4f7c-2rbcd";
        assert_eq!(names.plain(said), "svc/api: pod A is terminating, new connections go to B");
        assert_eq!(
            names.plain("pod api-5d4f7c-2rbcd, and db-0 on 127.0.0.1"),
            "pod B, and db-0 on 127.0.0.1"
        );
    }

    #[test]
    fn lines_fit_in_order() {
        let said = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert!(fit(&["a *c", "? b", "+ d"], &said(&["a  c", "d", "d"])));
        assert!(fit(&["? b", "b"], &said(&["b"])));
        assert!(fit(&["a", "~ x*"], &said(&["x1", "a", "x2"])));
        assert!(!fit(&["a"], &said(&["a", "a"])));
        assert!(!fit(&["a", "b"], &said(&["b", "a"])));
        assert!(!fit(&["a*b"], &said(&["ab c"])));
    }
}
