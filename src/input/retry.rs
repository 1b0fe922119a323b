//! Which requests may be sent again.

use crate::{error::Fatal, model::forward::RetryMode};

/// Reads a mode: `none` or `safe-http`.
pub fn retry_mode(text: &str) -> Result<RetryMode, Fatal> {
    [RetryMode::None, RetryMode::SafeHttp].into_iter().find(|mode| mode.word() == text).ok_or_else(|| {
        Fatal::new("fwd::usage::bad_retry", format!("'{text}' does not say which requests are sent again"))
            .help("use none, or safe-http: GET, HEAD and OPTIONS requests of HTTP/1.x without a body")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(retry_mode("none"), Ok(RetryMode::None));
        assert_eq!(retry_mode("safe-http"), Ok(RetryMode::SafeHttp));
        for text in ["", "all", "SAFE-HTTP", "safe"] {
            assert_eq!(retry_mode(text).unwrap_err().code(), "fwd::usage::bad_retry");
        }
    }
}
