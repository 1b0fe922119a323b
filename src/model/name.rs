//! What a name may be in Kubernetes.
//!
//! Names become parts of URLs, to which the user's credentials go, and parts of selectors. A cluster's answers are
//! anyone's who may write an object in it (EndpointSlices name pods, services hold selectors), and a server may be none
//! that checks them; so each name is checked where it enters, and what is not one goes no further.

/// The longest name of an object, and the longest prefix of a label's key.
const SUBDOMAIN: usize = 253;

/// The longest name of a namespace or a port, and the longest value of a label.
const LABEL: usize = 63;

/// The longest version or `continue` token that is sent back to a server. Both are opaque; those of Kubernetes are below
/// 1 KiB, and a URL of more than 8 KiB is refused by most servers and proxies.
const TOKEN: usize = 4096;

/// Whether an object can be called so: labels of lower-case letters, digits and `-`, with dots between (RFC 1123).
pub fn is_object_name(text: &str) -> bool {
    text.len() <= SUBDOMAIN && text.split('.').all(is_lower)
}

/// Whether a namespace can be called so; a port's name in a service or an EndpointSlice follows the same rule, and that of
/// a container's port a narrower one.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= LABEL && is_lower(text)
}

/// Whether it can be the key of a label: a name, and before a slash the domain that it belongs to.
pub fn is_label_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_object_name) && !name.is_empty() && is_label_value(name)
}

/// Whether it can be the value of a label.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || (text.len() <= LABEL && bounded(text, u8::is_ascii_alphanumeric, b"-_."))
}

/// Whether it can be a resource version or a `continue` token.
pub fn is_token(text: &str) -> bool {
    text.len() <= TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_lower(text: &str) -> bool {
    bounded(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), b"-")
}

/// Whether all bytes are of these kinds, the first and the last of them `outer`.
fn bounded(text: &str, outer: impl Fn(&u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(&outer)
        && bytes.last().is_some_and(&outer)
        && bytes.iter().all(|byte| outer(byte) || inner.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = |length: usize| "a".repeat(length);
        for name in ["a", "api-7d4f", "web.0.x", "1", &long(253)] {
            assert!(is_object_name(name), "{name}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "a-",
            "A",
            "a/b",
            "../../prod/services/x",
            "a%2fb",
            "a?b",
            "a#b",
            "a b",
            "a\n",
            "ä",
            &long(254),
        ] {
            assert!(!is_object_name(bad), "{bad}");
        }
        assert!(is_dns_label("http") && is_dns_label("kube-system") && is_dns_label(&long(63)));
        assert!(!is_dns_label("a.b") && !is_dns_label("") && !is_dns_label(&long(64)));
    }

    #[test]
    fn labels() {
        for key in ["app", "app.kubernetes.io/name", "a_b", "A.b-C"] {
            assert!(is_label_key(key), "{key}");
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "a,b", "a=b", "!a", "a in (b)", "A/b", "-a"] {
            assert!(!is_label_key(bad), "{bad}");
        }
        for value in ["", "web", "v1.2_x-Y", &"a".repeat(63)] {
            assert!(is_label_value(value), "{value}");
        }
        for bad in ["a,b", "a b", "(a)", "a=b", ".a", "a-", &"a".repeat(64)] {
            assert!(!is_label_value(bad), "{bad}");
        }
    }

    #[test]
    fn tokens() {
        for token in ["", "12345", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ==", &"x".repeat(4096)] {
            assert!(is_token(token), "{token}");
        }
        for bad in ["a b", "a\r\nHost: x", "\u{1b}[2J", "ä", &"x".repeat(4097)] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
