//! What is wrong with an answer.

use std::time::Duration;

use http::StatusCode;

/// The answer did not come in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cluster) enum ResponseTimeout {
    /// It did not begin.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Head(Duration),
    /// It stopped half-way.
    #[error("the answer stopped half-way: nothing more came for {} s", .0.as_secs_f32())]
    Pause(Duration),
    /// It was not whole.
    #[error("the answer was not complete within {} s", .0.as_secs_f32())]
    Whole(Duration),
}

/// The answer is larger than anything that an API server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::cluster) enum ResponseTooLarge {
    #[error("the answer is longer than {} MiB, the most that is read of {of}", .bytes >> 20)]
    Bytes { bytes: usize, of: &'static str },
    #[error("the answer holds more than {objects} JSON objects, the most that are read of {of}")]
    Objects { objects: usize, of: &'static str },
}

/// The answer is that of another kind of server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cluster) enum NotKubernetes {
    /// It leads elsewhere.
    #[error("{}: it leads to {to}", .code.as_u16())]
    Redirect {
        /// The code.
        code: StatusCode,
        /// Where.
        to: String,
    },
    /// It is a good answer of the wrong type.
    #[error("the answer is {0}, not an object of Kubernetes")]
    Type(String),
    /// It says that all is well, and nothing else.
    #[error("{}: the answer holds no object of Kubernetes", .0.as_u16())]
    Code(StatusCode),
}
