//! Rust sources as words and signs: enough to see what a file names.

/// A piece of a source. Comments, lifetimes and numbers are left out, and so is what a string says, unless it stands in
/// an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier or a keyword.
    Word(String),
    /// `::`.
    Path,
    /// Any other sign.
    Sign(char),
    /// A string's text.
    Text(String),
}

/// Reads a source, without what is there only under `#[cfg(test)]`.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    without_tests(&scan(source))
}

fn scan(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        match (at(i), at(i + 1)) {
            ('/', '/') => i = end_of(&chars, i, |i| at(i) == '\n'),
            ('/', '*') => i = block_comment(&chars, i),
            (':', ':') => {
                tokens.push(Token::Path);
                i += 2;
            }
            // A character, or the lifetime that it is not.
            ('\'', '\\') => i = end_of(&chars, i + 3, |i| at(i) == '\'') + 1,
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            ('\'', _) => i = end_of(&chars, i + 1, |i| !is_word(at(i))),
            ('"', _) => i = string(&chars, i, &mut tokens),
            (c, _) if is_word(c) => {
                let end = end_of(&chars, i, |i| !is_word(at(i)));
                let word: String = chars[i..end].iter().collect();
                i = end;
                let hashes = end_of(&chars, i, |i| at(i) != '#') - i;
                match word.as_str() {
                    "r" | "br" | "cr" if at(i + hashes) == '"' => {
                        i = raw_string(&chars, i + hashes, hashes);
                    }
                    "b" | "c" if at(i) == '"' => i = string(&chars, i, &mut Vec::new()),
                    // A byte: its quotes are read as a character's.
                    "b" if at(i) == '\'' => {}
                    _ if !c.is_ascii_digit() => tokens.push(Token::Word(word)),
                    _ => {}
                }
            }
            (c, _) => {
                if !c.is_whitespace() {
                    tokens.push(Token::Sign(c));
                }
                i += 1;
            }
        }
    }
    tokens
}

fn end_of(chars: &[char], from: usize, is_end: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|&i| is_end(i)).unwrap_or(chars.len())
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn string(chars: &[char], quote: usize, tokens: &mut Vec<Token>) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    tokens.push(Token::Text(chars[quote + 1..i.min(chars.len())].iter().collect()));
    i + 1
}

fn raw_string(chars: &[char], quote: usize, hashes: usize) -> usize {
    let ends = |i: usize| {
        chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    end_of(chars, quote + 1, ends) + 1 + hashes
}

/// Leaves out items with `#[cfg(test)]`, or `cfg` of `all` with `test` in it.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if let Some(end) = attribute(tokens, i)
            && is_test(&tokens[i..end])
        {
            i = end_of_item(tokens, end);
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    kept
}

fn is_test(attribute: &[Token]) -> bool {
    let has = |word: &str| attribute.contains(&Token::Word(word.to_owned()));
    attribute.get(2) == Some(&Token::Word("cfg".to_owned())) && has("test") && !has("not") && !has("any")
}

/// The end of the attribute that begins here, if one does.
pub(crate) fn attribute(tokens: &[Token], start: usize) -> Option<usize> {
    let begins = tokens[start..].starts_with(&[Token::Sign('#'), Token::Sign('[')]);
    begins.then(|| balanced(tokens, start + 1))
}

/// The end of the bracket that opens here.
pub(crate) fn balanced(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// The end of the item, field or statement that begins here: its `;` or `,`, or the block that it ends with.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut i = start;
    while i < tokens.len() {
        match tokens[i] {
            Token::Sign('{') => return balanced(tokens, i),
            Token::Sign('(' | '[') => i = balanced(tokens, i),
            Token::Sign(';' | ',') => return i + 1,
            _ => i += 1,
        }
    }
    i
}

#[test]
fn strings_comments_and_tests_are_left_out() {
    let source = r##"
        // use a;
        /* use /* b */ c; */
        #[path = "x.rs"] mod d;
        const E: &'static [u8] = b"use f"; const G: char = '"'; const H: char = '\'';
        fn i() { j(r#"use "k"#, b'l', 1u8); }
        #[cfg(test)] #[path = "m.rs"] mod m;
        #[cfg(all(test, unix))] fn n(o: [u8; 2]) -> u8 { p }
        #[cfg(not(test))] use q::r;
    "##;
    let words: Vec<String> = tokens(source)
        .into_iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word),
            _ => None,
        })
        .collect();
    let expected = "path mod d const E u8 const G char const H char fn i j cfg not test use q r";
    assert_eq!(words.join(" "), expected);
}
