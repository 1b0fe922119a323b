//! Whether what a client has sent is one HTTP/1.x request that may be sent twice (`--retry safe-http`, DESIGN §2).
//!
//! RFC 9110 §9.2.1 calls GET, HEAD and OPTIONS safe: they ask for nothing to be changed, and whoever sends one may send it
//! again where the answer is lost. All else is left alone, and so is all that two readers could understand in two ways:
//! the application must not find another request in these bytes than the one that is seen here. So the rule is narrower
//! than the grammar of HTTP:
//!
//! ```text
//! GET /path HTTP/1.1 CRLF        one of three methods in upper case, one space, a target, one space, HTTP/1.0 or 1.1
//! Name: value CRLF               no control character, no lone CR or LF, no folded line, no space before the colon
//! CRLF                           nothing may follow: no body, no second request
//! ```
//!
//! A head of which the end is missing may be sent again once its first line is whole. That line is what tells HTTP and
//! the method apart from other protocols (Redis has a `GET` as well), and no server acts on a head before its end.
//!
//! The bytes are all that was read of the client, kept until the first answer, and are looked at only when a session was
//! lost: a connection that goes well pays nothing for it.

/// Methods that ask for nothing to be changed. Methods are case-sensitive: `get` is another one. TRACE is safe too, and
/// servers answer it with the request itself, credentials included; nobody needs it here.
const METHODS: [&[u8]; 3] = [b"GET", b"HEAD", b"OPTIONS"];

/// Versions that are spoken over a connection in this form. HTTP/2 begins with `PRI * HTTP/2.0`, TLS with a byte that no
/// method has.
const VERSIONS: [&[u8]; 2] = [b"HTTP/1.0", b"HTTP/1.1"];

/// Fields that announce more than the head, or have it mean something else: a body, another protocol, a question before the
/// body, another method in the name of this one.
const FORBIDDEN: [&[u8]; 6] = [
    b"transfer-encoding",
    b"upgrade",
    b"expect",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
];

/// A body, unless it is empty.
const CONTENT_LENGTH: &[u8] = b"content-length";

/// Whether `sent`, all that a client sent so far, is one request that may be sent again, whole or as far as it has come.
pub fn is_safe(sent: &[u8]) -> bool {
    let Some((line, mut rest)) = line(sent) else {
        // Of whatever protocol it is.
        return false;
    };
    if !is_safe_request_line(line) {
        return false;
    }
    while let Some((line, after)) = self::line(rest) {
        if line.is_empty() {
            // What follows is a body, or another request.
            return after.is_empty();
        }
        if !is_harmless_field(line) {
            return false;
        }
        rest = after;
    }
    // The end of the head is missing. What a reader could take for the end of its last line is not.
    !rest.strip_suffix(b"\r").unwrap_or(rest).iter().any(|byte| matches!(byte, b'\r' | b'\n'))
}

/// The first line without its CRLF, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

fn is_safe_request_line(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    METHODS.contains(&method)
        && VERSIONS.contains(&version)
        && !target.is_empty()
        && !target.iter().any(u8::is_ascii_control)
}

fn is_harmless_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // A folded line begins with a space, which no name holds.
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return false;
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return false;
    }
    // CGI hands both characters to an application as one.
    let name: Vec<u8> =
        name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }).collect();
    if name == CONTENT_LENGTH {
        return value.trim_ascii() == b"0";
    }
    !FORBIDDEN.contains(&name.as_slice())
}

