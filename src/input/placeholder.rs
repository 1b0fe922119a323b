//! Placeholders in the words of a command that runs beside forwards: `{port}`, `{addr}` and `{host}` of the first forward,
//! `{port:NAME}` of the one that NAME means.
//!
//! Everything else in braces is the command's own and stays as it is: JSON, templates, patterns of a shell. So does
//! `${port}`, which is a variable of a shell. With one pair of braces more, `{{port}}`, the text `{port}` is meant.

/// What of a forward's local address is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPart {
    /// `{port}`: its number.
    Port,
    /// `{addr}`: host and port, or the path of a Unix socket.
    Addr,
    /// `{host}`: the host alone.
    Host,
}

/// One placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder<'a> {
    /// What stands in its place.
    pub part: AddressPart,
    /// Which forward is meant; none is the first one.
    pub name: Option<&'a str>,
    /// As it was written.
    pub text: &'a str,
}

impl AddressPart {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Port, Self::Addr, Self::Host];

    /// As placeholders write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Addr => "addr",
            Self::Host => "host",
        }
    }
}

/// The text with `value` in the place of each placeholder.
pub fn expand<E>(
    text: &str,
    mut value: impl FnMut(Placeholder<'_>) -> Result<String, E>,
) -> Result<String, E> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let braces = &rest[at..];
        let opening = braces.len() - braces.trim_start_matches('{').len();
        let inner = &braces[opening..];
        let is_shell = out.ends_with('$');
        let Some((found, closing)) = placeholder(&braces[opening - 1..]).filter(|_| !is_shell) else {
            out.push_str(&braces[..opening]);
            rest = inner;
            continue;
        };
        let length = found.text.len();
        if opening > 1 && closing > 1 {
            // One pair of braces is taken away, and what is left is text.
            out.push_str(&braces[1..opening + length - 2 + closing - 1]);
            rest = &braces[opening + length - 2 + closing..];
        } else {
            out.push_str(&braces[..opening - 1]);
            out.push_str(&value(found)?);
            rest = &braces[opening - 1 + length..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The placeholder that a text begins with, and how many closing braces end it.
fn placeholder(text: &str) -> Option<(Placeholder<'_>, usize)> {
    let end = text.find('}')?;
    let inner = &text[1..end];
    let (word, name) = inner.split_once(':').map_or((inner, None), |(word, name)| (word, Some(name)));
    let part = AddressPart::ALL.into_iter().find(|part| part.word() == word)?;
    if !name.is_none_or(can_name) {
        return None;
    }
    let closing = text[end..].len() - text[end..].trim_start_matches('}').len();
    Some((Placeholder { part, name, text: &text[..=end] }, closing))
}

/// Whether a forward could be called so. `{host: "x"}` is a program's text.
fn can_name(name: &str) -> bool {
    // A label selector holds the signs of the last line.
    let sign = |c: char| "-_./:".contains(c) || "=!,() ".contains(c);
    name.chars().all(|c| c.is_ascii_alphanumeric() || sign(c))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn expanded(text: &str) -> String {
        expand(text, |found| {
            let value = match found.part {
                AddressPart::Port => "5432",
                AddressPart::Addr => "127.0.0.1:5432",
                AddressPart::Host => "127.0.0.1",
            };
            Ok::<_, Infallible>(
                found.name.map_or_else(|| value.to_owned(), |name| format!("<{name}:{value}>")),
            )
        })
        .unwrap_or_else(|never| match never {})
    }

    #[test]
    fn what_is_ours() {
        for (text, expected) in [
            ("{port}", "5432"),
            ("{host}:{port}", "127.0.0.1:5432"),
            ("postgres://{addr}/x", "postgres://127.0.0.1:5432/x"),
            ("-p{port:db}", "-p<db:5432>"),
            ("{addr:svc/api:http}", "<svc/api:http:127.0.0.1:5432>"),
            ("{port:80}{port:-l app=web,x!=y}", "<80:5432><-l app=web,x!=y:5432>"),
            ("é{port}é", "é5432é"),
            (r#"{"port":{port}}"#, r#"{"port":5432}"#),
            (r#"{"a":{"port":{port}}}"#, r#"{"a":{"port":5432}}"#),
            ("{{port}", "{5432"),
            ("{port}}}", "5432}}"),
        ] {
            assert_eq!(expanded(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_text() {
        for (text, expected) in [
            ("{{port}}", "{port}"),
            ("{{{port}}}", "{{port}}"),
            ("{{addr:db}}x{port}", "{addr:db}x5432"),
            ("{{port}}}", "{port}}"),
            ("{{{port}}", "{{port}"),
        ] {
            assert_eq!(expanded(text), expected, "{text}");
        }
        for text in [
            "",
            "{}",
            "{",
            "}{",
            "{port",
            "port}",
            "{ports}",
            "{Port}",
            "{ port }",
            "{port:}",
            r#"{host: "x"}"#,
            r#"{"port":5}"#,
            "{port:'x'}",
            "${port}",
            "${host:-localhost}",
            "{{.Port}}",
            "{a,b}",
            "{1..3}",
            "{é}",
        ] {
            assert_eq!(expanded(text), text);
        }
    }

    #[test]
    fn an_error_ends_it() {
        let value =
            |found: Placeholder<'_>| found.name.map_or(Ok(String::new()), |name| Err(name.to_owned()));
        assert_eq!(expand("a{port}{host:x}", value), Err("x".to_owned()));
    }
}
