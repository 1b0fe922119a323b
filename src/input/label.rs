//! The names that users give to forwards.

use crate::error::Fatal;

/// The longest name that a user may give to a forward: one that a table has room for.
const LONGEST: usize = 63;

/// Checks what a user calls a forward: one word, which `stop` cannot take for a port, a target or an option, and which a
/// terminal shows.
pub fn label(text: &str) -> Result<String, Fatal> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let number = text.bytes().all(|b| b.is_ascii_digit());
    if plain && !number && text.len() <= LONGEST && !text.starts_with(['-', '.']) {
        return Ok(text.to_owned());
    }
    Err(Fatal::new("fwd::usage::bad_label", format!("'{text}' cannot be the name of a forward")).help(format!(
        "use up to {LONGEST} letters, digits, '-', '_' and '.'; not '-' or '.' first, and not a number alone"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for text in ["a", "prod-db", "v1.2_x", "2nd", "_a", &"a".repeat(63)] {
            assert_eq!(label(text).as_deref(), Ok(text));
        }
        for text in ["", "8080", "-l", ".a", "svc/api", "a b", "a\u{1b}", "é", &"a".repeat(64)] {
            assert_eq!(
                label(text).map_err(|fatal| fatal.code().to_owned()),
                Err("fwd::usage::bad_label".into())
            );
        }
    }
}