/// What names are made of (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "Host: a\r\n";

    fn request(line: &str, fields: &str) -> String {
        format!("{line}\r\n{HOST}{fields}\r\n")
    }

    #[test]
    fn whole_requests() {
        for line in [
            "GET / HTTP/1.1",
            "HEAD /a?b=c#d HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET / HTTP/1.0",
            "GET http://api.example:8080/absolute HTTP/1.1",
            "GET /%20ü HTTP/1.1",
        ] {
            for fields in [
                "",
                "Accept: */*\r\nX-Empty:\r\n",
                "Content-Length: 0\r\n",
                "content-length:0 \r\n",
                "Connection: keep-alive\r\nCookie: a=b; c\t=d\r\n",
                "If-None-Match: \"x\"\r\nRange: bytes=0-9\r\n",
            ] {
                let whole = request(line, fields);
                assert!(is_safe(whole.as_bytes()), "{whole:?}");
                // In whatever parts it comes: as soon as the first line is whole it may be sent again, not before, and
                // no more once anything follows the end.
                for end in 0..whole.len() {
                    let first = line.len() + 2;
                    assert_eq!(
                        is_safe(&whole.as_bytes()[..end]),
                        end >= first,
                        "{:?}",
                        &whole.as_bytes()[..end]
                    );
                }
                for more in ["\r\n", "\n", " ", "x", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n\r\n"] {
                    assert!(!is_safe(format!("{whole}{more}").as_bytes()), "{whole:?} and {more:?}");
                }
            }
        }
        assert!(is_safe(b"GET / HTTP/1.0\r\n\r\n"), "without a field");
    }

    /// For each of them, and for each beginning of them: a part is never safer than the whole seems.
    #[test]
    fn other_requests() {
        for line in [
            "POST / HTTP/1.1",
            "PUT / HTTP/1.1",
            "PATCH / HTTP/1.1",
            "DELETE / HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
            "TRACE / HTTP/1.1",
            "PROPFIND / HTTP/1.1",
            "get / HTTP/1.1",
            "Get / HTTP/1.1",
            "GETX / HTTP/1.1",
            " GET / HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /a b HTTP/1.1",
            "GET /a\0 HTTP/1.1",
            "GET /a\rb HTTP/1.1",
            "GET / http/1.1",
            "GET / HTTP/1.2",
            "GET / HTTP/2.0",
            "GET / HTTP/0.9",
            "GET / HTTP/1.10",
            "GET /",
            "GET",
            "",
            // Redis and memcached.
            "GET key",
            // HTTP/2, without TLS.
            "PRI * HTTP/2.0\r\n\r\nSM\r\n",
        ] {
            let whole = request(line, "");
            for end in 0..=whole.len() {
                assert!(!is_safe(&whole.as_bytes()[..end]), "{:?}", &whole.as_bytes()[..end]);
            }
        }
    }

    #[test]
    fn other_fields() {
        for field in [
            "Content-Length: 1",
            "CONTENT-LENGTH: 1",
            "Content-Length: 00",
            "Content-Length: 0, 0",
            "Content-Length: +0",
            "Content-Length:",
            "Content_Length: 1",
            "Transfer-Encoding: chunked",
            "transfer-encoding: identity",
            "Transfer_Encoding: chunked",
            "Upgrade: websocket",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "X-HTTP-Method-Override: DELETE",
            "x-http-method: PUT",
            "X-Method-Override: PATCH",
            "Host : a",
            " folded",
            "\tfolded",
            "nameless",
            ": a",
            "N\u{e4}me: a",
            "A: b\0c",
            "A: b\rc",
            "A: b\nContent-Length: 1",
            "A: b\n",
            "A: b\n\nPOST / HTTP/1.1",
        ] {
            let whole = request("GET / HTTP/1.1", &format!("{field}\r\n"));
            assert!(!is_safe(whole.as_bytes()), "{whole:?}");
            // Nor once its line is whole and the head is not.
            let cut = whole.strip_suffix("\r\n").unwrap_or(&whole);
            assert!(!is_safe(cut.as_bytes()), "{cut:?}");
        }
    }

    /// Readers that take a lone LF, or a lone CR, for the end of a line see a whole head in these.
    #[test]
    fn lone_ends_of_lines() {
        for text in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\rHost: a\r\r",
            "GET / HTTP/1.1\r\nHost: a\n",
            "GET / HTTP/1.1\r\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\n\nPOST / HTTP/1.1",
            "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            "GET / HTTP/1.1\n\r\n",
            "\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(!is_safe(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn other_protocols() {
        let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        let postgres = b"\x00\x00\x00\x08\x04\xd2\x16\x2f";
        let redis = b"*1\r\n$4\r\nPING\r\n";
        let all: [&[u8]; 6] = [b"", b"\r\n", tls, postgres, redis, b"EHLO a\r\n\r\n"];
        for bytes in all {
            assert!(!is_safe(bytes), "{bytes:?}");
        }
    }
}
